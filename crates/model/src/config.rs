//! The resolved configuration of one node: what the custom resources say, references followed,
//! rules over several objects decided. Made by `index`, read by `health` and `agent`.

mod certificate;
mod health_check;
mod node;

use std::{net::IpAddr, sync::Arc};

use imbl::OrdMap;

pub use self::{
    certificate::{Authorities, ClientCertificate},
    health_check::{HealthCheck, Http, HttpMethod, Probe, StatusRange, Tls},
    node::{ForeignVips, NodeConfig, ProbeConf, SyncConf, VppConf},
};
use super::{
    name::Name,
    problem::Problem,
    vip::{Encap, TableLength, VipKey, Weight},
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

impl Frontend {
    /// Whether some pool gives its backends shares that differ, which needs a VPP with weights. A
    /// weight of 0 is a share that every VPP can give.
    pub fn has_unequal_weights(&self) -> bool {
        self.pools.iter().any(|pool| {
            let mut shares = pool.members.iter().map(|member| member.weight).filter(|weight| *weight > Weight::ZERO);
            shares.next().is_some_and(|first| shares.any(|other| other != first))
        })
    }
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
