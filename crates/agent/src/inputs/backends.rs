//! The Backends referenced by Frontends: the health and the users of each, in a slab. A plan that looked up every
//! member by name would spend much of its time on the lookups.

use std::collections::{BTreeSet, HashMap};

use slab::Slab;

use maglev_model::{
    Name,
    health::{BackendHealth, HealthSnapshot},
};

/// A Frontend that references a Backend. There are as many references as members of pools, so each is a number.
pub type UserId = usize;

#[derive(Debug, Default)]
pub struct Backends {
    slots: HashMap<Name, usize>,
    slab: Slab<BackendEntry>,
}

#[derive(Debug)]
struct BackendEntry {
    health: Option<BackendHealth>,
    users: BTreeSet<UserId>,
}

impl Backends {
    /// Adds a user of `backend`. Returns the Backend's slot, which is stable while the Backend has users.
    pub fn add(&mut self, backend: &Name, user: UserId, health: &HealthSnapshot) -> usize {
        let slot = match self.slots.get(backend) {
            Some(slot) => *slot,
            None => {
                let entry = BackendEntry { health: health.backends.get(backend).cloned(), users: BTreeSet::new() };
                let slot = self.slab.insert(entry);
                self.slots.insert(backend.clone(), slot);
                slot
            }
        };
        if let Some(entry) = self.slab.get_mut(slot) {
            entry.users.insert(user);
        }
        slot
    }

    /// Removes a user of `backend`.
    pub fn remove(&mut self, backend: &Name, user: UserId) {
        let Some(slot) = self.slots.get(backend).copied() else { return };
        let Some(entry) = self.slab.get_mut(slot) else { return };
        entry.users.remove(&user);
        if entry.users.is_empty() {
            self.slots.remove(backend);
            self.slab.remove(slot);
        }
    }

    /// Replaces the health of `backend`. Returns its users.
    pub fn set_health(
        &mut self,
        backend: &Name,
        health: Option<&BackendHealth>,
    ) -> impl Iterator<Item = UserId> + use<'_> {
        let entry = self.slots.get(backend).and_then(|slot| self.slab.get_mut(*slot));
        let entry = entry.map(|entry| {
            entry.health = health.cloned();
            &entry.users
        });
        entry.into_iter().flatten().copied()
    }

    /// The users of `backend`.
    pub fn users(&self, backend: &Name) -> impl Iterator<Item = UserId> {
        let entry = self.slots.get(backend).and_then(|slot| self.slab.get(*slot));
        entry.into_iter().flat_map(|entry| &entry.users).copied()
    }

    /// The health of the Backend in `slot`.
    pub fn health(&self, slot: usize) -> Option<&BackendHealth> {
        self.slab.get(slot)?.health.as_ref()
    }
}
