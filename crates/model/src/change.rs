//! What an event does to the state that others mirror.
//!
//! An event says what a person reads; the [`Change`] beside it says what follows from it. The bus folds changes into
//! a [`View`], and so does everyone who follows an agent over the network: snapshot, then changes, gives the same
//! value everywhere. A change sets, it never adds up, so applying one twice does no harm.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use imbl::ordmap::DiffItem;
use jiff::Timestamp;

use super::{
    actual::{Actual, ActualConf, ActualEncap, ActualVip, VppVip},
    config::{Backend, Config, Frontend, HealthCheck, Kind, NodeConfig},
    event::{FrontendState, ProgramResult},
    fingerprint::Fingerprint,
    health::{BackendHealth, ProbeCode},
    name::Name,
    plan::Step,
    problem::Problem,
    vip::Family,
    weights::ActivePool,
};

/// A change of an agent's state.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The resolved configuration.
    Config(Arc<ConfigDelta>),
    /// A backend's health; `None` once it is not probed any more.
    Health(Name, Option<BackendHealth>),
    /// Whether the probe path of a family is suspect.
    Suspect(Family, bool),
    /// A Frontend's state, and the code of the backend that moved it.
    Frontend(Name, FrontendState, Option<ProbeCode>),
    /// A Frontend's active pool on this node.
    ActivePool(Name, ActivePool),
    /// How far the node is with a Frontend.
    Report(Name, Report),
    /// The agent has nothing to say about a Frontend any more: forget its state and its report.
    Forget(Name),
    /// A session with VPP was opened.
    VppConnected(Arc<VppInfo>),
    /// It is over, and with it everything known about VPP.
    VppDisconnected,
    /// All that VPP has, as read.
    VppState(ActualConf, Arc<Actual>),
    /// VPP's own settings.
    VppConf(ActualConf),
    /// A VIP of VPP; `None` once it is not there any more.
    Vip(VppVip, Option<VipState>),
    /// An application server of a VIP and its weight; `None` once it is not there any more.
    Server(VppVip, IpAddr, Option<u8>),
    /// A VIP of VPP that no Frontend claims and that is not ours.
    Foreign(VppVip),
    /// Removals wait.
    Held(Hold),
    /// The hold of this id has ended.
    Released(Arc<str>),
    /// A pass over everything has ended, in which so many steps failed.
    Synced(u32),
    /// Something of the node's own, not of one VIP, went wrong while syncing.
    SyncFailed(Arc<str>),
}

/// What differs between two configurations. What is `None` is gone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConfigDelta {
    /// HealthChecks.
    pub health_checks: Vec<(Name, Option<Arc<HealthCheck>>)>,
    /// Backends.
    pub backends: Vec<(Name, Option<Arc<Backend>>)>,
    /// Frontends.
    pub frontends: Vec<(Name, Option<Arc<Frontend>>)>,
    /// The node's settings, where they changed.
    pub node: Option<Arc<NodeConfig>>,
    /// Whether some Frontend's claim is unreadable, where that changed.
    pub claims_unknown: Option<bool>,
    /// Objects whose problems changed, with all that they have now.
    pub problems: Vec<((Kind, Name), Problems)>,
}

/// What is wrong with one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    /// The object's `metadata.generation` when this was found.
    pub generation: i64,
    /// In order; empty where nothing is wrong.
    pub problems: Arc<[Problem]>,
}

impl ConfigDelta {
    /// What leads from `old` to `new`, problems apart; work is proportional to what differs.
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

    /// Whether nothing differs.
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

/// How far a node is with a Frontend, and which version of it that is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// `metadata.uid` of the Frontend.
    pub uid: Arc<str>,
    /// Its `metadata.generation`.
    pub generation: i64,
    /// What it resolved to.
    pub fingerprint: Fingerprint,
    /// How far the node is.
    pub result: ProgramResult,
    /// Why, in a fixed word or in VPP's; empty where there is nothing to say.
    pub reason: Arc<str>,
}

/// The VPP that an agent is connected to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VppInfo {
    /// Its version.
    pub version: String,
    /// When that was built.
    pub build_date: String,
    /// Its process.
    pub pid: u32,
    /// What it can do, in words.
    pub capabilities: String,
}

/// A VIP as VPP has it; its buckets and counters are not part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VipState {
    /// Encapsulation; `None` where it could not be read.
    pub encap: Option<ActualEncap>,
    /// Whether flows stick to the client's address; `None` where it could not be read.
    pub sticky: Option<bool>,
    /// Buckets in the new-flow table; `None` where it could not be read.
    pub table_length: Option<u16>,
    /// The weights of its application servers.
    pub servers: Arc<BTreeMap<IpAddr, u8>>,
}

impl From<&ActualVip> for VipState {
    fn from(vip: &ActualVip) -> Self {
        let servers = vip.ases.iter().map(|(address, of)| (*address, of.weight)).collect();
        let ActualVip { encap, sticky, table_length, .. } = vip;
        Self { encap: *encap, sticky: *sticky, table_length: *table_length, servers: Arc::new(servers) }
    }
}

impl From<&Step> for Change {
    /// What a step that VPP carried out comes to.
    fn from(step: &Step) -> Self {
        match step {
            Step::AddVip { vip, encap, sticky, table_length } => {
                let (encap, sticky, table_length) = (Some((*encap).into()), Some(*sticky), Some(table_length.get()));
                Self::Vip((*vip).into(), Some(VipState { encap, sticky, table_length, servers: Arc::default() }))
            }
            Step::RemoveVip { vip, .. } => Self::Vip(*vip, None),
            Step::AddAs { vip, address, weight, .. } => Self::Server((*vip).into(), *address, Some(weight.get())),
            Step::RemoveAs { vip, address, .. } => Self::Server(*vip, *address, None),
            Step::SetWeight { vip, address, to, .. } => Self::Server((*vip).into(), *address, Some(to.get())),
        }
    }
}

/// Removals that wait because there were many at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// What ends it early.
    pub id: Arc<str>,
    /// How many wait.
    pub removals: u32,
    /// When they go.
    pub until: Timestamp,
}

/// A mirror of an agent's state, or a part of it: a snapshot first, then every change in order.
pub trait Fold {
    /// Starts anew from a snapshot.
    fn reset(&mut self, view: &super::view::View);
    /// Takes a change that happened at `at`.
    fn apply(&mut self, change: &Change, at: Timestamp);
}
