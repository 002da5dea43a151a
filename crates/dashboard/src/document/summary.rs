//! The summary over all nodes.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Serialize, Serializer, ser::SerializeSeq as _};

use super::{Positions, ProblemDetail, Time, Vip};
use maglev_fleet::survey::{Flag, StatusCounts};
use maglev_kube::agent_pods::SELECTOR;

/// The document of all nodes.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
pub struct Summary {
    #[cfg_attr(test, ts(as = "BTreeMap<Arc<str>, super::Position>"))]
    pub(crate) as_of: Positions,
    /// Time of the response.
    pub(crate) now: Time,
    /// `absent`: no controller writes statuses, so conditions mean nothing.
    #[cfg_attr(test, ts(type = r#""present" | "absent""#))]
    pub(crate) controller: &'static str,
    #[cfg_attr(test, ts(type = r#""watching" | "unavailable" | "none""#))]
    pub(crate) kubernetes: &'static str,
    pub(crate) looked_for: AgentSelector,
    pub(crate) totals: Totals,
    pub(crate) strip: ProblemCounts,
    /// Largest share of the buckets of a VIP, in percent, that nodes disagree about; absent if no table differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) differing_percent: Option<f64>,
    /// The sentence for a fleet without problems; absent while there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) healthy: Option<String>,
    pub(crate) nodes: BTreeMap<Arc<str>, Arc<NodeHeader>>,
    pub(crate) rows: BTreeMap<String, Arc<Row>>,
    pub(crate) problems: BTreeMap<String, Arc<ObjectProblems>>,
    pub(crate) transitions: BTreeMap<String, Arc<TransitionDetail>>,
}

/// The search for agents, shown if none is found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct AgentSelector {
    /// Empty for all namespaces.
    pub(crate) namespace: String,
    pub(crate) selector: String,
    /// Lists the pods of the agents.
    pub(crate) command: String,
}

/// Totals over reporting nodes; each object counts once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Totals {
    pub(crate) vips: usize,
    pub(crate) backends: usize,
    pub(crate) nodes: usize,
    pub(crate) reporting: usize,
}

impl From<&StatusCounts> for Totals {
    fn from(counts: &StatusCounts) -> Self {
        let StatusCounts { vips, backends, nodes, reporting, .. } = *counts;
        Self { vips, backends, nodes, reporting }
    }
}

/// Numbers of problems by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ProblemCounts {
    pub(crate) down: usize,
    pub(crate) dropping: usize,
    pub(crate) silent: usize,
    pub(crate) standby: usize,
    pub(crate) disagree: usize,
    pub(crate) rejected: usize,
    pub(crate) sync: usize,
    /// Backends that are down on any reporting node.
    pub(crate) backends_down: usize,
}

impl From<&StatusCounts> for ProblemCounts {
    fn from(counts: &StatusCounts) -> Self {
        Self {
            down: counts.count(Flag::Down),
            dropping: counts.count(Flag::Dropping),
            silent: counts.count(Flag::Silent),
            standby: counts.count(Flag::Standby),
            disagree: counts.count(Flag::Disagree),
            rejected: counts.count(Flag::Rejected),
            sync: counts.count(Flag::Sync),
            backends_down: counts.count(Flag::BackendsDown),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u8);

impl Flags {
    pub fn has(self, flag: Flag) -> bool {
        self.0 & (1 << flag as u8) != 0
    }
}

impl FromIterator<Flag> for Flags {
    fn from_iter<I: IntoIterator<Item = Flag>>(flags: I) -> Self {
        Self(flags.into_iter().fold(0, |all, flag| all | 1 << flag as u8))
    }
}

impl Serialize for Flags {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut words = serializer.serialize_seq(None)?;
        for flag in Flag::ALL.into_iter().filter(|flag| self.has(*flag)) {
            words.serialize_element(flag.as_str())?;
        }
        words.end()
    }
}

/// The summary of one node.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
pub struct NodeHeader {
    pub(crate) pod: String,
    pub(crate) address: String,
    #[cfg_attr(test, ts(as = "crate::contract::LinkState"))]
    pub(crate) link: &'static str,
    /// Nodes that do not report are excluded from totals and rows; their values are the last known.
    pub(crate) reporting: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_seen: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) commit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) build_date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) started: Option<Time>,
    pub(crate) ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) not_ready: Option<String>,
    #[cfg_attr(test, ts(type = r#""connected" | "lost" | "unknown""#))]
    pub(crate) vpp: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) vpp_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) vpp_since: Option<Time>,
    /// Address families whose probe path is suspect.
    #[cfg_attr(test, ts(as = "Vec<crate::contract::Family>"))]
    pub(crate) suspect: Vec<&'static str>,
    /// By id.
    pub(crate) holds: BTreeMap<Arc<str>, HoldDetail>,
    /// Failed steps of the last pass.
    pub(crate) failed_steps: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sync_error: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_pass: Option<Time>,
    /// Number of foreign VIPs.
    pub(crate) foreign: usize,
    /// Packets per second.
    pub(crate) rate: f64,
    pub(crate) frontends: usize,
    pub(crate) backends: usize,
    #[cfg_attr(test, ts(as = "Vec<crate::contract::Flag>"))]
    pub(crate) flags: Flags,
}

/// Removals, or a change of a Frontend, that are held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct HoldDetail {
    /// The held changes in words, such as `6 removals`.
    pub(crate) subject: String,
    pub(crate) until: Time,
}

/// A Frontend over all nodes.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
pub struct Row {
    pub(crate) vip: Vip,
    /// `withdrawn`: another Frontend has precedence for the VIP.
    #[cfg_attr(test, ts(as = "crate::contract::RowState"))]
    pub(crate) state: &'static str,
    /// Sort key, highest first.
    pub(crate) rank: u8,
    #[cfg_attr(test, ts(as = "Vec<crate::contract::Flag>"))]
    pub(crate) flags: Flags,
    /// State by node, with the programming result unless it is Programmed: "up", "down Failed", "withdrawn".
    pub(crate) cells: BTreeMap<Arc<str>, String>,
    /// Number of Backends that are up on every reporting node.
    pub(crate) up: usize,
    pub(crate) total: usize,
    /// Packets per second.
    pub(crate) rate: f64,
    /// Dropped packets per second.
    pub(crate) dropping: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<Time>,
    /// Only with the flag `disagree`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) disagreement: Option<Disagreement>,
    pub(crate) reason: String,
}

/// A difference between nodes that has lasted for more than 10 s.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Disagreement {
    /// Time at which this dashboard noticed the difference.
    pub(crate) since: Time,
    /// Share of the buckets of the new-flow table that differ, in percent; 0 if only states and weights of backends do.
    pub(crate) percent: f64,
    /// Nodes whose table is not that of most nodes; without a majority all nodes. Empty if no table differs.
    pub(crate) nodes: Vec<Arc<str>>,
    /// True if more than half of the nodes have the same table.
    pub(crate) majority: bool,
}

/// An object with problems on any reporting node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ObjectProblems {
    #[cfg_attr(test, ts(as = "crate::contract::Kind"))]
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    pub(crate) nodes: Vec<Arc<str>>,
    pub(crate) problems: Vec<ProblemDetail>,
    /// VPP keeps the object's present configuration.
    pub(crate) held: bool,
}

/// A transition of an object, folded over nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
pub struct TransitionDetail {
    #[cfg_attr(test, ts(type = r#""Backend" | "Frontend""#))]
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(as = "Option<crate::contract::BackendState>"))]
    pub(crate) from: Option<&'static str>,
    #[cfg_attr(test, ts(as = "crate::contract::BackendState"))]
    pub(crate) to: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(as = "Option<crate::contract::ProbeCode>"))]
    pub(crate) code: Option<&'static str>,
    pub(crate) at: Time,
    pub(crate) nodes: Vec<Arc<str>>,
}

impl AgentSelector {
    /// Selects the agents of one namespace; `None` for all namespaces.
    pub fn new(namespace: Option<&str>) -> Self {
        let scope = namespace.map_or("--all-namespaces".to_owned(), |namespace| format!("--namespace {namespace}"));
        Self {
            namespace: namespace.unwrap_or_default().to_owned(),
            selector: SELECTOR.to_owned(),
            command: format!("kubectl {scope} get pods --selector {SELECTOR} --output wide"),
        }
    }
}
