//! The documents that the page receives, as they are serialized. `docs/dashboard-api.md` describes them.
//!
//! No value is ever `null`, because `null` in a patch removes a key; unknown values are omitted.

mod node;
mod object;
mod summary;

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use serde::{Serialize, Serializer};

#[cfg(test)]
pub(crate) use self::object::{ConditionDetail, LastChange};
pub(crate) use self::{
    node::{
        BackendDetail, Count, Counters, Foreign, FrontendDetail, HealthCheckDetail, InVpp, Member, MemberTraffic,
        NodeDocument, NodeRest, PastTransition, PathDetail, PoolDetail, Rate, ReportDetail, RouteDetail, Settings,
        StickyTableDetail, VppConfDetail, VppPanel,
    },
    object::ObjectInfo,
    summary::{
        AgentSelector, Disagreement, HoldDetail, NodeHeader, ObjectProblems, ProblemCounts, Row, Summary, Totals,
        TransitionDetail,
    },
};
use maglev_fleet::AsOf;
use maglev_model::{problem::Problem, vip::VipKey};

/// A time with milliseconds: RFC 3339 in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(test, derive(ts_rs::TS), ts(type = "string"))]
pub struct Time(pub Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:.3}", self.0))
    }
}

/// A position in an agent's sequence of changes. The epoch is hexadecimal, because it does not fit into a JavaScript
/// number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(ts_rs::TS), ts(as = "PositionFields"))]
pub struct Position(pub AsOf);

#[derive(Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
struct PositionFields {
    epoch: String,
    seq: u64,
}

impl Serialize for Position {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        PositionFields { epoch: format!("{:x}", self.0.epoch), seq: self.0.seq }.serialize(serializer)
    }
}

/// The positions of the nodes' agents.
pub type Positions = BTreeMap<Arc<str>, Position>;

/// Protocol `any` and port 0: all ports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Vip {
    pub(crate) address: String,
    /// `tcp`, `udp` or `any`; a protocol number for other foreign VIPs.
    pub(crate) protocol: String,
    pub(crate) port: u16,
}

impl From<VipKey> for Vip {
    fn from(vip: VipKey) -> Self {
        let (protocol, port) = (vip.service.protocol().to_owned(), vip.service.port());
        Self { address: vip.address.to_string(), protocol, port }
    }
}

/// A problem of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ProblemDetail {
    #[cfg_attr(test, ts(as = "crate::contract::ProblemReason"))]
    pub(crate) reason: &'static str,
    pub(crate) field: String,
    pub(crate) message: String,
}

impl From<&Problem> for ProblemDetail {
    fn from(problem: &Problem) -> Self {
        let Problem { reason, field, message } = problem;
        Self { reason: reason.as_str(), field: field.clone(), message: message.clone() }
    }
}

/// Rounds a rate to one decimal.
pub fn round_rate(rate: f64) -> f64 {
    (rate * 10.0).round() / 10.0
}
