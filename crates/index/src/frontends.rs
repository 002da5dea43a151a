//! Frontends: kept, their pools resolved, their claims compared with the others on the address, and
//! put together.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
};

use imbl::OrdMap;

use super::{
    Work,
    backends::Backends,
    changes::{Changes, Record},
    claims::{self, Addresses, Age, Claimant, ClaimedEncap},
    members::{self, Resolution, Wants},
    object::Meta,
    references::References,
};
use maglev_model::{
    Name,
    config::{Frontend, Kind, OnBackendDown, Standing},
    problem::Problem,
    vip::{Service, TableLength, VipKey},
};

/// A Frontend as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct FrontendRead {
    /// `spec.address`, where it could be read.
    pub address: Option<IpAddr>,
    /// `spec.protocol` and `spec.port`, where they could be read.
    pub service: Option<Service>,
    pub body: Body,
}

/// A Frontend's spec but for its claim.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// It can be read.
    Readable {
        /// What it says.
        wants: Wants,
        /// Why it is held although it can be read: its address is not allowed here.
        refused: Option<Problem>,
    },
    /// It does not decode or has a value that is not allowed.
    Unreadable {
        problem: Problem,
        /// The encap, where that could be read.
        encap: ClaimedEncap,
    },
}

impl FrontendRead {
    /// The claim, where all of it could be read.
    fn vip(&self) -> Option<VipKey> {
        Some(VipKey { address: self.address?, service: self.service? })
    }

    fn wants(&self) -> Option<&Wants> {
        match &self.body {
            Body::Readable { wants, .. } => Some(wants),
            Body::Unreadable { .. } => None,
        }
    }

    fn backends(&self) -> impl Iterator<Item = &Name> {
        self.wants().into_iter().flat_map(Wants::backends)
    }
}

struct Entry {
    meta: Meta,
    read: FrontendRead,
    /// What the pools come to; `None` for an unreadable Frontend and before the first settling.
    resolution: Option<Resolution>,
    /// Why it is withdrawn.
    lost: Option<Problem>,
    record: Record,
}

impl Entry {
    fn age(&self) -> Age {
        Age { created: self.meta.created, name: self.meta.name.clone() }
    }

    fn claimed_encap(&self) -> ClaimedEncap {
        match (&self.read.body, &self.resolution) {
            (Body::Unreadable { encap, .. }, _) => *encap,
            (_, Some(resolution)) => resolution.claimed,
            (Body::Readable { wants, .. }, None) => ClaimedEncap::Known(wants.encap, None),
        }
    }

    /// Whether `other` takes part in conflicts in the same way, as far as that follows from the
    /// object alone.
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
            readable: self.read.wants().is_some(),
        }
    }
}

#[derive(Default)]
pub struct Frontends {
    entries: HashMap<Name, Entry>,
    /// Those whose claim is known, as the configuration shows them.
    pub resolved: OrdMap<Name, Arc<Frontend>>,
    addresses: Addresses,
    /// How many have a claim that cannot be read.
    unknown_claims: usize,
    dirty: BTreeSet<Name>,
    dirty_addresses: BTreeSet<IpAddr>,
}

impl Frontends {
    /// Takes in a stored object.
    pub fn apply(&mut self, meta: Meta, read: FrontendRead, first_list: bool, backends: &mut References) {
        let name = meta.name.clone();
        let mut new = Entry { meta, read, resolution: None, lost: None, record: Record::default() };
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
                    new.record = Record::of_first_list(&new.meta.revision);
                }
                self.put(new, backends);
            }
        }
        self.dirty.insert(name);
    }

    /// Replaces an entry by one whose claim is the same: nobody else has to be looked at, unless its
    /// encap turns out to be another.
    fn replace(&mut self, name: &Name, new: Entry, backends: &mut References) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        if entry.read.wants().map(|wants| &wants.pools) != new.read.wants().map(|wants| &wants.pools) {
            entry.read.backends().for_each(|backend| backends.remove(backend, name));
            new.read.backends().for_each(|backend| backends.add(backend, name));
        }
        entry.meta = new.meta;
        entry.read = new.read;
    }

    /// Puts an entry in, with all that points to it.
    fn put(&mut self, entry: Entry, backends: &mut References) {
        let name = entry.meta.name.clone();
        entry.read.backends().for_each(|backend| backends.add(backend, &name));
        self.unknown_claims += usize::from(entry.read.vip().is_none());
        if let Some(address) = entry.read.address {
            self.addresses.add(address, entry.age());
            self.dirty_addresses.insert(address);
        }
        self.entries.insert(name, entry);
    }

    /// Forgets a deleted object.
    pub fn delete(&mut self, name: &Name, backends: &mut References, changes: &mut Changes) {
        if let Some(entry) = self.take(name, backends) {
            entry.record.remove((Kind::Frontend, name, &entry.meta.revision), changes);
            self.dirty.insert(name.clone());
        }
    }

    /// Takes an entry out, with all that points to it.
    fn take(&mut self, name: &Name, backends: &mut References) -> Option<Entry> {
        let entry = self.entries.remove(name)?;
        entry.read.backends().for_each(|backend| backends.remove(backend, name));
        self.unknown_claims -= usize::from(entry.read.vip().is_none());
        if let Some(address) = entry.read.address {
            self.addresses.remove(address, &entry.age());
            self.dirty_addresses.insert(address);
        }
        Some(entry)
    }

    /// The names of all that are stored.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.entries.keys()
    }

    /// Something that `name` refers to has changed.
    pub fn touch(&mut self, name: Name) {
        self.dirty.insert(name);
    }

    /// Whether some claim cannot be read.
    pub fn claims_unknown(&self) -> bool {
        self.unknown_claims > 0
    }

    /// Resolves what was touched, and what follows for others on the same addresses. Returns whether
    /// a resolved Frontend changed.
    pub fn settle(&mut self, backends: &Backends, changes: &mut Changes, work: &mut Work) -> bool {
        let mut unsettled = std::mem::take(&mut self.dirty);
        for name in &unsettled {
            self.resolve(name, backends, work);
        }
        for address in std::mem::take(&mut self.dirty_addresses) {
            self.decide(address, &mut unsettled, work);
        }
        let mut changed = false;
        for name in unsettled {
            changed |= self.assemble(&name, changes);
        }
        changed
    }

    fn resolve(&mut self, name: &Name, backends: &Backends, work: &mut Work) {
        work.frontends += 1;
        let Some(entry) = self.entries.get_mut(name) else { return };
        let before = entry.claimed_encap();
        entry.resolution = match (entry.read.address, entry.read.wants()) {
            (Some(address), Some(wants)) => Some(members::resolve(&entry.meta.name, address, wants, backends)),
            _ => None,
        };
        if let Some(address) = entry.read.address
            && entry.claimed_encap() != before
        {
            self.dirty_addresses.insert(address);
        }
    }

    /// Compares the claims on `address`; whose outcome changes is added to `unsettled`.
    fn decide(&mut self, address: IpAddr, unsettled: &mut BTreeSet<Name>, work: &mut Work) {
        work.addresses += 1;
        let entries = self.addresses.on(address).filter_map(|name| self.entries.get(name));
        let claimants: Vec<Claimant<'_>> = entries.map(Entry::claimant).collect();
        work.claims += claimants.len() as u64;
        let verdicts = claims::decide(&claimants);
        let names: Vec<Name> = claimants.iter().map(|claimant| claimant.name.clone()).collect();
        for (name, lost) in names.into_iter().zip(verdicts) {
            if let Some(entry) = self.entries.get_mut(&name)
                && entry.lost != lost
            {
                entry.lost = lost;
                unsettled.insert(name);
            }
        }
    }

    /// Puts the resolved Frontend together; returns whether it changed.
    fn assemble(&mut self, name: &Name, changes: &mut Changes) -> bool {
        let Some(entry) = self.entries.get_mut(name) else { return self.resolved.remove(name).is_some() };
        let standing = standing(entry);
        let in_effect = entry.read.vip().is_some() && standing == Standing::Serving;
        let mut problems: Vec<Problem> =
            entry.resolution.iter().flat_map(|resolution| resolution.problems.iter().cloned()).collect();
        if let Standing::Held(problem) | Standing::Withdrawn(problem) = &standing {
            problems.push(problem.clone());
        }
        problems.extend(entry.lost.iter().chain(refusal(entry)).cloned());
        entry.record.settle((Kind::Frontend, name, &entry.meta.revision), in_effect, problems, changes);
        let Some(vip) = entry.read.vip() else { return self.resolved.remove(name).is_some() };
        let frontend = frontend(entry, vip, standing);
        let before = self.resolved.get(name).cloned();
        let after = super::keep_if_equal(&mut self.resolved, name, frontend);
        !before.is_some_and(|before| Arc::ptr_eq(&before, &after))
    }

    /// The problems of `name`.
    pub fn problems(&self, name: &Name) -> &[Problem] {
        self.entries.get(name).map_or(&[], |entry| entry.record.problems())
    }
}

/// Why the object itself is not taken, whatever the others say.
fn refusal(entry: &Entry) -> Option<&Problem> {
    match &entry.read.body {
        Body::Readable { refused, .. } => refused.as_ref(),
        Body::Unreadable { problem, .. } => Some(problem),
    }
}

/// Losing a conflict comes before everything: two Frontends cannot be one VIP.
fn standing(entry: &Entry) -> Standing {
    let held = || refusal(entry).or_else(|| entry.resolution.as_ref()?.held.as_ref());
    match (&entry.lost, held()) {
        (Some(lost), _) => Standing::Withdrawn(lost.clone()),
        (None, Some(held)) => Standing::Held(held.clone()),
        (None, None) => Standing::Serving,
    }
}

fn frontend(entry: &Entry, vip: VipKey, standing: Standing) -> Frontend {
    let wants = entry.read.wants();
    let resolution = entry.resolution.as_ref();
    Frontend {
        name: entry.meta.name.clone(),
        revision: entry.meta.revision.clone(),
        vip,
        standing,
        pools: resolution.map_or_else(Vec::new, |resolution| resolution.pools.clone()),
        encap: resolution.and_then(|resolution| resolution.encap),
        sticky: wants.is_some_and(|wants| wants.sticky),
        on_backend_down: wants.map_or_else(OnBackendDown::default, |wants| wants.on_backend_down),
        table_length: wants.map_or(TableLength::DEFAULT, |wants| wants.table_length),
    }
}
