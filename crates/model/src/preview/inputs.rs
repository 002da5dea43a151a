//! The configuration and the health that an agent plans with.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use imbl::{OrdMap, ordmap::DiffItem};
use jiff::Timestamp;

use crate::{
    config::{Backend, Config, Frontend, Member, MemberTarget, NodeConfig},
    health::{BackendHealth, BackendState, HealthSnapshot},
    name::Name,
    path::{PathHealth, PathKey, PathState},
    probe_mode::ProbeMode,
    view::{View, VppView},
};

/// The configuration and the health of the backends on one node. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeInputs {
    /// The Frontends with their pools.
    pub frontends: OrdMap<Name, Arc<Frontend>>,
    /// The health of the backends.
    pub health: HealthSnapshot,
    /// The settings of the node.
    pub node: Arc<NodeConfig>,
    /// True while the claim of some Frontend is unreadable, so that unclaimed VIPs are not removed.
    pub claims_unknown: bool,
}

impl From<&View> for NodeInputs {
    /// The inputs that the agent has.
    fn from(view: &View) -> Self {
        Self {
            frontends: view.frontends.clone(),
            health: view.health.clone(),
            node: view.node.clone().unwrap_or_default(),
            claims_unknown: view.claims_unknown,
        }
    }
}

impl NodeInputs {
    /// A configuration with the health that an agent reports.
    pub fn new(config: &Config, health: HealthSnapshot) -> Self {
        Self {
            frontends: config.frontends.clone(),
            health,
            node: Arc::clone(&config.node),
            claims_unknown: config.claims_unknown,
        }
    }

    /// Replaces Backends that are equal in both, and that the agent has in the same version, by those of the agent: it can
    /// read Secrets that others cannot read, and knows the probes that its node supports.
    pub fn adopt_reported(before: &mut Self, after: &mut Self, view: &View) {
        let changed: Vec<_> = changed_frontends(before, after).map(|(old, new)| (old.cloned(), new.cloned())).collect();
        let old_backends: BTreeMap<Name, Arc<Backend>> = changed
            .iter()
            .filter_map(|(old, _)| old.as_ref())
            .flat_map(|frontend| members(frontend).filter_map(backend))
            .map(|backend| (backend.name.clone(), Arc::clone(backend)))
            .collect();
        let reported = |backend: &Arc<Backend>| {
            let reported = view.backends.get(&backend.name)?;
            let is_same = old_backends.get(&backend.name) == Some(backend)
                && (&reported.revision, reported.address, reported.admin_state)
                    == (&backend.revision, backend.address, backend.admin_state);
            is_same.then(|| Arc::clone(reported))
        };
        for (old, new) in &changed {
            for (inputs, frontend) in [(&mut *before, old), (&mut *after, new)] {
                if let Some(frontend) = frontend {
                    let frontend = with_backends(frontend, &reported);
                    inputs.frontends.insert(frontend.name.clone(), Arc::new(frontend));
                }
            }
        }
    }

    /// Takes Backends that these inputs begin to probe, compared with `before`, for up, since no probe has decided yet. Does
    /// the same for paths that a Frontend begins to require. Returns the Backends.
    pub fn assume_up(&mut self, before: &Self) -> BTreeSet<Name> {
        let mut assumed = BTreeSet::new();
        let changed: Vec<Arc<Frontend>> = changed_frontends(before, self).filter_map(|(_, new)| new.cloned()).collect();
        let probed_before = probed_backends(before, &changed);
        for frontend in changed {
            let old = before.frontends.get(&frontend.name);
            for backend in members(&frontend).filter_map(backend) {
                let probed = matches!(backend.probe_mode(), ProbeMode::Probed(_));
                if probed && probed_before.get(&backend.name) != Some(&backend.address) && !self.is_known(backend) {
                    self.health.backends.insert(backend.name.clone(), up(backend));
                    assumed.insert(backend.name.clone());
                }
                let required = |frontend: &Arc<Frontend>| {
                    frontend.requires_path()
                        && members(frontend).any(|member| member.target.address() == Some(backend.address))
                };
                if frontend.requires_path() && !old.is_some_and(required) {
                    self.assume_path(&frontend, backend);
                }
            }
        }
        assumed
    }

    fn assume_path(&mut self, frontend: &Frontend, backend: &Backend) {
        let key = PathKey { frontend: frontend.name.clone(), backend: backend.name.clone() };
        if self.health.paths.get(&key).is_none_or(|path| path.address != backend.address) {
            let path = PathHealth {
                address: backend.address,
                state: PathState::Ok,
                since: Timestamp::UNIX_EPOCH,
                in_doubt: false,
                detail: "".into(),
            };
            self.health.paths.insert(key, path);
        }
    }

    /// True if probes of the current address have decided.
    fn is_known(&self, backend: &Backend) -> bool {
        let health = self.health.backends.get(&backend.name).filter(|health| health.address == backend.address);
        health.is_some_and(|health| matches!(health.state, BackendState::Up | BackendState::Down))
    }

    /// The addresses whose plan can differ from that of `before`.
    pub(super) fn affected_addresses(&self, before: &Self, vpp: &VppView) -> BTreeSet<IpAddr> {
        let flags = |inputs: &Self| {
            let NodeInputs { health, node, claims_unknown, .. } = inputs;
            (health.suspect_v4, health.suspect_v6, node.sync.foreign_vips, *claims_unknown)
        };
        let (own, theirs) = (self.frontends.values(), before.frontends.values());
        if flags(self) != flags(before) || self.node.vpp != before.node.vpp {
            let claimed = own.chain(theirs).map(|frontend| frontend.vip.address);
            return claimed.chain(vpp.vips.keys().map(|vip| vip.address)).collect();
        }
        let mut addresses: BTreeSet<IpAddr> = changed_frontends(before, self)
            .flat_map(|(old, new)| [old, new])
            .flatten()
            .map(|frontend| frontend.vip.address)
            .collect();
        let backends: BTreeSet<&Name> =
            before.health.backends.diff(&self.health.backends).map(|item| key(&item)).collect();
        let paths: BTreeSet<&PathKey> = before.health.paths.diff(&self.health.paths).map(|item| key(&item)).collect();
        if !backends.is_empty() || !paths.is_empty() {
            let uses = |frontend: &&Arc<Frontend>| {
                members(frontend).any(|member| backends.contains(&member.backend))
                    || paths.iter().any(|path| path.frontend == frontend.name)
            };
            addresses.extend(own.filter(uses).map(|frontend| frontend.vip.address));
        }
        addresses
    }
}

fn key<'m, K, V>(item: &DiffItem<'m, 'm, K, V>) -> &'m K {
    match item {
        DiffItem::Add(key, _) | DiffItem::Remove(key, _) | DiffItem::Update { new: (key, _), .. } => key,
    }
}

type Changed<'i> = (Option<&'i Arc<Frontend>>, Option<&'i Arc<Frontend>>);

/// The Frontends that differ, before and after.
fn changed_frontends<'i>(before: &'i NodeInputs, after: &'i NodeInputs) -> impl Iterator<Item = Changed<'i>> {
    before.frontends.diff(&after.frontends).map(|item| match item {
        DiffItem::Add(_, new) => (None, Some(new)),
        DiffItem::Remove(_, old) => (Some(old), None),
        DiffItem::Update { old: (_, old), new: (_, new) } => (Some(old), Some(new)),
    })
}

/// The Frontend with other Backends, where `replace` returns some.
fn with_backends(frontend: &Frontend, replace: &dyn Fn(&Arc<Backend>) -> Option<Arc<Backend>>) -> Frontend {
    let mut frontend = frontend.clone();
    for member in frontend.pools.iter_mut().flat_map(|pool| &mut pool.members) {
        if let MemberTarget::Backend(backend) = &mut member.target
            && let Some(other) = replace(backend)
        {
            *backend = other;
        }
    }
    frontend
}

/// The probed address of each Backend that `before` probes for a Frontend, out of those that `changed` names.
fn probed_backends(before: &NodeInputs, changed: &[Arc<Frontend>]) -> BTreeMap<Name, IpAddr> {
    let named: BTreeSet<&Name> =
        changed.iter().flat_map(|frontend| members(frontend)).map(|member| &member.backend).collect();
    let backends = before.frontends.values().flat_map(|frontend| members(frontend)).filter_map(backend);
    let probed = backends
        .filter(|backend| named.contains(&backend.name) && matches!(backend.probe_mode(), ProbeMode::Probed(_)));
    probed.map(|backend| (backend.name.clone(), backend.address)).collect()
}

pub(super) fn members(frontend: &Frontend) -> impl Iterator<Item = &Member> {
    frontend.pools.iter().flat_map(|pool| &pool.members)
}

fn backend(member: &Member) -> Option<&Arc<Backend>> {
    match &member.target {
        MemberTarget::Backend(backend) => Some(backend),
        MemberTarget::Unreadable { .. } => None,
    }
}

/// The health of a Backend whose probes succeed.
pub(super) fn up(backend: &Backend) -> BackendHealth {
    BackendHealth {
        address: backend.address,
        state: BackendState::Up,
        ever_known: true,
        in_doubt: false,
        history: Arc::default(),
    }
}
