//! Changes of an agent's state.
//!
//! The bus applies each change to its `View`, and so does every client that mirrors the agent over the network: the
//! snapshot plus all later changes gives the same view everywhere. A change sets values and never increments them, so
//! applying it twice is harmless.

use std::{net::IpAddr, sync::Arc};

use imbl::ordmap::DiffItem;
use jiff::Timestamp;

use super::{
    actual::{Actual, ActualConf, ActualEncap, ActualVip, VppVip},
    config::{Backend, Config, Frontend, HealthCheck, Kind, NodeConfig},
    drain::Drain,
    fingerprint::Fingerprint,
    frontend_status::{FrontendState, ProgramResult},
    health::{BackendHealth, ProbeCode},
    name::Name,
    path::{PathHealth, PathKey},
    problem::Problem,
    ramp::Ramps,
    server_map::ServerMap,
    vip::Family,
    weights::ActivePool,
};

/// A change of an agent's state.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A change of the resolved configuration.
    Config(Arc<ConfigDelta>),
    /// The health of a Backend; `None` if the agent no longer tracks the Backend.
    Health(Name, Option<BackendHealth>),
    /// The probe path of a family is suspect (`true`), or no longer is.
    Suspect(Family, bool),
    /// The state of a path; `None` if the path is no longer probed.
    Path(PathKey, Option<PathHealth>),
    /// The drain of a Backend; `None` if the Backend is not drained, or not by this node.
    Drain(Name, Option<Drain>),
    /// The state of a Frontend, and the probe code of the Backend that caused it.
    Frontend(Name, FrontendState, Option<ProbeCode>),
    /// The active pool of a Frontend on this node.
    ActivePool(Name, ActivePool),
    /// The ramps of a Frontend's application servers in progress; empty if there are none.
    Ramps(Name, Ramps),
    /// The progress of programming a Frontend.
    Report(Name, Report),
    /// The agent no longer tracks a Frontend: its state, report, active pool and ramps are dropped.
    Forget(Name),
    /// A session with VPP was opened.
    VppConnected(Arc<VppInfo>),
    /// The session with VPP ended: the state of VPP is dropped.
    VppDisconnected,
    /// The complete state of VPP as read by a dump.
    VppState(ActualConf, Arc<Actual>),
    /// The global settings of VPP.
    VppConf(ActualConf),
    /// A VIP in VPP; `None` if it was removed.
    Vip(VppVip, Option<VipState>),
    /// The weight of an application server of a VIP; `None` if it was removed.
    Server(VppVip, IpAddr, Option<u8>),
    /// A VIP in VPP that no Frontend claims and that the agent does not own.
    Foreign(VppVip),
    /// A mass removal or a change of the configuration is held back.
    Held(SyncHold),
    /// The hold with this ID ended.
    Released(Arc<str>),
    /// A full sync ended. The number of its failed steps.
    Synced(u32),
    /// A sync error of the node as a whole rather than of one VIP.
    SyncFailed(Arc<str>),
}

/// The difference between two configurations. `None` stands for a deleted object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConfigDelta {
    /// Changed HealthChecks.
    pub health_checks: Vec<(Name, Option<Arc<HealthCheck>>)>,
    /// Changed Backends.
    pub backends: Vec<(Name, Option<Arc<Backend>>)>,
    /// Changed Frontends.
    pub frontends: Vec<(Name, Option<Arc<Frontend>>)>,
    /// The settings of the node; `None` if unchanged.
    pub node: Option<Arc<NodeConfig>>,
    /// The new value of [`Config::claims_unknown`]; `None` if unchanged.
    pub claims_unknown: Option<bool>,
    /// All current problems of each object whose problems changed.
    pub problems: Vec<((Kind, Name), Problems)>,
}

/// The problems of one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    /// The `metadata.generation` of the object that has the problems.
    pub generation: i64,
    /// The problems in a stable order; empty if the object has none.
    pub problems: Arc<[Problem]>,
}

impl ConfigDelta {
    /// The difference from `old` to `new`, without problems. Takes time proportional to the number of differences.
    pub fn between(old: Option<&Config>, new: &Config) -> Self {
        let frontends = differing(old.map(|old| &old.frontends), &new.frontends);
        let backends = differing(old.map(|old| &old.backends), &new.backends);
        let health_checks = differing(old.map(|old| &old.health_checks), &new.health_checks);
        let same_node = old.is_some_and(|old| old.node == new.node);
        let same_claims = old.is_some_and(|old| old.claims_unknown == new.claims_unknown);
        Self {
            health_checks,
            backends,
            frontends,
            node: (!same_node).then(|| Arc::clone(&new.node)),
            claims_unknown: (!same_claims).then_some(new.claims_unknown),
            problems: Vec::new(),
        }
    }

    /// True if the configurations are equal.
    pub fn is_empty(&self) -> bool {
        let Self { health_checks, backends, frontends, node, claims_unknown, problems } = self;
        health_checks.is_empty()
            && backends.is_empty()
            && frontends.is_empty()
            && node.is_none()
            && claims_unknown.is_none()
            && problems.is_empty()
    }
}

type Objects<T> = imbl::OrdMap<Name, Arc<T>>;

fn differing<T: PartialEq>(old: Option<&Objects<T>>, new: &Objects<T>) -> Vec<(Name, Option<Arc<T>>)> {
    let Some(old) = old else {
        return new.iter().map(|(name, object)| (name.clone(), Some(Arc::clone(object)))).collect();
    };
    let item = |item: DiffItem<'_, '_, Name, Arc<T>>| match item {
        DiffItem::Add(name, object) | DiffItem::Update { new: (name, object), .. } => {
            (name.clone(), Some(Arc::clone(object)))
        }
        DiffItem::Remove(name, _) => (name.clone(), None),
    };
    old.diff(new).map(item).collect()
}

/// The progress of programming one version of a Frontend on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The `metadata.uid` of the Frontend.
    pub uid: Arc<str>,
    /// The `metadata.generation` of the Frontend.
    pub generation: i64,
    /// The fingerprint of the resolved Frontend.
    pub fingerprint: Fingerprint,
    /// The progress.
    pub result: ProgramResult,
    /// A [`Reason`](super::problem::Reason), or the error text of VPP; empty if there is none.
    pub reason: Arc<str>,
}

/// The VPP process that an agent is connected to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VppInfo {
    /// The version of VPP.
    pub version: String,
    /// The build date of VPP.
    pub build_date: String,
    /// The process ID of VPP.
    pub pid: u32,
    /// The capabilities of the lb plugin: `weights` or `none`.
    pub capabilities: String,
}

/// The state of a VIP in VPP, without buckets and counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VipState {
    /// Encapsulation; `None` if it could not be read.
    pub encap: Option<ActualEncap>,
    /// Session affinity by client address; `None` if it could not be read.
    pub sticky: Option<bool>,
    /// Number of buckets in the new-flow table; `None` if it could not be read.
    pub table_length: Option<u16>,
    /// The weights of the application servers.
    pub servers: ServerMap<u8>,
}

impl From<&ActualVip> for VipState {
    fn from(vip: &ActualVip) -> Self {
        let servers = vip.ases.iter().map(|(address, server)| (*address, server.weight)).collect();
        let ActualVip { encap, sticky, table_length, .. } = vip;
        Self { encap: *encap, sticky: *sticky, table_length: *table_length, servers }
    }
}

/// Changes to VPP that are held back: a mass removal, or a change of the configuration of one Frontend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncHold {
    /// The ID that accepts the changes early (`maglevc accept ID`).
    pub id: Arc<str>,
    /// Number of removals held back; 0 for a change of the configuration.
    pub removals: u32,
    /// The change of the configuration that is held back; `None` for a mass removal.
    pub change: Option<HeldChange>,
    /// Time at which the changes are carried out, at the latest.
    pub until: Timestamp,
}

/// A change of the configuration of a Frontend that would exceed its disruption budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldChange {
    /// The Frontend.
    pub frontend: Name,
    /// The share of the buckets of the VIP that the change would move, in thousandths, 0–1000.
    pub moved_permille: u16,
}

impl SyncHold {
    /// The held changes in words, such as `6 removals`.
    pub fn subject(&self) -> String {
        match &self.change {
            None => format!("{} removals", self.removals),
            Some(change) => format!(
                "a change of Frontend {} that moves {:.1} % of its buckets",
                change.frontend,
                change.moved_percent()
            ),
        }
    }
}

impl HeldChange {
    /// The share of the buckets of the VIP that the change would move, in percent, 0–100.
    pub fn moved_percent(&self) -> f64 {
        f64::from(self.moved_permille) / 10.0
    }
}
