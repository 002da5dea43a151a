//! Resolves stored objects, and again with the objects that a change would store. Called by `cli`, for its preview of
//! manifests.

use std::collections::{BTreeMap, BTreeSet};

use super::{Holder, HolderContent, Index, IndexOptions, Object};
use maglev_model::config::{Config, Kind};

/// The stored objects of all kinds, and those that a change would store.
#[derive(Clone, Debug, Default)]
pub struct ChangedObjects {
    /// The stored objects.
    pub stored: Vec<Object>,
    /// The created or changed objects.
    pub changed: Vec<Object>,
    /// The Secrets and ConfigMaps that were read.
    pub certificates: BTreeMap<Holder, HolderContent>,
}

/// Objects that the resolution depends on, beside those of the watched kinds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requirements {
    /// True if the Namespaces are required, because an AddressPolicy selects them by label.
    pub namespaces: bool,
    /// True if the EndpointSlices are required, because a pool follows a Service.
    pub endpoint_slices: bool,
    /// The Secrets and ConfigMaps that HealthChecks refer to.
    pub certificates: BTreeSet<Holder>,
}

/// The configurations of one node before and after a change.
#[derive(Clone, Debug)]
pub struct ConfigPair {
    pub before: Config,
    pub after: Config,
}

impl ChangedObjects {
    /// The objects that have to be read as well.
    pub fn requirements(&self) -> Requirements {
        let (mut index, _) = self.index(IndexOptions::default());
        self.change(&mut index);
        Requirements {
            namespaces: index.needs_namespaces(),
            endpoint_slices: !index.followed_services().is_empty(),
            certificates: index.required_certificates(),
        }
    }

    /// The configurations of the node that `options` name; `None` if the node is not among the stored objects.
    pub fn resolve(&self, options: IndexOptions) -> Option<ConfigPair> {
        let (mut index, config_rx) = self.index(options);
        let before = config_rx.borrow().clone()?;
        self.change(&mut index);
        let after = config_rx.borrow().clone()?;
        Some(ConfigPair { before, after })
    }

    fn index(&self, options: IndexOptions) -> (Index, tokio::sync::watch::Receiver<Option<Config>>) {
        let (mut index, config_rx) = Index::new(options);
        let mut by_kind: BTreeMap<usize, Vec<Object>> = BTreeMap::new();
        for object in &self.stored {
            by_kind.entry(object.kind() as usize).or_default().push(object.clone());
        }
        let mut batch = index.batch();
        for kind in Kind::ALL {
            batch.reset(kind, by_kind.remove(&(kind as usize)).unwrap_or_default());
        }
        for (holder, content) in &self.certificates {
            batch.apply_certificates(holder, content.clone());
        }
        batch.publish();
        (index, config_rx)
    }

    fn change(&self, index: &mut Index) {
        let mut batch = index.batch();
        for object in &self.changed {
            batch.apply(object.clone());
        }
        for (holder, content) in &self.certificates {
            batch.apply_certificates(holder, content.clone());
        }
        batch.publish();
    }
}
