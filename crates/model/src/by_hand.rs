//! A change that a person makes at night: what it would do to a node, and whether the node has it in effect.
//!
//! Both are asked of a node's [`View`], so the command line and the dashboard decide alike. Writing the change is
//! `k8s`'s business.

#[cfg(test)]
mod tests;

use std::{fmt, net::IpAddr, sync::Arc};

use super::{
    actual::VppVip,
    config::{AdminState, Backend, Check, Frontend, Pool, Standing, Target},
    health::BackendState,
    name::Name,
    view::View,
    vip::Weight,
    weights::{Effective, effective},
};

/// What is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandChange {
    /// Whether a Backend may take traffic.
    AdminState {
        /// The Backend.
        backend: Name,
        /// What is wanted of it.
        state: AdminState,
    },
    /// The weight of a pool's member.
    Weight {
        /// The Frontend.
        frontend: Name,
        /// Its pool.
        pool: Arc<str>,
        /// The member: a Backend's name without its namespace.
        backend: Arc<str>,
        /// The weight it is to have.
        weight: Weight,
    },
}

impl HandChange {
    /// The object that is changed.
    pub fn object(&self) -> &Name {
        match self {
            Self::AdminState { backend, .. } => backend,
            Self::Weight { frontend, .. } => frontend,
        }
    }

    /// The Frontends, in order, that serve on this node now and would not if the change were made.
    pub fn leaves_unserved(&self, view: &View) -> Vec<Name> {
        let hurt = |frontend: &&Arc<Frontend>| {
            let serves = |pools: &[Pool]| {
                let vpp = |address| view.weight_in_vpp(&VppVip::from(frontend.vip), address);
                effective(pools, &view.health, vpp).serves(vpp)
            };
            serves(&frontend.pools) && !serves(&self.changed(frontend))
        };
        self.concerned(view).filter(hurt).map(|frontend| frontend.name.clone()).collect()
    }

    /// The Frontends, in order, whose weights it may move on this node.
    pub fn touches(&self, view: &View) -> Vec<Name> {
        self.concerned(view).map(|frontend| frontend.name.clone()).collect()
    }

    /// What keeps this node from having the change in effect, in words; `None` once it has. `generation` is the
    /// object's after the change.
    pub fn pending(&self, view: &View, generation: i64) -> Option<&'static str> {
        let seen = match self {
            Self::AdminState { backend, .. } => view.backends.get(backend).map(|of| of.revision.generation),
            Self::Weight { frontend, .. } => view.frontends.get(frontend).map(|of| of.revision.generation),
        };
        if seen.is_none_or(|seen| seen < generation) {
            return Some("the agent has not seen it yet");
        }
        if let Self::AdminState { backend, .. } = self
            && view.backends.get(backend).is_some_and(|of| !is_known(of, view))
        {
            return Some("its health is not known yet");
        }
        let (Some(vpp), mut concerned) = (&view.vpp, self.concerned(view)) else {
            return Some("the agent is not connected to VPP");
        };
        let behind = concerned.any(|frontend| {
            let vip = VppVip::from(frontend.vip);
            !is_in_vpp(&view.effective(frontend), vpp.weightless, |address| view.weight_in_vpp(&vip, address))
        });
        behind.then_some("VPP does not have the weights yet")
    }

    /// The Frontends whose weights may move; a withdrawn one has none.
    fn concerned<'v>(&'v self, view: &'v View) -> impl Iterator<Item = &'v Arc<Frontend>> {
        let uses = |frontend: &&Arc<Frontend>| match self {
            Self::AdminState { backend, .. } => has_member(frontend, backend),
            Self::Weight { frontend: name, .. } => frontend.name == *name,
        };
        view.frontends.values().filter(|of| !matches!(of.standing, Standing::Withdrawn(_))).filter(uses)
    }

    /// The pools of `frontend` after the change.
    fn changed(&self, frontend: &Frontend) -> Vec<Pool> {
        let mut pools = frontend.pools.clone();
        for pool in &mut pools {
            for member in &mut pool.members {
                match self {
                    Self::AdminState { backend, state } if member.backend == *backend => {
                        if let Target::Backend(of) = &mut member.target {
                            *of = Arc::new(Backend { admin_state: *state, ..(**of).clone() });
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

impl fmt::Display for HandChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AdminState { backend, .. } => write!(f, "adminState of Backend {backend}"),
            Self::Weight { frontend, pool, backend, .. } => {
                write!(f, "weight of {backend} in pool {pool} of Frontend {frontend}")
            }
        }
    }
}

fn has_member(frontend: &Frontend, backend: &Name) -> bool {
    frontend.pools.iter().flat_map(|pool| &pool.members).any(|member| member.backend == *backend)
}

/// Whether probing has followed what the operator wants of the backend.
fn is_known(backend: &Backend, view: &View) -> bool {
    let state = view.health.backends.get(&backend.name).map(|health| health.state);
    match (backend.admin_state, &backend.check) {
        (AdminState::Enabled, Check::Probe(_)) => matches!(state, Some(BackendState::Up | BackendState::Down)),
        _ => true,
    }
}

fn is_in_vpp(wanted: &Effective, weightless: bool, vpp: impl Fn(IpAddr) -> Option<u8>) -> bool {
    wanted.ases.iter().all(|(address, of)| {
        let has = vpp(*address);
        let want = if weightless { of.weight.without_weights(true) } else { of.weight };
        want.effective(has) == has.unwrap_or(0)
    })
}
