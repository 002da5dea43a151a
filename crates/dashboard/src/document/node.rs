//! One node, whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::{Place, ProblemDetail, Time, Vip};

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NodeDocument {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) node: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) as_of: Option<Place>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) now: Option<Time>,
    pub(crate) frontends: BTreeMap<String, FrontendDetail>,
    pub(crate) backends: BTreeMap<String, BackendDetail>,
    pub(crate) health_checks: BTreeMap<String, HealthCheckDetail>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) vpp: Option<VppPanel>,
    pub(crate) foreign: BTreeMap<String, Foreign>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) settings: Option<Settings>,
    pub(crate) claims_unknown: bool,
}

/// A frontend on one node.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FrontendDetail {
    pub(crate) vip: Vip,
    pub(crate) state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) active_pool: Option<Arc<str>>,
    pub(crate) standing: &'static str,
    pub(crate) problems: Vec<ProblemDetail>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) encap: Option<String>,
    pub(crate) sticky: bool,
    pub(crate) on_backend_down: &'static str,
    pub(crate) table_length: u16,
    pub(crate) uid: Arc<str>,
    pub(crate) generation: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) report: Option<ReportDetail>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) in_vpp: Option<InVpp>,
    pub(crate) pools: BTreeMap<Arc<str>, PoolDetail>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) counters: Option<Counters>,
}

/// How far the node is with a frontend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReportDetail {
    pub(crate) result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<Arc<str>>,
    pub(crate) generation: i64,
    pub(crate) fingerprint: String,
}

/// A VIP as VPP has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InVpp {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) encap: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sticky: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) table_length: Option<u16>,
    pub(crate) servers: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PoolDetail {
    pub(crate) order: usize,
    pub(crate) active: bool,
    pub(crate) members: BTreeMap<String, Member>,
}

/// A pool's backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Member {
    pub(crate) order: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<String>,
    pub(crate) weight: u8,
    pub(crate) effective: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) in_vpp: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) buckets: Option<u32>,
    pub(crate) condition: &'static str,
    pub(crate) kept: bool,
}

/// A backend on one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BackendDetail {
    pub(crate) address: String,
    pub(crate) admin_state: &'static str,
    pub(crate) state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) check: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) check_type: Option<&'static str>,
    pub(crate) in_doubt: bool,
    pub(crate) history: Vec<PastTransition>,
    pub(crate) generation: i64,
    pub(crate) problems: Vec<ProblemDetail>,
}

/// One change of a backend's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PastTransition {
    pub(crate) from: &'static str,
    pub(crate) to: &'static str,
    pub(crate) at: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<&'static str>,
}

/// A health check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HealthCheckDetail {
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) interval_ms: u64,
    pub(crate) fast_interval_ms: u64,
    pub(crate) down_interval_ms: u64,
    pub(crate) timeout_ms: u64,
    pub(crate) rise: u8,
    pub(crate) fall: u8,
    pub(crate) generation: i64,
    pub(crate) problems: Vec<ProblemDetail>,
}

/// The node's VPP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VppPanel {
    pub(crate) version: String,
    pub(crate) build_date: String,
    pub(crate) pid: u32,
    pub(crate) capabilities: String,
    pub(crate) since: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) boot_time: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) heartbeat: Option<u64>,
    pub(crate) weights: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) conf: Option<VppConfDetail>,
    pub(crate) vips: usize,
    pub(crate) application_servers: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dump_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) counters_at: Option<Time>,
}

/// VPP's own settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VppConfDetail {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ipv4_source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ipv6_source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sticky_buckets_per_core: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) flow_timeout_s: Option<u32>,
}

/// A VIP of VPP that is nobody's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Foreign {
    #[serde(flatten)]
    pub(crate) vip: Vip,
    pub(crate) length: u8,
}

/// The node's settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Settings {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) load_balancer_config: Option<String>,
    pub(crate) sync_interval_s: u64,
    pub(crate) foreign_vips: &'static str,
    pub(crate) mass_removal_hold_s: u64,
    pub(crate) fail_open: bool,
}

/// What VPP counted for a VIP; what it does not say is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Counters {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) existing: Option<Count>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) first: Option<Count>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) untracked: Option<Count>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) no_server: Option<Count>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) route: Option<RouteDetail>,
}

/// What took the route to the VIP's prefix, which VIPs of one address share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct RouteDetail {
    pub(crate) packets: Count,
    pub(crate) bytes: Count,
}

/// A counter: so far, and per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Count {
    pub(crate) total: u64,
    pub(crate) rate: f64,
}

/// Makes rates of what grew over some time.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    seconds: f64,
}

impl Rate {
    /// Over so many seconds; over none everything has rate 0.
    pub fn over(seconds: f64) -> Self {
        Self { seconds }
    }

    /// The rate of what grew by so much. One decimal is all that it is good for, but what grew is never 0.
    pub fn of(self, grown: u64) -> f64 {
        if self.seconds <= 0.0 || grown == 0 {
            return 0.0;
        }
        let rate = grown as f64 / self.seconds;
        ((rate * 10.0).round() / 10.0).max(0.1)
    }
}
