//! The resolved configuration of one node: what the custom resources say, references followed,
//! rules over several objects decided. Made by `index`, read by `health` and `agent`.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    num::NonZeroU16,
    sync::Arc,
    time::Duration,
};

use imbl::OrdMap;

use super::{
    name::Name,
    problem::Problem,
    vip::{Encap, Family, TableLength, VipKey, Weight},
};

/// The kinds that an agent watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `healthchecks.maglev.vpp.io`.
    HealthCheck,
    /// `backends.maglev.vpp.io`.
    Backend,
    /// `frontends.maglev.vpp.io`.
    Frontend,
    /// `loadbalancerconfigs.maglev.vpp.io`.
    LoadBalancerConfig,
    /// The agent's own Node.
    Node,
}

impl Kind {
    /// Every watched kind.
    pub const ALL: [Self; 5] = [Self::HealthCheck, Self::Backend, Self::Frontend, Self::LoadBalancerConfig, Self::Node];

    /// The kind's name in manifests.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HealthCheck => "HealthCheck",
            Self::Backend => "Backend",
            Self::Frontend => "Frontend",
            Self::LoadBalancerConfig => "LoadBalancerConfig",
            Self::Node => "Node",
        }
    }
}

/// Proof that every watched kind has had its first complete list. Without one there is no
/// [`Config`], and without a `Config` nothing is written to VPP.
#[derive(Clone, Copy, Debug)]
pub struct Listed(());

impl Listed {
    /// `Some` once `listed` holds for every kind.
    #[must_use]
    pub fn when(listed: impl Fn(Kind) -> bool) -> Option<Self> {
        Kind::ALL.into_iter().all(listed).then_some(Self(()))
    }
}

/// Everything a node needs to know, as of one moment. A clone is cheap; what changed between two
/// snapshots is the `diff` of their maps.
#[derive(Clone, Debug)]
pub struct Config {
    /// Every Frontend whose claim is known, withdrawn and held ones included.
    pub frontends: OrdMap<Name, Arc<Frontend>>,
    /// Every readable Backend, used by a Frontend or not.
    pub backends: OrdMap<Name, Arc<Backend>>,
    /// Every readable HealthCheck, used or not.
    pub health_checks: OrdMap<Name, Arc<HealthCheck>>,
    /// What the LoadBalancerConfig and the Node say about this node.
    pub node: Arc<NodeConfig>,
    /// Some stored Frontend is so broken that not even its claim can be read: no VIP that no
    /// readable Frontend claims may be removed meanwhile.
    pub claims_unknown: bool,
}

impl Config {
    /// An empty configuration, to be filled by the index.
    #[must_use]
    pub fn new(_: Listed, node: Arc<NodeConfig>) -> Self {
        Self {
            frontends: OrdMap::new(),
            backends: OrdMap::new(),
            health_checks: OrdMap::new(),
            node,
            claims_unknown: false,
        }
    }
}

/// Which version of which object something was resolved from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Revision {
    /// `metadata.uid`.
    pub uid: Arc<str>,
    /// `metadata.generation`.
    pub generation: i64,
}

/// A Frontend, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frontend {
    /// `namespace/name`.
    pub name: Name,
    /// The object it was resolved from.
    pub revision: Revision,
    /// Its claim.
    pub vip: VipKey,
    /// What the agents do about it.
    pub standing: Standing,
    /// Pools in order of priority; empty where the object does not decode.
    pub pools: Vec<Pool>,
    /// `None` while no backend resolves (or the object does not decode): encap as VPP has it.
    pub encap: Option<Encap>,
    /// Flows stick to the client's address (`sessionAffinity: ClientIP`; VPP `src_ip_sticky`).
    pub sticky: bool,
    /// Whether flows pinned to a backend that goes down are flushed.
    pub on_backend_down: OnBackendDown,
    /// Buckets in its new-flow table.
    pub table_length: TableLength,
}

/// What the agents do about a Frontend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// VPP is made to match it.
    Serving,
    /// The VIP stays as VPP has it; only weights of backends that resolve follow health.
    Held(Problem),
    /// The VIP is removed: another Frontend has a better claim.
    Withdrawn(Problem),
}

/// A pool of a Frontend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Its name within the Frontend.
    pub name: Arc<str>,
    /// Its members, less those that were dropped (Backend missing, address a duplicate).
    pub members: Vec<Member>,
}

/// A pool's entry for one backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The Backend's name.
    pub backend: Name,
    /// The weight it has when it is up and its pool active.
    pub weight: Weight,
    /// What the name resolved to.
    pub target: Target,
}

/// What a member's name resolved to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A readable Backend.
    Backend(Arc<Backend>),
    /// A stored Backend that does not decode: its AS stays as VPP has it. Without an address, any
    /// AS of the VIP that no other member claims might be it.
    Unreadable {
        /// The address, where at least that could be read.
        address: Option<IpAddr>,
    },
}

impl Target {
    /// The address, if it is known.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Backend(backend) => Some(backend.address),
            Self::Unreadable { address } => *address,
        }
    }
}

/// What happens to flows pinned to a backend that goes down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnBackendDown {
    /// They are flushed, so that they move to a backend that is up.
    #[default]
    Flush,
    /// They are kept.
    Keep,
}

/// A Backend, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// `namespace/name`.
    pub name: Name,
    /// The object it was resolved from.
    pub revision: Revision,
    /// The application server's address.
    pub address: IpAddr,
    /// What the operator wants of it.
    pub admin_state: AdminState,
    /// How its health is found out.
    pub check: Check,
}

/// What the operator wants of a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AdminState {
    /// It takes traffic when it is up.
    #[default]
    Enabled,
    /// No new flows; pinned ones stay. Not probed.
    Paused,
    /// No flows at all: pinned ones are flushed. Not probed.
    Disabled,
}

/// How a backend's health is found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// No HealthCheck is named: always up.
    None,
    /// Probed.
    Probe(Arc<HealthCheck>),
    /// The HealthCheck is missing or does not decode: not probed, weight kept, never flushed.
    Missing(Problem),
    /// This build cannot do such a check: not probed, unknown.
    NotSupported(Problem),
}

/// A HealthCheck, resolved: absent fields have their defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// `namespace/name`.
    pub name: Name,
    /// The object it was resolved from. Not part of what a probe does: see [`HealthCheck::same_probe`].
    pub revision: Revision,
    /// From start to start of two probes while the counter is at the top.
    pub interval: Duration,
    /// The same while the counter is neither at the top nor at 0.
    pub fast_interval: Duration,
    /// The same while the counter is at 0.
    pub down_interval: Duration,
    /// For the whole of one probe.
    pub timeout: Duration,
    /// Successes in a row that bring a backend up, 1–100.
    pub rise: u8,
    /// Failures in a row that bring a backend down, 1–100.
    pub fall: u8,
    /// What one probe does.
    pub probe: Probe,
}

impl HealthCheck {
    /// Whether `other` leads to the same probing, whatever its object's generation.
    #[must_use]
    pub fn same_probe(&self, other: &Self) -> bool {
        let Self { name: _, revision: _, interval, fast_interval, down_interval, timeout, rise, fall, probe } = self;
        (interval, fast_interval, down_interval, timeout, rise, fall, probe)
            == (
                &other.interval,
                &other.fast_interval,
                &other.down_interval,
                &other.timeout,
                &other.rise,
                &other.fall,
                &other.probe,
            )
    }
}

/// What one probe does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// An ICMP echo.
    Icmp,
    /// A TCP connection, optionally with a TLS handshake.
    Tcp {
        /// The port to connect to.
        port: NonZeroU16,
        /// TLS over it.
        tls: Option<Tls>,
    },
    /// An HTTP request, over TLS for HTTPS.
    Http {
        /// The port to connect to.
        port: NonZeroU16,
        /// The request and what is expected of the response.
        http: Http,
        /// `Some` for HTTPS.
        tls: Option<Tls>,
    },
    /// `grpc.health.v1.Health/Check`.
    Grpc {
        /// The port to connect to.
        port: NonZeroU16,
        /// The service name asked for; empty for the server as a whole.
        service: String,
        /// TLS over it.
        tls: Option<Tls>,
    },
}

impl Probe {
    /// The type as manifests and metrics spell it.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Icmp => "ICMP",
            Self::Tcp { .. } => "TCP",
            Self::Http { tls: None, .. } => "HTTP",
            Self::Http { tls: Some(_), .. } => "HTTPS",
            Self::Grpc { .. } => "GRPC",
        }
    }
}

/// An HTTP probe's request, and what is expected of the response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Path and query.
    pub path: String,
    /// The `Host` header; `None` = the backend's address and port.
    pub host: Option<String>,
    /// The method.
    pub method: HttpMethod,
    /// Statuses that count as success; never empty.
    pub expected_statuses: Vec<StatusRange>,
    /// A regular expression that the first 64 KiB of the body must match. Known to compile.
    pub expected_body: Option<String>,
    /// Further headers, in the order of the manifest.
    pub headers: Vec<(String, String)>,
}

/// An HTTP probe's method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HttpMethod {
    /// `GET`.
    #[default]
    Get,
    /// `HEAD`.
    Head,
}

/// An inclusive range of HTTP statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusRange {
    /// The first.
    pub from: u16,
    /// The last.
    pub to: u16,
}

/// TLS of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The name sent as SNI and looked for in the certificate.
    pub server_name: Option<String>,
    /// Accept any certificate.
    pub insecure_skip_verify: bool,
}

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
    #[must_use]
    pub fn source(&self, family: Family) -> Option<IpAddr> {
        match family {
            Family::V4 => self.ipv4_source.map(IpAddr::V4),
            Family::V6 => self.ipv6_source.map(IpAddr::V6),
        }
    }
}
