//! One node, whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::{Place, ProblemDetail, Time, Vip};

/// `api/state/{node}`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::dashboard) struct NodeDocument {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) node: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) as_of: Option<Place>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) now: Option<Time>,
    pub(in crate::dashboard) frontends: BTreeMap<String, FrontendDetail>,
    pub(in crate::dashboard) backends: BTreeMap<String, BackendDetail>,
    pub(in crate::dashboard) health_checks: BTreeMap<String, HealthCheckDetail>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) vpp: Option<VppPanel>,
    pub(in crate::dashboard) foreign: BTreeMap<String, Foreign>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) settings: Option<Settings>,
    pub(in crate::dashboard) claims_unknown: bool,
}

/// A frontend on one node.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::dashboard) struct FrontendDetail {
    pub(in crate::dashboard) vip: Vip,
    pub(in crate::dashboard) state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) since: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) active_pool: Option<Arc<str>>,
    pub(in crate::dashboard) standing: &'static str,
    pub(in crate::dashboard) problems: Vec<ProblemDetail>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) encap: Option<String>,
    pub(in crate::dashboard) sticky: bool,
    pub(in crate::dashboard) on_backend_down: &'static str,
    pub(in crate::dashboard) table_length: u16,
    pub(in crate::dashboard) uid: Arc<str>,
    pub(in crate::dashboard) generation: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) report: Option<ReportDetail>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) in_vpp: Option<InVpp>,
    pub(in crate::dashboard) pools: BTreeMap<Arc<str>, PoolDetail>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) counters: Option<Counters>,
}

/// How far the node is with a frontend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in crate::dashboard) struct ReportDetail {
    pub(in crate::dashboard) result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) reason: Option<Arc<str>>,
    pub(in crate::dashboard) generation: i64,
    pub(in crate::dashboard) fingerprint: String,
}

/// A VIP as VPP has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in crate::dashboard) struct InVpp {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) encap: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) sticky: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) table_length: Option<u16>,
    pub(in crate::dashboard) servers: usize,
}

/// A pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in crate::dashboard) struct PoolDetail {
    pub(in crate::dashboard) order: usize,
    pub(in crate::dashboard) active: bool,
    pub(in crate::dashboard) members: BTreeMap<String, Member>,
}

/// A pool's backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in crate::dashboard) struct Member {
    pub(in crate::dashboard) order: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) address: Option<String>,
    pub(in crate::dashboard) weight: u8,
    pub(in crate::dashboard) effective: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) in_vpp: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) buckets: Option<u32>,
    pub(in crate::dashboard) condition: &'static str,
    pub(in crate::dashboard) kept: bool,
}

/// A backend on one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in crate::dashboard) struct BackendDetail {
    pub(in crate::dashboard) address: String,
    pub(in crate::dashboard) admin_state: &'static str,
    pub(in crate::dashboard) state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) since: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) check: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) check_type: Option<&'static str>,
    pub(in crate::dashboard) in_doubt: bool,
    pub(in crate::dashboard) history: Vec<PastTransition>,
    pub(in crate::dashboard) generation: i64,
    pub(in crate::dashboard) problems: Vec<ProblemDetail>,
}

/// One change of a backend's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(in crate::dashboard) struct PastTransition {
    pub(in crate::dashboard) from: &'static str,
    pub(in crate::dashboard) to: &'static str,
    pub(in crate::dashboard) at: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) code: Option<&'static str>,
}

/// A health check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in crate::dashboard) struct HealthCheckDetail {
    #[serde(rename = "type")]
    pub(in crate::dashboard) kind: &'static str,
    pub(in crate::dashboard) interval_ms: u64,
    pub(in crate::dashboard) fast_interval_ms: u64,
    pub(in crate::dashboard) down_interval_ms: u64,
    pub(in crate::dashboard) timeout_ms: u64,
    pub(in crate::dashboard) rise: u8,
    pub(in crate::dashboard) fall: u8,
    pub(in crate::dashboard) generation: i64,
    pub(in crate::dashboard) problems: Vec<ProblemDetail>,
}

/// The node's VPP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in crate::dashboard) struct VppPanel {
    pub(in crate::dashboard) version: String,
    pub(in crate::dashboard) build_date: String,
    pub(in crate::dashboard) pid: u32,
    pub(in crate::dashboard) capabilities: String,
    pub(in crate::dashboard) since: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) boot_time: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) heartbeat: Option<u64>,
    pub(in crate::dashboard) weights: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) conf: Option<VppConfDetail>,
    pub(in crate::dashboard) vips: usize,
    pub(in crate::dashboard) application_servers: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) dump_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) counters_at: Option<Time>,
}

/// VPP's own settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in crate::dashboard) struct VppConfDetail {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) ipv4_source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) ipv6_source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) sticky_buckets_per_core: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) flow_timeout_s: Option<u32>,
}

/// A VIP of VPP that is nobody's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in crate::dashboard) struct Foreign {
    #[serde(flatten)]
    pub(in crate::dashboard) vip: Vip,
    pub(in crate::dashboard) length: u8,
}

/// The node's settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in crate::dashboard) struct Settings {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) load_balancer_config: Option<String>,
    pub(in crate::dashboard) sync_interval_s: u64,
    pub(in crate::dashboard) foreign_vips: &'static str,
    pub(in crate::dashboard) mass_removal_hold_s: u64,
    pub(in crate::dashboard) fail_open: bool,
}

/// What VPP counted for a VIP; what it does not say is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(in crate::dashboard) struct Counters {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) existing: Option<Count>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) first: Option<Count>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) untracked: Option<Count>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) no_server: Option<Count>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::dashboard) route: Option<RouteDetail>,
}

/// What took the route to the VIP's prefix, which VIPs of one address share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(in crate::dashboard) struct RouteDetail {
    pub(in crate::dashboard) packets: Count,
    pub(in crate::dashboard) bytes: Count,
}

/// A counter: so far, and per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(in crate::dashboard) struct Count {
    pub(in crate::dashboard) total: u64,
    pub(in crate::dashboard) rate: f64,
}

/// Makes rates of what grew over some time.
#[derive(Clone, Copy, Debug)]
pub(in crate::dashboard) struct Rate {
    seconds: f64,
}

impl Rate {
    /// Over so many seconds; over none everything has rate 0.
    pub(in crate::dashboard) fn over(seconds: f64) -> Self {
        Self { seconds }
    }

    /// The rate of what grew by so much. One decimal is all that it is good for, but what grew is never 0.
    pub(in crate::dashboard) fn of(self, grown: u64) -> f64 {
        if self.seconds <= 0.0 || grown == 0 {
            return 0.0;
        }
        let rate = grown as f64 / self.seconds;
        ((rate * 10.0).round() / 10.0).max(0.1)
    }
}
