//! All nodes at a glance.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Serialize, Serializer, ser::SerializeSeq as _};

use super::{Places, ProblemDetail, Time, Vip};
use crate::{fleet::survey::Flag, k8s::agent_pods::SELECTOR};

/// `api/summary`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::dashboard) struct Summary {
    pub(in crate::dashboard) as_of: Places,
    pub(in crate::dashboard) now: Time,
    pub(in crate::dashboard) controller: &'static str,
    pub(in crate::dashboard) kubernetes: &'static str,
    pub(in crate::dashboard) looked_for: LookedFor,
    pub(in crate::dashboard) totals: Totals,
    pub(in crate::dashboard) strip: Strip,
    pub(in crate::dashboard) nodes: BTreeMap<Arc<str>, Arc<NodeHead>>,
    pub(in crate::dashboard) rows: BTreeMap<String, Arc<Row>>,
    pub(in crate::dashboard) problems: BTreeMap<String, Arc<ObjectProblems>>,
    pub(in crate::dashboard) transitions: BTreeMap<String, Arc<TransitionDetail>>,
}

/// Where agents are looked for, for who finds none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(in crate::dashboard) struct LookedFor {
    pub(in crate::dashboard) namespace: String,
    pub(in crate::dashboard) selector: String,
    pub(in crate::dashboard) command: String,
}

/// Over reporting nodes, each object once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(in crate::dashboard) struct Totals {
    pub(in crate::dashboard) vips: usize,
    pub(in crate::dashboard) backends: usize,
    pub(in crate::dashboard) nodes: usize,
    pub(in crate::dashboard) reporting: usize,
}

/// What is wrong, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(in crate::dashboard) struct Strip {
    pub(in crate::dashboard) down: usize,
    pub(in crate::dashboard) dropping: usize,
    pub(in crate::dashboard) silent: usize,
    pub(in crate::dashboard) standby: usize,
    pub(in crate::dashboard) disagree: usize,
    pub(in crate::dashboard) rejected: usize,
    pub(in crate::dashboard) sync: usize,
}

/// Some flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::dashboard) struct Flags(u8);

impl Flags {
    pub(in crate::dashboard) fn has(self, flag: Flag) -> bool {
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

/// A node.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::dashboard) struct NodeHead {
    pub(in crate::dashboard) pod: String,
    pub(in crate::dashboard) address: String,
    pub(in crate::dashboard) link: &'static str,
    pub(in crate::dashboard) reporting: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) last_seen: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) commit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) build_date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) started: Option<Time>,
    pub(in crate::dashboard) ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) not_ready: Option<String>,
    pub(in crate::dashboard) vpp: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) vpp_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) vpp_since: Option<Time>,
    pub(in crate::dashboard) suspect: Vec<&'static str>,
    pub(in crate::dashboard) holds: BTreeMap<Arc<str>, HoldDetail>,
    pub(in crate::dashboard) failed_steps: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) sync_error: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) last_pass: Option<Time>,
    pub(in crate::dashboard) foreign: usize,
    pub(in crate::dashboard) rate: f64,
    pub(in crate::dashboard) frontends: usize,
    pub(in crate::dashboard) backends: usize,
    pub(in crate::dashboard) flags: Flags,
}

/// Removals that wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in crate::dashboard) struct HoldDetail {
    pub(in crate::dashboard) removals: u32,
    pub(in crate::dashboard) until: Time,
}

/// A frontend over all nodes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::dashboard) struct Row {
    pub(in crate::dashboard) vip: Vip,
    pub(in crate::dashboard) state: &'static str,
    pub(in crate::dashboard) rank: u8,
    pub(in crate::dashboard) flags: Flags,
    pub(in crate::dashboard) cells: BTreeMap<Arc<str>, String>,
    pub(in crate::dashboard) up: usize,
    pub(in crate::dashboard) total: usize,
    pub(in crate::dashboard) rate: f64,
    pub(in crate::dashboard) dropping: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) since: Option<Time>,
    pub(in crate::dashboard) reason: String,
}

/// An object with problems.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in crate::dashboard) struct ObjectProblems {
    pub(in crate::dashboard) kind: &'static str,
    pub(in crate::dashboard) name: String,
    pub(in crate::dashboard) nodes: Vec<Arc<str>>,
    pub(in crate::dashboard) problems: Vec<ProblemDetail>,
    pub(in crate::dashboard) held: bool,
}

/// One change of one object, folded over nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in crate::dashboard) struct TransitionDetail {
    pub(in crate::dashboard) kind: &'static str,
    pub(in crate::dashboard) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) from: Option<&'static str>,
    pub(in crate::dashboard) to: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) code: Option<&'static str>,
    pub(in crate::dashboard) at: Time,
    pub(in crate::dashboard) nodes: Vec<Arc<str>>,
}

impl LookedFor {
    /// The agents' pods of one namespace, or of all.
    pub(in crate::dashboard) fn new(namespace: Option<&str>) -> Self {
        let scope = namespace.map_or("--all-namespaces".to_owned(), |namespace| format!("--namespace {namespace}"));
        Self {
            namespace: namespace.unwrap_or_default().to_owned(),
            selector: SELECTOR.to_owned(),
            command: format!("kubectl {scope} get pods --selector {SELECTOR} --output wide"),
        }
    }
}
