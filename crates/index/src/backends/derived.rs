//! Derived Backends: servers of pools that follow a Service. They have no object, but the rules of Backends apply.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use imbl::OrdMap;
use jiff::Timestamp;

use super::{BackendQuotas, BackendRead, Backends};
use crate::{
    changes::{Changes, ObjectVersion},
    object::Meta,
    references::References,
    services::DerivedBackend,
};
use maglev_model::{
    Name,
    config::{AdminState, Check, HealthCheck, Kind, Revision},
    derived::Origin,
};

impl Backends {
    /// An empty store. `node_check` is the health check of Nodes.
    pub fn new(node_check: Check) -> Self {
        Self {
            entries: HashMap::new(),
            targets: HashMap::new(),
            resolved: OrdMap::new(),
            by_address: References::default(),
            users: References::default(),
            quotas: BackendQuotas::default(),
            node_check,
            dirty: BTreeSet::new(),
        }
    }

    /// Sets the health check of Nodes.
    pub fn set_node_check(&mut self, check: Check) {
        self.node_check = check;
        let nodes = self.entries.iter().filter(|(_, entry)| matches!(entry.origin, Some(Origin::Node(_))));
        self.dirty.extend(nodes.map(|(name, _)| name.clone()));
    }

    /// The health check of Nodes, if a pool uses one that is probed.
    pub fn used_node_check(&self) -> Option<&Arc<HealthCheck>> {
        let Check::Probe(check) = &self.node_check else { return None };
        let is_node = |name: &Name| matches!(Origin::parse(name), Some(Origin::Node(_)));
        // The names of Nodes follow each other in the map.
        let first = self.resolved.range(Name::cluster("node:")..).next();
        first.is_some_and(|(name, _)| is_node(name)).then_some(check)
    }

    /// Applies a derived Backend. In limits it counts after all stored ones.
    pub fn apply_derived(&mut self, backend: &DerivedBackend, checks: &mut References) {
        let DerivedBackend { name, address, check, pause } = backend;
        let meta = Meta { name: name.name().clone(), revision: Revision::default(), created: Timestamp::MAX };
        let read = BackendRead::Readable {
            address: *address,
            check: check.clone(),
            admin_state: if pause.is_some() { AdminState::Paused } else { AdminState::Enabled },
            pause_cause: pause.as_ref().map(|pause| Arc::clone(&pause.cause)),
            drain: pause.as_ref().map(|pause| pause.drain).unwrap_or_default(),
        };
        self.apply(meta, read, false, checks);
    }

    /// Removes a derived Backend that no Frontend uses.
    pub fn delete_derived(&mut self, name: &Name, checks: &mut References, changes: &mut Changes) {
        if let Some(mut entry) = self.entries.remove(name) {
            self.quotas.forget(&entry.meta, &mut entry.entitlement);
            entry.read.check().into_iter().for_each(|check| checks.remove(check, name));
            entry.read.address().iter().for_each(|address| self.by_address.remove(address, name));
            entry.record.pend(ObjectVersion { kind: Kind::Backend, name, revision: &entry.meta.revision }, changes);
            self.dirty.insert(name.clone());
        }
    }
}
