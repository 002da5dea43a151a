//! A manual change by an operator: its effect on a node, and the progress until it is in effect there.
//!
//! Both are computed from the [`View`] of a node, so that the CLI and the dashboard agree. `kube` writes the change.

#[cfg(test)]
mod tests;

use std::{fmt, net::IpAddr, sync::Arc};

use super::{
    actual::VppVip,
    config::{AdminState, Backend, Frontend, Member, MemberTarget, Pool, Standing},
    derived::{DerivedName, Origin},
    drain::DrainConf,
    health::BackendState,
    name::Name,
    probe_mode::ProbeMode,
    view::View,
    vip::Weight,
    weights::{BackendCondition, EffectiveWeights, effective_weights_by},
};

/// A change that an operator makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperatorChange {
    /// Sets the admin state of a Backend (`spec.adminState`), or drains a Node whose derived Backend is named, or ends that.
    AdminState {
        /// The Backend.
        backend: Name,
        /// The new admin state.
        state: AdminState,
    },
    /// Pauses a Backend (`spec.adminState`) and sets the deadline of its drain (`spec.drain`). The same for a Node, by its
    /// annotation.
    Drain {
        /// The Backend.
        backend: Name,
        /// The new settings; `None` to leave them.
        drain: Option<DrainConf>,
    },
    /// Sets the weight of a backend in a pool (`spec.pools[].backends[].weight`).
    Weight {
        /// The Frontend.
        frontend: Name,
        /// The name of the pool.
        pool: Arc<str>,
        /// The name of the Backend, without namespace.
        backend: Arc<str>,
        /// The new weight.
        weight: Weight,
    },
}

impl OperatorChange {
    /// The changed object.
    pub fn object(&self) -> &Name {
        match self {
            Self::AdminState { backend, .. } | Self::Drain { backend, .. } => backend,
            Self::Weight { frontend, .. } => frontend,
        }
    }

    /// The Backend whose admin state is set, and the new admin state.
    fn admin_state(&self) -> Option<(&Name, AdminState)> {
        match self {
            Self::AdminState { backend, state } => Some((backend, *state)),
            Self::Drain { backend, .. } => Some((backend, AdminState::Paused)),
            Self::Weight { .. } => None,
        }
    }

    /// The Frontends, sorted by name, that serve traffic on the node now and would not after the change.
    pub fn unserved_frontends(&self, view: &View) -> Vec<Name> {
        let loses_traffic = |frontend: &&Arc<Frontend>| {
            let serves = |pools: &[Pool]| {
                let vpp = |address| view.weight_in_vpp(&VppVip::from(frontend.vip), address);
                let condition =
                    |_, member: &Member| BackendCondition::of_member(frontend, &member.target, &view.health);
                effective_weights_by(pools, condition, vpp).serves(vpp)
            };
            serves(&frontend.pools) && !serves(&self.changed(frontend))
        };
        self.affected(view).filter(loses_traffic).map(|frontend| frontend.name.clone()).collect()
    }

    /// The Frontends, sorted by name, whose effective weights the change may alter on the node.
    pub fn affected_frontends(&self, view: &View) -> Vec<Name> {
        self.affected(view).map(|frontend| frontend.name.clone()).collect()
    }

    /// The reason, as human-readable text, for which the change is not in effect on the node yet; `None` once it is.
    /// `generation` is the `metadata.generation` of the object after the change.
    pub fn pending(&self, view: &View, generation: i64) -> Option<&'static str> {
        if !self.is_seen(view, generation) {
            return Some("the agent has not seen the change yet");
        }
        if self.changed_backends(view).any(|backend| !is_health_known(backend, view)) {
            return Some("the health of the backend is not known yet");
        }
        let (Some(vpp), mut affected) = (&view.vpp, self.affected(view)) else {
            return Some("the agent is not connected to VPP");
        };
        let behind = affected.any(|frontend| {
            let vip = VppVip::from(frontend.vip);
            !is_in_vpp(&view.effective_weights(frontend), vpp.weightless, |address| view.weight_in_vpp(&vip, address))
        });
        behind.then_some("VPP does not have the weights yet")
    }

    /// True if the agent knows the changed object. The Backends of a Node have no generation: their states tell. A Node that
    /// no pool uses is not known.
    fn is_seen(&self, view: &View, generation: i64) -> bool {
        let is_current = |seen: Option<i64>| seen.is_some_and(|seen| seen >= generation);
        match self {
            Self::AdminState { backend, .. } | Self::Drain { backend, .. } => {
                let wanted = self.admin_state().map(|(_, state)| state);
                match DerivedName::parse(backend) {
                    Some(_) => self.changed_backends(view).all(|backend| Some(backend.admin_state) == wanted),
                    None => is_current(view.backends.get(backend).map(|backend| backend.revision.generation)),
                }
            }
            Self::Weight { frontend, .. } => {
                is_current(view.frontends.get(frontend).map(|frontend| frontend.revision.generation))
            }
        }
    }

    /// The Backends whose admin state changes.
    fn changed_backends<'v>(&'v self, view: &'v View) -> impl Iterator<Item = &'v Arc<Backend>> {
        let changes = |backend: &&Arc<Backend>| {
            self.admin_state().is_some_and(|(changed, _)| DerivedName::change_together(&backend.name, changed))
        };
        view.backends.values().filter(changes)
    }

    /// The Frontends whose effective weights may change. Withdrawn Frontends have no weights and are left out.
    fn affected<'v>(&'v self, view: &'v View) -> impl Iterator<Item = &'v Arc<Frontend>> {
        let uses = |frontend: &&Arc<Frontend>| match self {
            Self::AdminState { backend, .. } | Self::Drain { backend, .. } => has_member(frontend, backend),
            Self::Weight { frontend: name, .. } => frontend.name == *name,
        };
        view.frontends.values().filter(|frontend| !matches!(frontend.standing, Standing::Withdrawn(_))).filter(uses)
    }

    /// The pools of `frontend` after the change.
    fn changed(&self, frontend: &Frontend) -> Vec<Pool> {
        let mut pools = frontend.pools.clone();
        for pool in &mut pools {
            for member in &mut pool.members {
                match self {
                    Self::AdminState { backend: name, .. } | Self::Drain { backend: name, .. }
                        if DerivedName::change_together(&member.backend, name) =>
                    {
                        if let MemberTarget::Backend(backend) = &mut member.target
                            && let Some((_, admin_state)) = self.admin_state()
                        {
                            *backend = Arc::new(Backend { admin_state, ..(**backend).clone() });
                        }
                    }
                    Self::Weight { pool: name, backend, weight, .. }
                        if pool.name == *name && member.backend.name() == &**backend =>
                    {
                        member.weight = *weight;
                    }
                    _ => {}
                }
            }
        }
        pools
    }
}

impl fmt::Display for OperatorChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Origin::Node(node)) = Origin::parse(self.object()) {
            return write!(f, "drain of Node {node}");
        }
        match self {
            Self::AdminState { backend, .. } | Self::Drain { backend, drain: None } => {
                write!(f, "adminState of Backend {backend}")
            }
            Self::Drain { backend, .. } => write!(f, "adminState and drain of Backend {backend}"),
            Self::Weight { frontend, pool, backend, .. } => {
                write!(f, "weight of {backend} in pool {pool} of Frontend {frontend}")
            }
        }
    }
}

fn has_member(frontend: &Frontend, backend: &Name) -> bool {
    frontend
        .pools
        .iter()
        .flat_map(|pool| &pool.members)
        .any(|member| DerivedName::change_together(&member.backend, backend))
}

/// True if the health checker has caught up with the admin state of the backend.
fn is_health_known(backend: &Backend, view: &View) -> bool {
    let state = view.health.backends.get(&backend.name).map(|health| health.state);
    match backend.probe_mode() {
        ProbeMode::Probed(_) => matches!(state, Some(BackendState::Up | BackendState::Down)),
        _ => true,
    }
}

fn is_in_vpp(desired: &EffectiveWeights, weightless: bool, vpp: impl Fn(IpAddr) -> Option<u8>) -> bool {
    desired.ases.iter().all(|(address, server)| {
        let actual = vpp(*address);
        let weight = if weightless { server.weight.without_weights(true) } else { server.weight };
        weight.effective(actual) == actual.unwrap_or(0)
    })
}
