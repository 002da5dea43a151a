//! Derives the Backends of pools that follow a Service, and the references between Frontends and Services.

use std::collections::BTreeSet;

use super::{Entry, FrontendRead, Frontends};
use crate::{
    Work,
    backends::Backends,
    changes::Changes,
    members::FrontendSettings,
    references::References,
    services::{DerivedBackend, LastDerived, Membership, PoolUse, ServicePool, Services},
};
use maglev_model::{Name, vip::Service};

/// The Frontends whose pools follow a Service.
#[derive(Debug, Default)]
pub struct Followers {
    /// The Frontends that follow each Service.
    by_service: References,
    /// The Frontends with a pool of Nodes.
    of_nodes: BTreeSet<Name>,
    /// Changes with the set of followed Services.
    version: u64,
    /// Derived Backends that Frontends no longer use.
    orphans: BTreeSet<Name>,
}

impl Followers {
    /// Adds the references of a Frontend.
    pub fn add(&mut self, name: &Name, read: &FrontendRead) {
        for pool in read.services() {
            self.by_service.add(&pool.service, name);
            if pool.targets.are_nodes() {
                self.of_nodes.insert(name.clone());
            }
            self.version += 1;
        }
    }

    /// Removes the references of a Frontend.
    pub fn remove(&mut self, name: &Name, read: &FrontendRead) {
        for pool in read.services() {
            self.by_service.remove(&pool.service, name);
            self.of_nodes.remove(name);
            self.version += 1;
        }
    }

    /// Removes the references of a Frontend to derived Backends.
    pub fn release(&mut self, entry: &Entry, backends: &mut References) {
        for name in names(&entry.memberships) {
            backends.remove(name, &entry.meta.name);
            self.orphans.insert(name.clone());
        }
    }
}

impl FrontendRead {
    pub fn services(&self) -> impl Iterator<Item = &ServicePool> {
        self.settings().into_iter().flat_map(FrontendSettings::services)
    }
}

impl Entry {
    /// The members of the pools that follow a Service, in the order of the pools. Adds their Backends to `backends`, unless the
    /// pool before had the same ones.
    fn derive<'s>(
        &self,
        services: &'s Services,
        last: &mut LastDerived<'s>,
        backends: &mut Vec<DerivedBackend>,
    ) -> Vec<Membership> {
        let (Some(vip), Some(settings)) = (self.read.address, self.read.settings()) else { return Vec::new() };
        let protocol = match self.read.service {
            Some(Service::Port { protocol, .. }) => Some(protocol),
            Some(Service::AllPorts) | None => None,
        };
        let frontend = &self.meta.name;
        let followed = settings.pools.iter().filter_map(|(pool, read)| Some((pool, read.service()?)));
        followed
            .map(|(pool, service)| {
                services.membership(PoolUse { frontend, pool, service, vip, protocol }, last, backends)
            })
            .collect()
    }
}

impl Frontends {
    /// A number that changes with the set of followed Services.
    pub fn followed_version(&self) -> u64 {
        self.followers.version
    }

    /// The Services that pools follow.
    pub fn followed_services(&self) -> BTreeSet<Name> {
        self.followers.by_service.targets().cloned().collect()
    }

    /// Derives the Backends of the dirty Frontends, and of those whose Services or Nodes changed.
    pub fn derive(
        &mut self,
        services: &mut Services,
        backends: &mut Backends,
        checks: &mut References,
        changes: &mut Changes,
        work: &mut Work,
    ) {
        let followers = &mut self.followers;
        for service in services.take_dirty(followers.by_service.targets()) {
            self.dirty.extend(followers.by_service.users(&service).cloned());
        }
        if services.nodes.take_dirty() {
            self.dirty.extend(followers.of_nodes.iter().cloned());
        }
        // The endpoints of a drained Node are drained, too.
        if services.nodes.take_drains_dirty() {
            let users = |service| followers.by_service.users(service);
            self.dirty.extend(followers.by_service.targets().flat_map(users).cloned());
        }
        let services: &Services = services;
        let (mut derived, mut last) = (Vec::new(), LastDerived::default());
        for name in &self.dirty {
            let Some(entry) = self.entries.get_mut(name) else { continue };
            if entry.memberships.is_empty() && entry.read.services().next().is_none() {
                continue;
            }
            let new = entry.derive(services, &mut last, &mut derived);
            derived.drain(..).for_each(|backend| backends.apply_derived(&backend, checks));
            // Mostly only weights change.
            if !names(&entry.memberships).eq(names(&new)) {
                names(&new).for_each(|backend| backends.users.add(backend, name));
                let after: BTreeSet<&Name> = names(&new).collect();
                for gone in names(&entry.memberships).filter(|gone| !after.contains(gone)) {
                    backends.users.remove(gone, name);
                    followers.orphans.insert(gone.clone());
                }
            }
            work.endpoints += new.iter().map(|membership| membership.endpoints).sum::<u64>();
            entry.memberships = new;
        }
        for orphan in std::mem::take(&mut followers.orphans) {
            if backends.users.users(&orphan).next().is_none() {
                backends.delete_derived(&orphan, checks, changes);
            }
        }
    }
}

/// The names of all members.
fn names(memberships: &[Membership]) -> impl Iterator<Item = &Name> {
    memberships.iter().flat_map(|membership| &*membership.members).map(|member| &member.backend)
}
