//! One node's settings: what its LoadBalancerConfig and its Node object say.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use crate::{name::Name, vip::Family};

/// What the LoadBalancerConfig and the Node object say about this node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeConfig {
    /// The LoadBalancerConfig in use; `None` = the defaults.
    pub load_balancer_config: Option<Name>,
    /// The Node's first InternalIP of IPv4.
    pub internal_ipv4: Option<Ipv4Addr>,
    /// The Node's first InternalIP of IPv6.
    pub internal_ipv6: Option<Ipv6Addr>,
    /// VPP's global settings.
    pub vpp: VppConf,
    /// How the agent syncs.
    pub sync: SyncConf,
    /// How the agent probes.
    pub probe: ProbeConf,
}

/// VPP's `lb_conf`; what is `None` keeps what VPP has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VppConf {
    /// Source of IPv4 encapsulation.
    pub ipv4_source: Option<Ipv4Addr>,
    /// Source of IPv6 encapsulation.
    pub ipv6_source: Option<Ipv6Addr>,
    /// Buckets of each worker's sticky table; a power of two.
    pub sticky_buckets_per_core: Option<u32>,
    /// Seconds after which an idle flow is forgotten.
    pub flow_timeout: Option<u32>,
}

/// How the agent syncs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncConf {
    /// Between two full passes; also the longest delay between retries of a failed step.
    pub interval: Duration,
    /// After the first list, nothing is written for so long.
    pub startup_min_delay: Duration,
    /// After the first list and so long, backends still unknown are waited for no more.
    pub startup_max_delay: Duration,
    /// What is done with VIPs that no Frontend claims and that are not ours.
    pub foreign_vips: ForeignVips,
    /// How long a mass removal is held.
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

/// What is done with VIPs that no Frontend claims and that are not ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForeignVips {
    /// Reported and kept.
    #[default]
    Keep,
    /// Removed.
    Remove,
}

/// How the agent probes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeConf {
    /// Source address of IPv4 probes; `None` = the kernel's choice.
    pub ipv4_source: Option<Ipv4Addr>,
    /// Source address of IPv6 probes; `None` = the kernel's choice.
    pub ipv6_source: Option<Ipv6Addr>,
    /// Transitions kept per backend.
    pub transition_history: usize,
    /// Whether weights are kept while the probe path itself is suspect.
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
