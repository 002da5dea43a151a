//! Enumerations. An unknown value is malformed, unless the enumeration has a value for unknown.

use super::Malformed;
use crate::proto;
use maglev_model::{
    config::{AdminState, ConnectionMode, HttpMethod, Kind},
    drain::DrainState,
    event::{FrontendState, Level, ProgramResult},
    health::{BackendState, ProbeCode},
    path::PathState,
    problem::Reason,
    vip::Family,
};

macro_rules! same_names {
    ($model:ident, $proto:ident, $field:literal, [$($variant:ident = $other:ident),* $(,)?]) => {
        impl From<$model> for proto::$proto {
            fn from(value: $model) -> Self {
                match value {
                    $($model::$variant => Self::$other,)*
                }
            }
        }

        impl TryFrom<proto::$proto> for $model {
            type Error = Malformed;

            fn try_from(value: proto::$proto) -> Result<Self, Malformed> {
                match value {
                    $(proto::$proto::$other => Ok(Self::$variant),)*
                    proto::$proto::Unspecified => Err(Malformed::missing($field)),
                }
            }
        }
    };
}

impl From<ConnectionMode> for proto::ConnectionMode {
    fn from(mode: ConnectionMode) -> Self {
        match mode {
            ConnectionMode::New => Self::New,
            ConnectionMode::Reuse => Self::Reuse,
        }
    }
}

/// Agents without this setting open a connection for each probe.
impl From<proto::ConnectionMode> for ConnectionMode {
    fn from(mode: proto::ConnectionMode) -> Self {
        match mode {
            proto::ConnectionMode::Unspecified | proto::ConnectionMode::New => Self::New,
            proto::ConnectionMode::Reuse => Self::Reuse,
        }
    }
}

same_names!(AdminState, AdminState, "admin_state", [Enabled = Enabled, Paused = Paused, Disabled = Disabled]);
same_names!(HttpMethod, HttpMethod, "method", [Get = Get, Head = Head]);
same_names!(
    Kind,
    Kind,
    "kind",
    [
        HealthCheck = HealthCheck,
        Backend = Backend,
        Frontend = Frontend,
        LoadBalancerConfig = LoadBalancerConfig,
        AddressPolicy = AddressPolicy,
        Node = Node,
        Namespace = Namespace,
        EndpointSlice = EndpointSlice,
    ]
);
same_names!(
    PathState,
    PathState,
    "state",
    [Unknown = Unknown, Ok = Ok, Timeout = Timeout, Refused = Refused, MtuTooSmall = MtuTooSmall, Unable = Unable,]
);
same_names!(
    DrainState,
    DrainState,
    "state",
    [
        WeightPending = WeightPending,
        FlowsLeft = FlowsLeft,
        Quiet = Quiet,
        NoFlows = NoFlows,
        Flushed = Flushed,
        NoCounters = NoCounters,
        WeightsUnsupported = WeightsUnsupported,
    ]
);
same_names!(FrontendState, FrontendState, "state", [Unknown = Unknown, Up = Up, Down = Down]);
same_names!(
    ProgramResult,
    ProgramResult,
    "result",
    [Pending = Pending, Programmed = Programmed, Held = Held, Failed = Failed]
);
same_names!(
    BackendState,
    BackendState,
    "state",
    [Unknown = Unknown, Up = Up, Down = Down, Paused = Paused, Disabled = Disabled]
);
same_names!(
    ProbeCode,
    ProbeCode,
    "code",
    [
        L4Ok = L4ok,
        L4Timeout = L4tout,
        L4Connection = L4con,
        L6Ok = L6ok,
        L6Timeout = L6tout,
        L6Response = L6rsp,
        L7Ok = L7ok,
        L7Timeout = L7tout,
        L7Response = L7rsp,
        L7Status = L7sts,
    ]
);
same_names!(Family, Family, "family", [V4 = Ipv4, V6 = Ipv6]);
same_names!(Level, Level, "level", [Debug = Debug, Info = Info, Warn = Warn, Error = Error]);

/// 0 without a code.
pub fn code(code: Option<ProbeCode>) -> i32 {
    code.map_or(proto::ProbeCode::Unspecified, proto::ProbeCode::from).into()
}

/// `None` also for a code that this build does not know.
pub fn read_code(code: proto::ProbeCode) -> Option<ProbeCode> {
    code.try_into().ok()
}

/// Parses a reason. An unknown one becomes `Invalid`; the problem's message has the details.
pub fn read_reason(reason: &str) -> Reason {
    Reason::parse(reason).unwrap_or(Reason::Invalid)
}
