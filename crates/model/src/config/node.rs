//! The settings of one node, from its LoadBalancerConfig and its Node object.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use crate::{name::Name, vip::Family};

/// The settings of a node, from its LoadBalancerConfig and its Node object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeConfig {
    /// The LoadBalancerConfig in use; `None` for the defaults.
    pub load_balancer_config: Option<Name>,
    /// The first IPv4 InternalIP of the Node.
    pub internal_ipv4: Option<Ipv4Addr>,
    /// The first IPv6 InternalIP of the Node.
    pub internal_ipv6: Option<Ipv6Addr>,
    /// The global settings of VPP.
    pub vpp: VppConf,
    /// The settings of the synchronization of VPP.
    pub sync: SyncConf,
    /// The settings of probes.
    pub probe: ProbeConf,
}

/// The desired global settings of VPP (`lb_conf`), of which `None` keeps the value that VPP has, and the limit of its
/// tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VppConf {
    /// Source address of IPv4 encapsulation.
    pub ipv4_source: Option<Ipv4Addr>,
    /// Source address of IPv6 encapsulation.
    pub ipv6_source: Option<Ipv6Addr>,
    /// Number of buckets in the sticky table of each worker; a power of two, 1–2^24.
    pub sticky_buckets_per_core: Option<u32>,
    /// Idle time in seconds after which a flow is forgotten, 1–86,400.
    pub flow_timeout: Option<u32>,
    /// Limit of the buckets of all Frontends' tables; Frontends beyond are not added.
    pub max_table_entries: u32,
}

impl VppConf {
    /// The default of `max_table_entries`: 512 tables of the default length.
    pub const MAX_TABLE_ENTRIES: u32 = 4 << 20;
}

impl Default for VppConf {
    fn default() -> Self {
        Self {
            ipv4_source: None,
            ipv6_source: None,
            sticky_buckets_per_core: None,
            flow_timeout: None,
            max_table_entries: Self::MAX_TABLE_ENTRIES,
        }
    }
}

/// The settings of the synchronization of VPP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncConf {
    /// Time between two full syncs; also the longest delay before a failed step is retried. 1 s to 1 h.
    pub interval: Duration,
    /// Time after the first list during which nothing is written. 0 to 10 min.
    pub startup_min_delay: Duration,
    /// Longest time after the first list to wait for the first probe results. 0 to 10 min.
    pub startup_max_delay: Duration,
    /// The action on foreign VIPs.
    pub foreign_vips: ForeignVips,
    /// Time to hold back a mass removal. 0 (no hold) to 24 h.
    pub mass_removal_hold: Duration,
}

impl Default for SyncConf {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(30),
            startup_min_delay: Duration::from_secs(5),
            startup_max_delay: Duration::from_secs(30),
            foreign_vips: ForeignVips::Keep,
            mass_removal_hold: Duration::from_mins(5),
        }
    }
}

/// The action on foreign VIPs: VIPs that no Frontend claims and that the agent does not own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForeignVips {
    /// Foreign VIPs are reported and left alone.
    #[default]
    Keep,
    /// Foreign VIPs are removed.
    Remove,
}

impl ForeignVips {
    /// The spelling in manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "Keep",
            Self::Remove => "Remove",
        }
    }
}

impl fmt::Display for ForeignVips {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The settings of probes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeConf {
    /// Source address of IPv4 probes; `None` to let the kernel choose.
    pub ipv4_source: Option<Ipv4Addr>,
    /// Source address of IPv6 probes; `None` to let the kernel choose.
    pub ipv6_source: Option<Ipv6Addr>,
    /// Number of transitions kept per backend, 1–100.
    pub transition_history: usize,
    /// True to keep weights while the probe path itself is suspect.
    pub fail_open: bool,
}

impl Default for ProbeConf {
    fn default() -> Self {
        Self { ipv4_source: None, ipv6_source: None, transition_history: 5, fail_open: true }
    }
}

impl ProbeConf {
    /// The source address for probes of `family`.
    pub fn source(&self, family: Family) -> Option<IpAddr> {
        match family {
            Family::V4 => self.ipv4_source.map(IpAddr::V4),
            Family::V6 => self.ipv6_source.map(IpAddr::V6),
        }
    }
}
