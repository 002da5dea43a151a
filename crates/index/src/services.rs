//! Stores the EndpointSlices of Services and the Nodes, and resolves pools that follow a Service to derived Backends.
//!
//! ```text
//!  EndpointSlices of a Service ─┐
//!  Nodes, services of the oldest LoadBalancerConfig ─┴▶ membership of each pool ──▶ derived Backends, Frontends
//! ```
//!
//! The slices of a Service are known once a list covered the Service, and stay known while later lists fail. Until then its
//! pools are held: unknown is not empty.

mod membership;
mod nodes;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

pub use self::{
    membership::{DerivedBackend, LastDerived, Membership, PoolMember, PoolUse, PortSelector, ServicePool, Targets},
    nodes::{NodeServers, ServiceSettings},
};
use super::object::EndpointSliceObject;
use maglev_model::Name;

/// The EndpointSlices, by Service, and the Nodes.
#[derive(Default)]
pub struct Services {
    /// False if the program does not watch EndpointSlices at all.
    enabled: bool,
    /// The Service of each slice.
    owners: HashMap<Name, Name>,
    slices: HashMap<Name, BTreeMap<Name, EndpointSliceObject>>,
    /// The Services whose slices the last complete list covers; `None` before the first one.
    covered: Option<Coverage>,
    pub nodes: NodeServers,
    dirty: BTreeSet<Name>,
    /// All Services have to be resolved again.
    all_dirty: bool,
}

/// The Services that a complete list of EndpointSlices covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Coverage {
    All,
    Services(Arc<BTreeSet<Name>>),
}

impl Coverage {
    fn contains(&self, service: &Name) -> bool {
        match self {
            Self::All => true,
            Self::Services(services) => services.contains(service),
        }
    }
}

/// The slices of one Service.
pub enum SlicesOf<'a> {
    /// EndpointSlices are not watched.
    Disabled,
    /// No list covered the Service.
    Unknown,
    Known(Vec<&'a EndpointSliceObject>),
}

impl Services {
    pub fn new(enabled: bool) -> Self {
        Self { enabled, ..Self::default() }
    }

    /// Applies a stored slice.
    pub fn apply(&mut self, slice: EndpointSliceObject) {
        let (name, service) = (slice.name.clone(), slice.service.clone());
        if self.owners.get(&name).is_some_and(|owner| *owner != service) {
            self.delete(&name);
        }
        let slices = self.slices.entry(service.clone()).or_default();
        if slices.get(&name) != Some(&slice) {
            slices.insert(name.clone(), slice);
            self.owners.insert(name, service.clone());
            self.dirty.insert(service);
        }
    }

    /// Removes a deleted slice.
    pub fn delete(&mut self, name: &Name) {
        let Some(service) = self.owners.remove(name) else { return };
        if let Some(slices) = self.slices.get_mut(&service) {
            slices.remove(name);
            if slices.is_empty() {
                self.slices.remove(&service);
            }
        }
        self.dirty.insert(service);
    }

    /// Sets the Services whose slices are known; `None` for none.
    pub fn cover(&mut self, covered: Option<Coverage>) {
        self.all_dirty |= self.covered != covered;
        self.covered = covered;
    }

    /// The names of all slices.
    pub fn slice_names(&self) -> impl Iterator<Item = &Name> {
        self.owners.keys()
    }

    /// The Services that changed since the last call. `followed` are those that pools follow.
    pub fn take_dirty<'a>(&mut self, followed: impl Iterator<Item = &'a Name>) -> BTreeSet<Name> {
        let mut dirty = std::mem::take(&mut self.dirty);
        if std::mem::take(&mut self.all_dirty) {
            dirty.extend(followed.cloned());
        }
        dirty
    }

    /// The slices of `service`, by name.
    fn slices_of(&self, service: &Name) -> SlicesOf<'_> {
        if !self.enabled {
            return SlicesOf::Disabled;
        }
        if !self.covered.as_ref().is_some_and(|covered| covered.contains(service)) {
            return SlicesOf::Unknown;
        }
        SlicesOf::Known(self.slices.get(service).into_iter().flat_map(BTreeMap::values).collect())
    }
}
