//! Stores Frontends, resolves their pools, and decides conflicts between the claims on an address.

mod assembly;
mod capacity;
mod derivation;
mod entitlement;

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
};

use imbl::OrdMap;

use self::{
    capacity::{Table, Tables},
    derivation::Followers,
    entitlement::{Entitlement, FrontendQuotas},
};
use super::{
    Work,
    backends::Backends,
    changes::{Changes, ObjectVersion, Record},
    claims::{self, Addresses, Claimant, ClaimedEncap, Outcome},
    members::{self, FrontendSettings, LastResolved, Resolution},
    node_addresses::NodeAddresses,
    object::{Meta, NodeObject},
    references::References,
    services::Membership,
};
use maglev_model::{
    Name,
    config::{Frontend, Kind, Standing},
    problem::{Problem, Reason},
    vip::{Service, VipKey},
};

/// A Frontend as read from its object.
#[derive(Clone, Debug, PartialEq)]
pub struct FrontendRead {
    /// `spec.address`; `None` if unreadable.
    pub address: Option<IpAddr>,
    /// `spec.protocol` and `spec.port`; `None` if unreadable.
    pub service: Option<Service>,
    pub body: Body,
}

/// The spec of a Frontend without its claim.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    Readable {
        settings: FrontendSettings,
        /// The problem of an address that is not allowed on this node. The Frontend is then held.
        rejection: Option<Problem>,
    },
    /// The object does not decode or has an invalid value.
    Unreadable {
        problem: Problem,
        /// The encap, as far as it is readable.
        encap: ClaimedEncap,
    },
}

impl FrontendRead {
    /// The claim; `None` unless all of it is readable.
    fn vip(&self) -> Option<VipKey> {
        Some(VipKey { address: self.address?, service: self.service? })
    }

    fn settings(&self) -> Option<&FrontendSettings> {
        match &self.body {
            Body::Readable { settings, .. } => Some(settings),
            Body::Unreadable { .. } => None,
        }
    }

    fn backends(&self) -> impl Iterator<Item = &Name> {
        self.settings().into_iter().flat_map(FrontendSettings::backends)
    }
}

struct Entry {
    meta: Meta,
    read: FrontendRead,
    /// The members of the pools that follow a Service, in the order of the pools.
    memberships: Vec<Membership>,
    /// The resolved pools; `None` for an unreadable Frontend and before the first resolution.
    resolution: Option<Resolution>,
    /// The decision between the claims on the address.
    outcome: Outcome,
    /// The decisions of the namespace's AddressPolicies.
    entitlement: Entitlement,
    /// Set while the node has no room for the table.
    full: Option<Problem>,
    /// The table, while the Frontend is served or only the full node prevents that.
    table: Option<Table>,
    record: Record,
}

impl Entry {
    fn new(meta: Meta, read: FrontendRead) -> Self {
        Self {
            meta,
            read,
            memberships: Vec::new(),
            resolution: None,
            outcome: Outcome::Granted,
            entitlement: Entitlement::default(),
            full: None,
            table: None,
            record: Record::default(),
        }
    }

    fn claimed_encap(&self) -> ClaimedEncap {
        match (&self.read.body, &self.resolution) {
            (Body::Unreadable { encap, .. }, _) => *encap,
            (_, Some(resolution)) => resolution.claimed,
            (Body::Readable { settings, .. }, None) => ClaimedEncap::Known(settings.encap, None),
        }
    }

    /// True if `other` has the same effect on conflicts, as far as the object alone determines it.
    fn claims_like(&self, other: &Self) -> bool {
        let same_body = match (&self.read.body, &other.read.body) {
            (Body::Readable { .. }, Body::Readable { .. }) => true,
            (Body::Unreadable { encap: this, .. }, Body::Unreadable { encap: that, .. }) => this == that,
            _ => false,
        };
        let claim = |entry: &Self| (entry.meta.created, entry.read.address, entry.read.service);
        same_body && claim(self) == claim(other)
    }

    fn claimant(&self) -> Claimant<'_> {
        Claimant {
            name: &self.meta.name,
            vip: self.read.vip(),
            encap: self.claimed_encap(),
            readable: self.read.settings().is_some(),
            entitled: self.is_entitled(),
        }
    }
}

#[derive(Default)]
pub struct Frontends {
    entries: HashMap<Name, Entry>,
    /// The Frontends with a readable claim, as in the configuration.
    pub resolved: OrdMap<Name, Arc<Frontend>>,
    addresses: Addresses,
    nodes: NodeAddresses,
    /// Number of Frontends with an unreadable claim.
    unknown_claims: usize,
    dirty: BTreeSet<Name>,
    dirty_addresses: BTreeSet<IpAddr>,
    /// The tables of all Frontends that are served or wait for room.
    tables: Tables,
    quotas: FrontendQuotas,
    followers: Followers,
    /// The Frontends that wait for room.
    excess: BTreeSet<Name>,
}

impl Frontends {
    /// Applies a stored object.
    pub fn apply(&mut self, meta: Meta, read: FrontendRead, first_list: bool, backends: &mut References) {
        let name = meta.name.clone();
        let mut new = Entry::new(meta, read);
        match self.entries.get(&name) {
            Some(old) if old.meta == new.meta && old.read == new.read => return,
            Some(old) if old.claims_like(&new) => self.replace(&name, new, backends),
            Some(_) => {
                if let Some(old) = self.take(&name, backends) {
                    new.record = old.record;
                }
                self.put(new, backends);
            }
            None => {
                if first_list {
                    new.record = Record::for_first_list(&new.meta.revision);
                }
                self.put(new, backends);
            }
        }
        self.dirty.insert(name);
    }

    /// Replaces an entry by one with the same claim. Other Frontends are not affected unless the resolved encap changes.
    fn replace(&mut self, name: &Name, new: Entry, backends: &mut References) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        if entry.read.settings().map(|settings| &settings.pools) != new.read.settings().map(|settings| &settings.pools)
        {
            entry.read.backends().for_each(|backend| backends.remove(backend, name));
            new.read.backends().for_each(|backend| backends.add(backend, name));
            self.followers.remove(name, &entry.read);
            self.followers.add(name, &new.read);
        }
        entry.meta = new.meta;
        entry.read = new.read;
    }

    /// Inserts an entry with all references to it.
    fn put(&mut self, entry: Entry, backends: &mut References) {
        let name = entry.meta.name.clone();
        entry.read.backends().for_each(|backend| backends.add(backend, &name));
        self.followers.add(&name, &entry.read);
        self.unknown_claims += usize::from(entry.read.vip().is_none());
        if let Some(address) = entry.read.address {
            self.addresses.add(address, entry.meta.age());
            self.dirty_addresses.insert(address);
        }
        self.entries.insert(name, entry);
    }

    /// Removes a deleted object.
    pub fn delete(&mut self, name: &Name, backends: &mut References, changes: &mut Changes) {
        if let Some(entry) = self.take(name, backends) {
            entry.record.remove(ObjectVersion { kind: Kind::Frontend, name, revision: &entry.meta.revision }, changes);
            self.dirty.insert(name.clone());
        }
    }

    /// Removes an entry with all references to it.
    fn take(&mut self, name: &Name, backends: &mut References) -> Option<Entry> {
        let mut entry = self.entries.remove(name)?;
        self.excess.remove(name);
        self.quotas.forget(&entry.meta, &mut entry.entitlement);
        self.tables.replace(entry.table.take(), None);
        entry.read.backends().for_each(|backend| backends.remove(backend, name));
        self.followers.remove(name, &entry.read);
        self.followers.release(&entry, backends);
        self.unknown_claims -= usize::from(entry.read.vip().is_none());
        if let Some(address) = entry.read.address {
            self.addresses.remove(address, &entry.meta.age());
            self.dirty_addresses.insert(address);
        }
        Some(entry)
    }

    /// Applies a Node, whose addresses no Frontend may have.
    pub fn apply_node(&mut self, node: &NodeObject) {
        let changed = self.nodes.apply(node);
        self.touch_addresses(changed);
    }

    /// Removes a deleted Node.
    pub fn delete_node(&mut self, node: &str) {
        let changed = self.nodes.delete(node);
        self.touch_addresses(changed);
    }

    /// Marks the Frontends on `addresses` as dirty.
    fn touch_addresses(&mut self, addresses: BTreeSet<IpAddr>) {
        for address in addresses {
            let before = self.dirty.len();
            self.dirty.extend(self.addresses.on(address).cloned());
            if self.dirty.len() > before {
                self.dirty_addresses.insert(address);
            }
        }
    }

    /// True if a Frontend may have `address` as its VIP. Frontends that are not allowed do not count, and neither do
    /// addresses of Nodes: they are refused as VIPs, and may be those of backends.
    pub fn is_vip(&self, address: IpAddr) -> bool {
        let is_entitled = |name: &Name| self.entries.get(name).is_some_and(Entry::is_entitled);
        self.nodes.node(address).is_none() && self.addresses.on(address).any(is_entitled)
    }

    /// The addresses of Frontends and of Nodes, each once.
    pub fn taken_addresses(&self) -> BTreeSet<IpAddr> {
        self.addresses.all().chain(self.nodes.all()).collect()
    }

    /// True if there is a Frontend on `address`, allowed or not.
    pub fn has_frontend_on(&self, address: IpAddr) -> bool {
        self.addresses.on(address).next().is_some()
    }

    /// The addresses whose Frontends changed since they were last settled.
    pub fn dirty_addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.dirty_addresses.iter().copied()
    }

    /// The names of all stored objects.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.entries.keys()
    }

    /// Marks a Frontend as dirty, because an object that it refers to changed.
    pub fn touch(&mut self, name: Name) {
        self.dirty.insert(name);
    }

    /// True if the claim of some Frontend is unreadable.
    pub fn claims_unknown(&self) -> bool {
        self.unknown_claims > 0
    }

    /// Resolves the dirty objects, decides conflicts on their addresses, and holds those that exceed `max_table_entries`;
    /// `None` is no limit. Returns true if a resolved Frontend changed.
    pub fn settle(
        &mut self,
        backends: &Backends,
        max_table_entries: Option<u32>,
        changes: &mut Changes,
        work: &mut Work,
    ) -> bool {
        let mut unsettled = std::mem::take(&mut self.dirty);
        let mut last = LastResolved::default();
        for name in &unsettled {
            self.resolve(name, backends, &mut last, work);
        }
        for address in std::mem::take(&mut self.dirty_addresses) {
            self.decide(address, &mut unsettled, work);
        }
        self.admit(max_table_entries, &mut unsettled);
        let mut changed = false;
        for name in unsettled {
            changed |= self.assemble(&name, changes);
        }
        changed
    }

    /// Resolves a Frontend. `last` are the members of the one that was resolved last.
    fn resolve(&mut self, name: &Name, backends: &Backends, last: &mut LastResolved, work: &mut Work) {
        work.frontends += 1;
        let Some(entry) = self.entries.get_mut(name) else { return };
        let before = entry.claimed_encap();
        entry.resolution = match (entry.read.address, entry.read.settings()) {
            (Some(address), Some(settings)) => {
                Some(members::resolve(&entry.meta.name, address, settings, &entry.memberships, backends, last))
            }
            _ => None,
        };
        let pools = entry.resolution.iter_mut().flat_map(|resolution| &mut resolution.pools).flatten();
        pools.for_each(|pool| last.share(&mut pool.members));
        if let Some(address) = entry.read.address
            && entry.claimed_encap() != before
        {
            self.dirty_addresses.insert(address);
        }
    }

    /// Decides conflicts on `address`, and adds Frontends whose outcome changed to `unsettled`.
    fn decide(&mut self, address: IpAddr, unsettled: &mut BTreeSet<Name>, work: &mut Work) {
        work.addresses += 1;
        let entries = self.addresses.on(address).filter_map(|name| self.entries.get(name));
        let claimants: Vec<Claimant<'_>> = entries.map(Entry::claimant).collect();
        work.claims += claimants.len() as u64;
        let outcomes = claims::decide(&claimants);
        let names: Vec<Name> = claimants.iter().map(|claimant| claimant.name.clone()).collect();
        for (name, outcome) in names.into_iter().zip(outcomes) {
            if let Some(entry) = self.entries.get_mut(&name)
                && entry.outcome != outcome
            {
                entry.outcome = outcome;
                unsettled.insert(name);
            }
        }
    }

    /// Assembles the resolved Frontend. Returns true if it changed.
    fn assemble(&mut self, name: &Name, changes: &mut Changes) -> bool {
        let Some(entry) = self.entries.get_mut(name) else { return self.resolved.remove(name).is_some() };
        let rejection = assembly::rejection(entry, &self.nodes);
        let standing = assembly::standing(entry, rejection.as_ref());
        let in_effect = entry.read.vip().is_some() && standing == Standing::Serving;
        let mut problems: Vec<Problem> =
            entry.resolution.iter().flat_map(|resolution| resolution.problems.iter().cloned()).collect();
        if let Standing::Held(problem) | Standing::Withdrawn(problem) = &standing
            && problem.reason != Reason::EndpointsUnknown
        {
            problems.push(problem.clone());
        }
        problems
            .extend(entry.outcome.problem().into_iter().chain(&rejection).chain(entry.entitlement.reports()).cloned());
        let object = ObjectVersion { kind: Kind::Frontend, name, revision: &entry.meta.revision };
        entry.record.settle(object, in_effect, problems, changes);
        let Some(vip) = entry.read.vip() else { return self.resolved.remove(name).is_some() };
        let before = self.resolved.get(name).cloned();
        let frontend = assembly::frontend(entry, vip, standing, before.as_deref());
        let after = super::keep_if_equal(&mut self.resolved, name, frontend);
        !before.is_some_and(|before| Arc::ptr_eq(&before, &after))
    }

    /// The problems of `name`.
    pub fn problems(&self, name: &Name) -> &[Problem] {
        self.entries.get(name).map_or(&[], |entry| entry.record.problems())
    }
}
