//! Holds the watched objects and the addresses in use, and decides which Services to look at. Pure; the clock is a parameter.
//!
//! ```text
//!  Services, Frontends, AddressPolicies ──▶ dirty Services ──▶ assignment ──▶ plan: Frontends and status to write
//!                                                                  ▲
//!                                                   AddressBook ◀──┘ the addresses of Frontends, and those just given
//! ```

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use imbl::{OrdMap, ordmap::DiffItem};
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;

use super::{
    addresses::{AddressBook, Claim, Holder},
    status::ServiceStatus,
};
use maglev_index::{AddressGrants, Object};
use maglev_kube::service_objects::{FrontendObject, ServiceObject};
use maglev_model::{Name, config::Kind};

/// Time after which a Frontend that was written and that the watch does not deliver counts as deleted.
const UNCONFIRMED: Duration = Duration::from_secs(30);

/// The addresses of a Service, given in this term or taken over from its Frontends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Assigned {
    /// `metadata.uid` of the Service.
    pub uid: Arc<str>,
    pub addresses: Vec<IpAddr>,
}

/// The reason to look at a Service again when another object changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// The Service is refused.
    Refused,
    /// The Service has an address, and would like one of another family, too.
    ForFamily,
}

pub struct ServiceEngine {
    pub(super) services: OrdMap<Name, ServiceObject>,
    services_listed: bool,
    pub(super) frontends: BTreeMap<Name, FrontendObject>,
    frontends_listed: bool,
    /// The names of the Frontends that were made for each Service.
    pub(super) made_for: HashMap<Name, BTreeSet<Name>>,
    /// Frontends that were written and not delivered by the watch since.
    unconfirmed: BTreeMap<Name, Instant>,
    pub(super) grants: AddressGrants,
    pub(super) book: AddressBook,
    pub(super) assigned: BTreeMap<Name, Assigned>,
    dirty: BTreeSet<Name>,
    /// Services to look at again once other objects change.
    pub(super) waiting: BTreeMap<Name, Wait>,
    /// `releases` of the address book when the waiting Services were last looked at.
    seen_releases: u64,
    /// The manifest that was last applied to a Frontend, and the version that the API server answered: if a Frontend
    /// still differs in that version, another field manager owns the field.
    pub(super) applied: HashMap<Name, (String, Value)>,
    /// The status that was last written, without times, and the version of the Service that it was computed from.
    pub(super) written: HashMap<Name, (String, Value)>,
}

impl ServiceEngine {
    /// Starts without objects. `allow_loopback` is that of the index.
    pub fn new(allow_loopback: bool) -> Self {
        Self {
            services: OrdMap::new(),
            services_listed: false,
            frontends: BTreeMap::new(),
            frontends_listed: false,
            made_for: HashMap::new(),
            unconfirmed: BTreeMap::new(),
            grants: AddressGrants::new(allow_loopback),
            book: AddressBook::default(),
            assigned: BTreeMap::new(),
            dirty: BTreeSet::new(),
            waiting: BTreeMap::new(),
            seen_releases: 0,
            applied: HashMap::new(),
            written: HashMap::new(),
        }
    }

    /// Replaces the Services.
    pub fn set_services(&mut self, services: OrdMap<Name, ServiceObject>) {
        self.services_listed = true;
        let before = std::mem::replace(&mut self.services, services);
        let changed: Vec<Name> = before
            .diff(&self.services)
            .map(|item| match item {
                DiffItem::Add(name, _) | DiffItem::Remove(name, _) => name.clone(),
                DiffItem::Update { new: (name, _), .. } => name.clone(),
            })
            .collect();
        for name in changed {
            // Another Service of the namespace may share its address now, or stop to.
            let namespace = name.namespace();
            self.dirty.extend(self.waiting.keys().filter(|waiting| waiting.namespace() == namespace).cloned());
            if !self.services.contains_key(&name) {
                self.written.remove(&name);
            }
            self.dirty.insert(name);
        }
    }

    /// Applies an update of the Frontends: deletions, then new and changed objects.
    pub fn update_frontends(&mut self, first: bool, deleted: &[Name], objects: Vec<FrontendObject>) {
        self.frontends_listed |= first;
        for name in deleted {
            self.unconfirmed.remove(name);
            self.remove_frontend(name);
        }
        for object in objects {
            self.unconfirmed.remove(&object.name);
            // The answer to a write may be newer than the object that the watch delivers.
            if self.frontends.get(&object.name).is_none_or(|stored| !object.is_older_than(stored)) {
                self.put_frontend(object);
            }
        }
    }

    /// Applies an update of a kind that decides on addresses.
    pub fn update_grants(&mut self, kind: Kind, first: bool, deleted: &[Name], objects: Vec<Object>) {
        if self.grants.update(kind, first, deleted, objects) {
            self.grants_changed();
        }
    }

    /// Looks at the waiting Services again, because AddressPolicies or unusable addresses have changed.
    fn grants_changed(&mut self) {
        self.book.forget_searches();
        self.dirty.extend(self.waiting.keys().cloned());
    }

    /// Records a Frontend that was written, as the API server answered.
    pub fn frontend_written(&mut self, object: FrontendObject, manifest: Value, now: Instant) {
        let (name, version) = (object.name.clone(), object.version.clone());
        self.applied.insert(name.clone(), (version, manifest));
        if self.frontends.get(&name).is_none_or(|stored| !object.is_older_than(stored)) {
            self.unconfirmed.insert(name, now);
            self.put_frontend(object);
        }
    }

    /// Records that the API server has accepted the deletion of a Frontend.
    pub fn frontend_deleted(&mut self, name: &Name, uid: &str) {
        if let Some(frontend) = self.frontends.get_mut(name)
            && &*frontend.uid == uid
        {
            frontend.is_deleting = true;
        }
    }

    /// Records a status that was written.
    pub fn status_written(&mut self, name: Name, version: String, status: &ServiceStatus) {
        self.written.insert(name, (version, status.without_times()));
    }

    /// Forgets the Frontends that were written long ago and that the watch has not delivered since: they were deleted
    /// before.
    pub fn expire(&mut self, now: Instant) {
        let is_due = |at: &Instant| now.saturating_duration_since(*at) >= UNCONFIRMED;
        let due = self.unconfirmed.iter().filter(|(_, at)| is_due(at)).map(|(name, _)| name.clone());
        for name in due.collect::<Vec<_>>() {
            self.unconfirmed.remove(&name);
            self.remove_frontend(&name);
        }
    }

    fn put_frontend(&mut self, object: FrontendObject) {
        let name = object.name.clone();
        let owner = object.owner.as_ref().map(|owner| owner.service.clone());
        let claim = |address: IpAddr| {
            let traffic = object.traffic.into_iter().collect();
            vec![(address, Claim { service: owner.clone(), traffic })]
        };
        self.book.replace(&Holder::Frontend(name.clone()), object.address.map(claim).unwrap_or_default());
        if let Some(before) = self.frontends.insert(name.clone(), object) {
            self.forget_owner(&before);
        }
        if let Some(service) = owner {
            self.made_for.entry(service.clone()).or_default().insert(name.clone());
            self.dirty.insert(service);
        }
        self.mark_conflicting(&name);
    }

    fn remove_frontend(&mut self, name: &Name) {
        self.applied.remove(name);
        if let Some(before) = self.frontends.remove(name) {
            self.book.replace(&Holder::Frontend(name.clone()), Vec::new());
            self.forget_owner(&before);
        }
    }

    /// Removes a Frontend from those of its Service, which is looked at again.
    fn forget_owner(&mut self, frontend: &FrontendObject) {
        let Some(owner) = &frontend.owner else { return };
        self.dirty.insert(owner.service.clone());
        if let Some(names) = self.made_for.get_mut(&owner.service) {
            names.remove(&frontend.name);
            if names.is_empty() {
                self.made_for.remove(&owner.service);
            }
        }
    }

    /// Marks the Services whose address the Frontend `name` has, too.
    fn mark_conflicting(&mut self, name: &Name) {
        let Some((frontend, address)) =
            self.frontends.get(name).and_then(|frontend| Some((frontend, frontend.address?)))
        else {
            return;
        };
        let own = frontend.owner.as_ref().map(|owner| &owner.service);
        let by_hand = Name::cluster("");
        let others = self.book.claims_of_others(address, own.unwrap_or(&by_hand));
        let services: Vec<Name> = others.filter_map(|(_, claim)| claim.service.clone()).collect();
        self.dirty.extend(services);
    }

    /// True once everything that decides on Frontends has been listed.
    pub fn is_listed(&self) -> bool {
        self.services_listed && self.frontends_listed && self.grants.is_listed()
    }

    /// Marks a Service as dirty.
    pub fn mark(&mut self, service: Name) {
        self.dirty.insert(service);
    }

    /// Removes and returns the dirty Services that are not `held`, oldest first. Empty before everything has been listed.
    pub fn take_dirty(&mut self, held: impl Fn(&Name) -> bool) -> Vec<Name> {
        if !self.is_listed() {
            return Vec::new();
        }
        if std::mem::replace(&mut self.seen_releases, self.book.releases()) != self.book.releases() {
            self.dirty.extend(self.waiting.keys().cloned());
        }
        let mut dirty: Vec<Name> = self.dirty.iter().filter(|name| !held(name)).cloned().collect();
        for name in &dirty {
            self.dirty.remove(name);
        }
        let age = |name: &Name| self.services.get(name).map_or(Timestamp::MIN, |service| service.created);
        dirty.sort_by_cached_key(|name| (age(name), name.clone()));
        dirty
    }

    /// True if [`Self::take_dirty`] would return a Service, or look at the waiting ones.
    pub fn is_dirty(&self, held: impl Fn(&Name) -> bool) -> bool {
        let has_releases = self.seen_releases != self.book.releases() && !self.waiting.is_empty();
        self.is_listed() && (has_releases || self.dirty.iter().any(|name| !held(name)))
    }

    /// True while Namespaces have to be watched.
    pub fn needs_namespaces(&self) -> bool {
        self.grants.needs_namespaces()
    }

    /// Forgets the Namespaces, which are no longer watched.
    pub fn unlist_namespaces(&mut self) {
        self.grants.unlist_namespaces();
        self.grants_changed();
    }

    /// The number of Services of the class, of those that wait for other objects, and of addresses that Services have.
    pub fn counts(&self) -> ServiceCounts {
        let of_class = self.services.values().filter(|service| service.spec.is_some()).count();
        let refused = self.waiting.values().filter(|wait| **wait == Wait::Refused);
        let addresses: HashSet<&IpAddr> = self.assigned.values().flat_map(|assigned| &assigned.addresses).collect();
        ServiceCounts { services: of_class, waiting: refused.count(), addresses: addresses.len() }
    }
}

/// Numbers for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServiceCounts {
    /// Services of the class.
    pub services: usize,
    /// Services that are refused because of other objects.
    pub waiting: usize,
    /// Addresses of Services.
    pub addresses: usize,
}
