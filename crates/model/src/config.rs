//! The resolved configuration of one node: the custom resources with references resolved and rules over several
//! objects applied. Built by `index`, read by `health` and `agent`.

mod certificate;
mod disruption;
mod health_check;
mod members;
mod node;
mod ramp_up;

use std::{fmt, net::IpAddr, sync::Arc};

use imbl::OrdMap;

pub use self::{
    certificate::{Authorities, ClientCertificate},
    disruption::DisruptionBudget,
    health_check::{ConnectionMode, HeaderValue, HealthCheck, Http, HttpMethod, Probe, StatusRange, Tls},
    members::Members,
    node::{ForeignVips, NodeConfig, ProbeConf, SyncConf, VppConf},
    ramp_up::RampUp,
};
use super::{
    drain::DrainConf,
    name::Name,
    path::{PathMode, PathProbe},
    problem::Problem,
    vip::{Encap, TableLength, VipKey, Weight},
};

/// A kind of object that an agent watches.
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
    /// `addresspolicies.maglev.vpp.io`.
    AddressPolicy,
    /// The Node that the agent runs on.
    Node,
    /// Namespaces, watched only while an AddressPolicy selects them by label.
    Namespace,
    /// EndpointSlices, watched only while the pool of a Frontend follows a Service.
    EndpointSlice,
}

impl Kind {
    /// Every watched kind.
    pub const ALL: [Self; 8] = [
        Self::HealthCheck,
        Self::Backend,
        Self::Frontend,
        Self::LoadBalancerConfig,
        Self::AddressPolicy,
        Self::Node,
        Self::Namespace,
        Self::EndpointSlice,
    ];

    /// The spelling in manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HealthCheck => "HealthCheck",
            Self::Backend => "Backend",
            Self::Frontend => "Frontend",
            Self::LoadBalancerConfig => "LoadBalancerConfig",
            Self::AddressPolicy => "AddressPolicy",
            Self::Node => "Node",
            Self::Namespace => "Namespace",
            Self::EndpointSlice => "EndpointSlice",
        }
    }
}

/// Proof that the first complete list of every watched kind was received. It is required to create a [`Config`], and
/// without a `Config` nothing is written to VPP.
#[derive(Clone, Copy, Debug)]
pub struct Listed(());

impl Listed {
    /// Returns the proof if `listed` is true for every kind.
    pub fn when(listed: impl Fn(Kind) -> bool) -> Option<Self> {
        Kind::ALL.into_iter().all(listed).then_some(Self(()))
    }
}

/// A snapshot of the resolved configuration of a node. Cheap to clone; `diff` of the maps gives the changes between two
/// snapshots.
#[derive(Clone, Debug)]
pub struct Config {
    /// All Frontends with a readable claim, including withdrawn and held ones.
    pub frontends: OrdMap<Name, Arc<Frontend>>,
    /// All readable Backends, including unused ones, and the derived Backends of pools that follow a Service.
    pub backends: OrdMap<Name, Arc<Backend>>,
    /// All readable HealthChecks, including unused ones, and that of Nodes while a pool uses Nodes.
    pub health_checks: OrdMap<Name, Arc<HealthCheck>>,
    /// The settings of the node.
    pub node: Arc<NodeConfig>,
    /// True while the claim of some stored Frontend is unreadable. Unclaimed VIPs must not be removed then, since one of
    /// them may belong to that Frontend.
    pub claims_unknown: bool,
    /// Grows with every change of an object that people write. While it stays the same, two configurations differ by
    /// EndpointSlices and Nodes only.
    pub written: u64,
}

impl Config {
    /// Creates an empty configuration, to be filled by the index.
    pub fn new(_: Listed, node: Arc<NodeConfig>) -> Self {
        Self {
            frontends: OrdMap::new(),
            backends: OrdMap::new(),
            health_checks: OrdMap::new(),
            node,
            claims_unknown: false,
            written: 0,
        }
    }
}

/// The identity and version of the object that a value was resolved from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Revision {
    /// `metadata.uid`.
    pub uid: Arc<str>,
    /// `metadata.generation`.
    pub generation: i64,
}

/// A resolved Frontend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frontend {
    /// `namespace/name`.
    pub name: Name,
    /// Identity and version of the object.
    pub revision: Revision,
    /// The claimed VIP.
    pub vip: VipKey,
    /// The treatment of the Frontend by the agents.
    pub standing: Standing,
    /// Pools in order of priority; empty if the object does not decode.
    pub pools: Vec<Pool>,
    /// Encapsulation. `None` if no backend resolves or the object does not decode: VPP then keeps the encapsulation
    /// that it has.
    pub encap: Option<Encap>,
    /// Session affinity by client address (`sessionAffinity: ClientIP`; VPP `src_ip_sticky`).
    pub sticky: bool,
    /// The action on flows pinned to a backend that goes down.
    pub on_backend_down: OnBackendDown,
    /// Number of buckets in the new-flow table.
    pub table_length: TableLength,
    /// The probe of the path to each backend; `None` if the path is not probed. Always `None` without GRE or a TCP port.
    pub path_probe: Option<PathProbe>,
    /// The limit on the buckets that changes of the configuration move; `None` for no limit.
    pub disruption: Option<DisruptionBudget>,
    /// The ramp of backends that come up; `None` if they get their weight at once.
    pub ramp_up: Option<RampUp>,
}

impl Frontend {
    /// True if the backends of some pool have different weights above 0, which needs a VPP with weights. Weight 0 works
    /// with every VPP.
    pub fn has_unequal_weights(&self) -> bool {
        self.pools.iter().any(|pool| {
            let mut shares = pool.members.iter().map(|member| member.weight).filter(|weight| *weight > Weight::ZERO);
            shares.next().is_some_and(|first| shares.any(|other| other != first))
        })
    }

    /// True if the Frontend needs a VPP with weights: for unequal weights, or for ramps.
    pub fn needs_weights(&self) -> bool {
        self.has_unequal_weights() || self.ramp_up.is_some()
    }

    /// True if a backend gets its weight only while its path works.
    pub fn requires_path(&self) -> bool {
        self.path_probe.is_some_and(|probe| probe.mode == PathMode::Require)
    }
}

/// The treatment of a Frontend by the agents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// VPP is programmed to match the Frontend.
    Serving,
    /// The VIP stays as VPP has it, because of a problem. Only the weights of resolved backends follow health.
    Held(Problem),
    /// The VIP is removed, because another Frontend has precedence, or an AddressPolicy withdraws it.
    Withdrawn(Problem),
}

/// A pool of a Frontend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// The name, unique within the Frontend.
    pub name: Arc<str>,
    /// The members, without dropped ones (Backend missing, or address duplicate).
    pub members: Members,
}

/// A backend in a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The name of the Backend.
    pub backend: Name,
    /// The weight while the backend is up and the pool active.
    pub weight: Weight,
    /// The resolved Backend.
    pub target: MemberTarget,
}

/// The object that the name of a member resolved to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberTarget {
    /// A readable Backend.
    Backend(Arc<Backend>),
    /// A stored Backend that does not decode or is not allowed. Its application server stays as VPP has it. Without an address, any
    /// application server of the VIP that no other member claims may be this one.
    Unreadable {
        /// The address; `None` if it is unreadable, too.
        address: Option<IpAddr>,
    },
}

impl MemberTarget {
    /// The address of the backend; `None` if it is unreadable.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Backend(backend) => Some(backend.address),
            Self::Unreadable { address } => *address,
        }
    }
}

/// The action on flows pinned to a backend that goes down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnBackendDown {
    /// The flows are flushed and move to a backend that is up.
    #[default]
    Flush,
    /// The flows stay with the backend.
    Keep,
}

impl OnBackendDown {
    /// The spelling in manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Flush => "Flush",
            Self::Keep => "Keep",
        }
    }
}

impl fmt::Display for OnBackendDown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A resolved Backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// `namespace/name`, or a [`DerivedName`](super::derived::DerivedName).
    pub name: Name,
    /// Identity and version of the object; the default for a derived Backend.
    pub revision: Revision,
    /// The address of the application server.
    pub address: IpAddr,
    /// The admin state set by the operator.
    pub admin_state: AdminState,
    /// The reason for which a derived Backend is `Paused`, human-readable; `None` for a Backend with an object.
    pub pause_cause: Option<Arc<str>>,
    /// The settings of a drain, used while the admin state is `Paused`.
    pub drain: DrainConf,
    /// The resolved health check.
    pub check: Check,
}

/// The admin state of a backend, set by the operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AdminState {
    /// The backend takes traffic while it is up.
    #[default]
    Enabled,
    /// The backend gets no new flows; pinned flows stay. It is not probed.
    Paused,
    /// The backend gets no traffic; pinned flows are flushed. It is not probed.
    Disabled,
}

impl AdminState {
    /// The spelling in manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "Enabled",
            Self::Paused => "Paused",
            Self::Disabled => "Disabled",
        }
    }
}

impl fmt::Display for AdminState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The resolved health check of a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// The Backend names no HealthCheck: always up.
    None,
    /// The backend is probed.
    Probe(Arc<HealthCheck>),
    /// The HealthCheck is missing or does not decode: not probed, weight kept, never flushed.
    Missing(Problem),
    /// The agent does not support the type of the probe: not probed, state unknown.
    NotSupported(Problem),
}
