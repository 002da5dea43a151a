//! Several changes of the index at once.

use std::collections::BTreeMap;

use super::{Changes, Coverage, Holder, HolderContent, Index, Object};
use maglev_model::{Name, config::Kind};

/// Several changes that are published as one configuration.
#[must_use = "a batch has no effect on the configuration before `publish`"]
pub struct Batch<'a> {
    index: &'a mut Index,
}

impl<'a> Batch<'a> {
    pub(super) fn new(index: &'a mut Index) -> Self {
        Self { index }
    }

    /// Applies a created or changed object.
    pub fn apply(&mut self, object: Object) {
        self.index.apply_object(object, false);
    }

    /// Removes a deleted object. The labels of the own Node stay as last seen: they are then unknown, not empty.
    pub fn delete(&mut self, kind: Kind, name: &Name) {
        self.index.forget(kind, name);
    }

    /// Applies the content of a Secret or ConfigMap with certificates or the value of a header. Ignored if no HealthCheck
    /// refers to the object.
    pub fn apply_certificates(&mut self, holder: &Holder, content: HolderContent) {
        self.index.health_checks.apply_certificates(holder, content);
    }

    /// Applies a complete list of the EndpointSlices of some Services. Those of other Services are not known.
    pub fn reset_slices(&mut self, covered: Coverage, objects: Vec<Object>) {
        self.reset(Kind::EndpointSlice, objects);
        self.index.services.cover(Some(covered));
    }

    /// Applies a complete list of `kind`. Objects of the kind that are not in the list are removed; objects of other kinds
    /// in the list are only applied.
    pub fn reset(&mut self, kind: Kind, objects: Vec<Object>) {
        let first_list = self.index.listed.insert(kind);
        if kind == Kind::EndpointSlice {
            self.index.services.cover(Some(Coverage::All));
        }
        let objects: BTreeMap<(Kind, Name), Object> =
            objects.into_iter().map(|object| ((object.kind(), object.name()), object)).collect();
        if first_list {
            self.index.changes.listed.push((kind, u32::try_from(objects.len()).unwrap_or(u32::MAX)));
        }
        for name in self.index.stored(kind) {
            if !objects.contains_key(&(kind, name.clone())) {
                self.index.forget(kind, &name);
            }
        }
        for ((object_kind, _), object) in objects {
            self.index.apply_object(object, first_list && object_kind == kind);
        }
    }

    /// Resolves the changes, and publishes a new configuration if it differs. Before every kind has been listed, the
    /// changes contain only the received lists.
    pub fn publish(self) -> Changes {
        self.index.publish()
    }
}
