//! The status of an object of any kind, and the priority of writing a change of it.

use serde::de::DeserializeOwned;
use serde_json::Value;

use maglev_crd::{
    AddressPolicyStatus, BackendStatus, Condition, FrontendStatus, HealthCheckStatus, LoadBalancerConfigStatus,
    MaglevNodeStatus,
};
use maglev_kube::StatusKind;
use maglev_model::config::Kind;

/// The reason of a condition that has never had an outcome for this generation.
pub const PENDING: &str = "Pending";

#[derive(Clone, Debug, PartialEq)]
pub enum Status {
    HealthCheck(HealthCheckStatus),
    Backend(BackendStatus),
    Frontend(FrontendStatus),
    LoadBalancerConfig(LoadBalancerConfigStatus),
    AddressPolicy(AddressPolicyStatus),
    MaglevNode(MaglevNodeStatus),
}

/// The priority of a write, most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Priority {
    /// The first status of a new generation, its first outcome, or its first success: a user may be waiting.
    Answer,
    /// A condition changed.
    Condition,
    /// The state of a Backend changed.
    State,
    /// Only numbers and messages changed.
    Numbers,
    /// Only the time of the last pass of a node changed.
    Times,
}

impl Priority {
    pub(crate) const ALL: [Self; 5] = [Self::Answer, Self::Condition, Self::State, Self::Numbers, Self::Times];

    /// The value of the metric label `priority`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Condition => "condition",
            Self::State => "state",
            Self::Numbers => "numbers",
            Self::Times => "times",
        }
    }
}

impl Status {
    /// Decodes a stored status; an empty status if `value` does not have the schema of the kind.
    pub fn from_value(kind: StatusKind, value: &Value) -> Self {
        fn decode<T: DeserializeOwned + Default>(value: &Value) -> T {
            T::deserialize(value).unwrap_or_default()
        }
        match kind {
            StatusKind::Kind(Kind::HealthCheck) => Self::HealthCheck(decode(value)),
            StatusKind::Kind(Kind::Backend) => Self::Backend(decode(value)),
            StatusKind::Kind(Kind::Frontend) => Self::Frontend(decode(value)),
            StatusKind::Kind(Kind::AddressPolicy) => Self::AddressPolicy(decode(value)),
            // Nodes and Namespaces have no status that the controller writes.
            StatusKind::Kind(Kind::LoadBalancerConfig | Kind::Node | Kind::Namespace | Kind::EndpointSlice) => {
                Self::LoadBalancerConfig(decode(value))
            }
            // The status of a Service is not in the custom resources.
            StatusKind::MaglevNode | StatusKind::Service => Self::MaglevNode(decode(value)),
        }
    }

    pub fn to_value(&self) -> Value {
        let value = match self {
            Self::HealthCheck(status) => serde_json::to_value(status),
            Self::Backend(status) => serde_json::to_value(status),
            Self::Frontend(status) => serde_json::to_value(status),
            Self::LoadBalancerConfig(status) => serde_json::to_value(status),
            Self::AddressPolicy(status) => serde_json::to_value(status),
            Self::MaglevNode(status) => serde_json::to_value(status),
        };
        value.expect("a status has no maps with keys other than strings")
    }

    pub fn conditions(&self) -> &[Condition] {
        match self {
            Self::HealthCheck(status) => &status.conditions,
            Self::Backend(status) => &status.conditions,
            Self::Frontend(status) => &status.conditions,
            Self::LoadBalancerConfig(status) => &status.conditions,
            Self::AddressPolicy(status) => &status.conditions,
            Self::MaglevNode(status) => &status.conditions,
        }
    }

    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.conditions().iter().find(|condition| condition.type_ == kind)
    }

    fn observed_generation(&self) -> Option<i64> {
        match self {
            Self::HealthCheck(status) => status.observed_generation,
            Self::Backend(status) => status.observed_generation,
            Self::Frontend(status) => status.observed_generation,
            Self::LoadBalancerConfig(status) => status.observed_generation,
            Self::AddressPolicy(status) => status.observed_generation,
            Self::MaglevNode(status) => status.observed_generation,
        }
    }

    /// The generation that is programmed on all nodes, if any.
    pub fn programmed_generation(&self) -> Option<i64> {
        self.condition("Programmed").filter(|programmed| programmed.status == "True")?.observed_generation
    }

    /// The priority of replacing this status by `new`; `None` if they are equal. `programmed` is the last generation that
    /// is known to have been programmed on all nodes.
    pub fn change_priority(&self, new: &Self, programmed: Option<i64>) -> Option<Priority> {
        if self == new {
            return None;
        }
        let is_first_success = new.programmed_generation().is_some_and(|new| programmed != Some(new));
        if self.observed_generation() != new.observed_generation() || self.has_first_outcome(new) || is_first_success {
            return Some(Priority::Answer);
        }
        let without_messages = |status: &Self| -> Vec<(String, String, String)> {
            let parts = |new: &Condition| (new.type_.clone(), new.status.clone(), new.reason.clone());
            status.conditions().iter().map(parts).collect()
        };
        if without_messages(self) != without_messages(new) {
            return Some(Priority::Condition);
        }
        match (self, new) {
            (Self::Backend(old), Self::Backend(new)) if old.state != new.state => Some(Priority::State),
            (Self::MaglevNode(old), Self::MaglevNode(new))
                if *new == (MaglevNodeStatus { last_sync_time: new.last_sync_time.clone(), ..old.clone() }) =>
            {
                Some(Priority::Times)
            }
            _ => Some(Priority::Numbers),
        }
    }

    /// True if `new` has the first outcome of the condition Programmed for a generation.
    fn has_first_outcome(&self, new: &Self) -> bool {
        let is_pending = |old: &Condition| old.status == "Unknown" && old.reason == PENDING;
        self.condition("Programmed").is_some_and(is_pending)
            && new.condition("Programmed").is_some_and(|new| new.status != "Unknown")
    }
}
