//! The document of one node.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::{Position, ProblemDetail, Time, Vip};

/// The document of one node.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
pub struct NodeDocument {
    pub(crate) node: Arc<str>,
    /// Absent before the first state of the agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) as_of: Option<Position>,
    /// Time of the response.
    pub(crate) now: Time,
    pub(crate) frontends: BTreeMap<String, FrontendDetail>,
    pub(crate) backends: BTreeMap<String, BackendDetail>,
    pub(crate) health_checks: BTreeMap<String, HealthCheckDetail>,
    #[serde(flatten)]
    pub(crate) rest: NodeRest,
}

/// The document without Frontends, Backends and HealthChecks: small, so it is compared as a whole.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
pub struct NodeRest {
    /// Absent while VPP is not connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) vpp: Option<VppPanel>,
    pub(crate) foreign: BTreeMap<String, Foreign>,
    /// Absent until the agent has read its configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) settings: Option<Settings>,
    /// True while the claim of some Frontend is unreadable, so that unclaimed VIPs are not removed.
    pub(crate) claims_unknown: bool,
}

/// A Frontend on one node.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
pub struct FrontendDetail {
    pub(crate) vip: Vip,
    #[cfg_attr(test, ts(as = "crate::contract::FrontendState"))]
    pub(crate) state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(as = "Option<crate::contract::ProbeCode>"))]
    pub(crate) code: Option<&'static str>,
    /// Absent if no pool is active.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) active_pool: Option<Arc<str>>,
    #[cfg_attr(test, ts(type = r#""serving" | "held" | "withdrawn""#))]
    pub(crate) standing: &'static str,
    pub(crate) problems: Vec<ProblemDetail>,
    /// Absent: as VPP has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) encap: Option<String>,
    pub(crate) sticky: bool,
    #[cfg_attr(test, ts(as = "crate::contract::OnBackendDown"))]
    pub(crate) on_backend_down: &'static str,
    pub(crate) table_length: u16,
    pub(crate) uid: Arc<str>,
    pub(crate) generation: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) report: Option<ReportDetail>,
    /// Absent if VPP does not have the VIP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) in_vpp: Option<InVpp>,
    pub(crate) pools: BTreeMap<Arc<str>, PoolDetail>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) counters: Option<Counters>,
}

/// The node's progress with a Frontend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
pub struct ReportDetail {
    #[cfg_attr(test, ts(as = "crate::contract::ProgramResult"))]
    pub(crate) result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<Arc<str>>,
    pub(crate) generation: i64,
    pub(crate) fingerprint: String,
}

/// The state of a VIP in VPP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
pub struct InVpp {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(as = "Option<crate::contract::EncapType>"))]
    pub(crate) encap: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sticky: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) table_length: Option<u16>,
    /// Number of application servers.
    pub(crate) servers: usize,
    /// Application servers that no pool names, with their weights. Absent without any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unclaimed_servers: Option<BTreeMap<String, u8>>,
}

/// A pool on one node.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct PoolDetail {
    pub(crate) order: usize,
    pub(crate) active: bool,
    pub(crate) members: BTreeMap<String, Member>,
}

/// A Backend in a pool.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
pub struct Member {
    pub(crate) order: usize,
    /// The Node or Service of a Backend without an object: `Node node-a`, `Service shop/web`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) origin: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<String>,
    /// The configured weight.
    pub(crate) weight: u8,
    /// The weight that VPP should have.
    pub(crate) effective: u8,
    /// The weight that VPP has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) in_vpp: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) buckets: Option<u32>,
    /// The reason of the effective weight.
    #[cfg_attr(test, ts(as = "crate::contract::MemberCondition"))]
    pub(crate) condition: &'static str,
    /// The weight is kept as VPP has it.
    pub(crate) kept: bool,
    /// Absent while VPP does not report the traffic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) traffic: Option<MemberTraffic>,
    /// Upper bound of the tracked flows: VPP counts an expired flow until its entry in the sticky table is reused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) flows: Option<u32>,
    /// Absent if the node does not probe the path to the Backend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<PathDetail>,
}

/// The path of the VIP's packets to a Backend, as the last probes found it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
pub struct PathDetail {
    #[cfg_attr(test, ts(as = "crate::contract::PathState"))]
    pub(crate) state: &'static str,
    pub(crate) since: Time,
    /// The explanation of the state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) detail: Option<Arc<str>>,
}

/// The traffic that VPP sent to the address of a Backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct MemberTraffic {
    pub(crate) packets: Count,
    /// Including the encapsulation.
    pub(crate) bytes: Count,
    /// Number of VIPs in VPP with the address. With more than 1, the traffic cannot be attributed to one of them.
    pub(crate) vips: u32,
}

/// A Backend on one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
pub struct BackendDetail {
    pub(crate) address: String,
    #[cfg_attr(test, ts(as = "crate::contract::AdminState"))]
    pub(crate) admin_state: &'static str,
    #[cfg_attr(test, ts(as = "crate::contract::BackendState"))]
    pub(crate) state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(as = "Option<crate::contract::ProbeCode>"))]
    pub(crate) code: Option<&'static str>,
    /// Name of the HealthCheck.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) check: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) check_type: Option<&'static str>,
    /// Set if the Backend went down while the probe path was suspect.
    pub(crate) in_doubt: bool,
    /// Oldest first.
    pub(crate) history: Vec<PastTransition>,
    pub(crate) generation: i64,
    pub(crate) problems: Vec<ProblemDetail>,
}

/// A past transition of a Backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
pub struct PastTransition {
    #[cfg_attr(test, ts(as = "crate::contract::BackendState"))]
    pub(crate) from: &'static str,
    #[cfg_attr(test, ts(as = "crate::contract::BackendState"))]
    pub(crate) to: &'static str,
    pub(crate) at: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(as = "Option<crate::contract::ProbeCode>"))]
    pub(crate) code: Option<&'static str>,
}

/// A HealthCheck as the node resolved it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
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

/// VPP on one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
pub struct VppPanel {
    pub(crate) version: String,
    pub(crate) build_date: String,
    pub(crate) pid: u32,
    pub(crate) capabilities: String,
    /// Start of the connection.
    pub(crate) since: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) boot_time: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) heartbeat: Option<u64>,
    /// True if VPP supports weights.
    pub(crate) weights: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) conf: Option<VppConfDetail>,
    pub(crate) vips: usize,
    pub(crate) application_servers: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dump_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) counters_at: Option<Time>,
    /// By number of the thread: the threads that have forwarded a packet to a VIP.
    pub(crate) sticky_tables: BTreeMap<String, StickyTableDetail>,
}

/// The sticky table of a thread of VPP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct StickyTableDetail {
    /// Number of tracked flows that have not expired.
    pub(crate) entries: u64,
    /// Number of flows that fit.
    pub(crate) capacity: u64,
    /// True if so much of the capacity is used that some new flows are not tracked.
    pub(crate) filling: bool,
}

/// Global settings of VPP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
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

/// A VIP in VPP that no Frontend claims and the agent does not own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Foreign {
    #[serde(flatten)]
    pub(crate) vip: Vip,
    /// Length of the prefix.
    pub(crate) length: u8,
}

/// Settings of the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
pub struct Settings {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) load_balancer_config: Option<String>,
    pub(crate) sync_interval_s: u64,
    #[cfg_attr(test, ts(as = "crate::contract::ForeignVips"))]
    pub(crate) foreign_vips: &'static str,
    pub(crate) mass_removal_hold_s: u64,
    pub(crate) fail_open: bool,
}

/// The counters of a VIP. Counters that VPP does not have are omitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
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

/// Traffic on the route to the VIP's prefix, which all VIPs of one address share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct RouteDetail {
    pub(crate) packets: Count,
    pub(crate) bytes: Count,
}

/// A total, and its rate per second between the last two readings. Totals of a VIP count since VPP added the VIP, totals
/// of a member since the agent started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Count {
    pub(crate) total: u64,
    pub(crate) rate: f64,
}

/// Computes rates over an interval.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    seconds: f64,
}

impl Rate {
    /// Over an interval of 0 seconds, all rates are 0.
    pub fn over(seconds: f64) -> Self {
        Self { seconds }
    }

    /// The rate of a counter that increased by `increase`, rounded to one decimal. Never 0 for an increase.
    pub fn per_second(self, increase: u64) -> f64 {
        if self.seconds <= 0.0 || increase == 0 {
            return 0.0;
        }
        let rate = increase as f64 / self.seconds;
        ((rate * 10.0).round() / 10.0).max(0.1)
    }
}
