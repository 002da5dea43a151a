//! The Backends that Frontends name: each one's health and its users, in a place of its own. A plan
//! that looked every member up by name would spend much of its time on it.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
};

use slab::Slab;

use maglev_model::{
    Name,
    health::{BackendHealth, HealthSnapshot},
};

/// A Frontend, with the address of its VIP.
pub type User = (IpAddr, Name);

#[derive(Debug, Default)]
pub struct Backends {
    places: HashMap<Name, usize>,
    of: Slab<Used>,
}

#[derive(Debug)]
struct Used {
    health: Option<BackendHealth>,
    users: BTreeSet<User>,
}

impl Backends {
    /// `user` names `backend`. Returns its place, which it keeps as long as anybody names it.
    pub fn add(&mut self, backend: &Name, user: User, health: &HealthSnapshot) -> usize {
        let place = match self.places.get(backend) {
            Some(place) => *place,
            None => {
                let unused = Used { health: health.backends.get(backend).cloned(), users: BTreeSet::new() };
                let place = self.of.insert(unused);
                self.places.insert(backend.clone(), place);
                place
            }
        };
        if let Some(used) = self.of.get_mut(place) {
            used.users.insert(user);
        }
        place
    }

    /// `user` names `backend` no more.
    pub fn remove(&mut self, backend: &Name, user: &User) {
        let Some(place) = self.places.get(backend).copied() else { return };
        let Some(used) = self.of.get_mut(place) else { return };
        used.users.remove(user);
        if used.users.is_empty() {
            self.places.remove(backend);
            self.of.remove(place);
        }
    }

    /// The health of `backend` is another. Returns whom that concerns.
    pub fn set_health(
        &mut self,
        backend: &Name,
        health: Option<&BackendHealth>,
    ) -> impl Iterator<Item = &User> + use<'_> {
        let used = self.places.get(backend).and_then(|place| self.of.get_mut(*place));
        let used = used.map(|used| {
            used.health = health.cloned();
            &used.users
        });
        used.into_iter().flatten()
    }

    /// The health of the Backend in this place.
    pub fn health(&self, place: usize) -> Option<&BackendHealth> {
        self.of.get(place)?.health.as_ref()
    }
}
