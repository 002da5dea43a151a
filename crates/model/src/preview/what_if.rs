//! Changes of one Backend that can be asked about without a manifest.

use std::{fmt, sync::Arc};

use super::{
    NodeInputs,
    inputs::{members, up},
};
use crate::{
    config::{AdminState, Backend, Frontend, MemberTarget, Pool},
    health::{BackendHealth, BackendState},
    name::Name,
    operator_change::OperatorChange,
    vip::Weight,
};

/// A change of one Backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhatIf {
    /// All probes of the Backend succeed.
    Up(Name),
    /// All probes of the Backend fail, but not those of others: the probe path is not suspect.
    Down(Name),
    /// An operator sets the admin state of the Backend.
    AdminState(Name, AdminState),
    /// An operator sets the weight of the Backend in a pool.
    Weight {
        /// The Backend.
        backend: Name,
        /// The Frontend; `None` for all Frontends.
        frontend: Option<Name>,
        /// The name of the pool; `None` for all pools.
        pool: Option<Arc<str>>,
        /// The new weight.
        weight: Weight,
    },
}

impl WhatIf {
    /// The changed Backend.
    pub fn backend(&self) -> &Name {
        match self {
            Self::Up(backend) | Self::Down(backend) | Self::AdminState(backend, _) | Self::Weight { backend, .. } => {
                backend
            }
        }
    }

    /// The inputs of a node after the change.
    pub fn apply(&self, inputs: &NodeInputs) -> NodeInputs {
        let mut after = inputs.clone();
        for frontend in inputs.frontends.values() {
            let Some(member) = members(frontend).find(|member| member.backend == *self.backend()) else { continue };
            match (self, &member.target) {
                (Self::Up(name), MemberTarget::Backend(backend)) => {
                    after.health.backends.insert(name.clone(), up(backend));
                }
                (Self::Down(name), MemberTarget::Backend(backend)) => {
                    let health = BackendHealth { state: BackendState::Down, ..up(backend) };
                    after.health.backends.insert(name.clone(), health);
                }
                (Self::Up(_) | Self::Down(_), MemberTarget::Unreadable { .. }) => {}
                (Self::AdminState(..), _) => self.change(frontend, &mut after),
                (Self::Weight { frontend: only, .. }, _) => {
                    if only.as_ref().is_none_or(|only| *only == frontend.name) {
                        self.change(frontend, &mut after);
                    }
                }
            }
        }
        after
    }

    fn change(&self, frontend: &Frontend, after: &mut NodeInputs) {
        let mut frontend = frontend.clone();
        let is_meant = |pool: &&mut Pool| match self {
            Self::Weight { pool: Some(name), .. } => pool.name == *name,
            _ => true,
        };
        let members = frontend.pools.iter_mut().filter(is_meant).flat_map(|pool| &mut pool.members);
        for member in members.filter(|member| member.backend == *self.backend()) {
            match (self, &mut member.target) {
                (Self::AdminState(_, state), MemberTarget::Backend(backend)) => {
                    *backend = Arc::new(Backend { admin_state: *state, ..(**backend).clone() });
                }
                (Self::Weight { weight, .. }, _) => member.weight = *weight,
                _ => {}
            }
        }
        after.frontends.insert(frontend.name.clone(), Arc::new(frontend));
    }
}

impl From<OperatorChange> for WhatIf {
    fn from(change: OperatorChange) -> Self {
        match change {
            OperatorChange::AdminState { backend, state } => Self::AdminState(backend, state),
            OperatorChange::Drain { backend, .. } => Self::AdminState(backend, AdminState::Paused),
            OperatorChange::Weight { frontend, pool, backend, weight } => Self::Weight {
                backend: Name::namespaced(frontend.namespace(), &backend),
                frontend: Some(frontend),
                pool: Some(pool),
                weight,
            },
        }
    }
}

impl fmt::Display for WhatIf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Up(backend) => write!(f, "Backend {backend} is up"),
            Self::Down(backend) => write!(f, "Backend {backend} is down"),
            Self::AdminState(backend, state) => write!(f, "the adminState of Backend {backend} is {state}"),
            Self::Weight { backend, frontend, pool, weight } => {
                write!(f, "the weight of Backend {backend} is {weight} in ")?;
                match pool {
                    Some(pool) => write!(f, "pool {pool}")?,
                    None => f.write_str("all pools")?,
                }
                frontend.iter().try_for_each(|frontend| write!(f, " of Frontend {frontend}"))?;
                if pool.is_none() { f.write_str(" that name it") } else { Ok(()) }
            }
        }
    }
}
