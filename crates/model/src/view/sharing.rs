//! Memory that the views of several nodes share: most nodes have the same objects and program the same VIPs.

use imbl::{OrdMap, ordmap::DiffItem};

use super::View;
use crate::name::Name;

impl View {
    /// Replaces equal parts by those of `other`, the view of another node, and equal names by one of them. The view stays
    /// equal. Takes time proportional to both views.
    pub fn share_with(&mut self, other: &Self) {
        share(&mut self.health_checks, &other.health_checks);
        share(&mut self.backends, &other.backends);
        share(&mut self.frontends, &other.frontends);
        share(&mut self.problems, &other.problems);
        share(&mut self.active_pools, &other.active_pools);
        share(&mut self.reports, &other.reports);
        if let (Some(vpp), Some(other)) = (&mut self.vpp, &other.vpp) {
            share(&mut vpp.vips, &other.vips);
        }
        share_names(&mut self.health.backends, &self.backends);
        share_names(&mut self.drains, &self.backends);
        share_names(&mut self.states, &self.frontends);
    }
}

/// Makes `own` a copy of `other` with the entries that differ, which shares memory with `other`. Has no effect if more
/// than half of the entries differ.
fn share<K: Ord + Clone, V: PartialEq + Clone>(own: &mut OrdMap<K, V>, other: &OrdMap<K, V>) {
    let mut shared = other.clone();
    let mut differing = 0;
    for item in other.diff(own) {
        differing += 1;
        if differing > own.len() / 2 {
            return;
        }
        match item {
            DiffItem::Add(key, value) | DiffItem::Update { new: (key, value), .. } => {
                shared.insert(key.clone(), value.clone());
            }
            DiffItem::Remove(key, _) => {
                shared.remove(key);
            }
        }
    }
    *own = shared;
}

/// Replaces the names by equal ones of `objects`.
fn share_names<V: Clone, T: Clone>(map: &mut OrdMap<Name, V>, objects: &OrdMap<Name, T>) {
    let shared = |name: Name| objects.get_key_value(&name).map_or_else(|| name.clone(), |(shared, _)| shared.clone());
    *map = std::mem::take(map).into_iter().map(|(name, value)| (shared(name), value)).collect();
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::{
        change::{Change, ConfigDelta},
        config::Backend,
        health::{BackendHealth, BackendState},
        test_objects::backend,
        view::Fold as _,
    };

    fn view(addresses: &[(&str, u8)]) -> View {
        let mut view = View::default();
        let backends: Vec<Arc<Backend>> = addresses.iter().map(|(name, last)| backend(name, *last)).collect();
        let listed = backends.iter().map(|backend| (Name::from(backend.name.as_str()), Some(Arc::clone(backend))));
        let delta = ConfigDelta { backends: listed.collect(), ..ConfigDelta::default() };
        view.apply(&Change::Config(Arc::new(delta)), Timestamp::UNIX_EPOCH);
        for backend in &backends {
            let health = BackendHealth {
                address: backend.address,
                state: BackendState::Up,
                ever_known: true,
                in_doubt: false,
                history: Arc::default(),
            };
            let name = Name::from(backend.name.as_str());
            view.apply(&Change::Health(name, Some(health)), Timestamp::UNIX_EPOCH);
        }
        view
    }

    #[test]
    fn equal_objects_and_their_names_are_shared_and_others_stay() {
        let other = view(&[("one", 1), ("two", 2), ("three", 3), ("five", 5), ("six", 6), ("seven", 7), ("gone", 9)]);
        let before = view(&[("one", 1), ("two", 22), ("three", 3), ("five", 5), ("six", 6), ("seven", 7), ("four", 4)]);
        let mut shared = before.clone();
        shared.share_with(&other);
        assert_eq!(shared, before);
        for (name, backend) in &shared.backends {
            let is_shared = other.backends.get(name).is_some_and(|other| Arc::ptr_eq(backend, other));
            assert_eq!(is_shared, !["two", "four"].contains(&name.name()), "{name}");
            let (own, _) = shared.health.backends.get_key_value(name).unwrap();
            assert!(std::ptr::eq(own.as_str(), name.as_str()), "{name} of the health is another text");
        }
        let mut same = other.clone();
        same.share_with(&other);
        assert!(same.backends.ptr_eq(&other.backends));
    }

    proptest! {
        #[test]
        fn shared_map_is_equal(
            own in prop::collection::btree_map(0..40_u8, 0..3_u8, 0..40),
            other in prop::collection::btree_map(0..40_u8, 0..3_u8, 0..40),
        ) {
            let maps = |map: &BTreeMap<u8, u8>| map.iter().map(|(key, value)| (*key, *value)).collect::<OrdMap<u8, u8>>();
            let (before, other) = (maps(&own), maps(&other));
            let mut shared = before.clone();
            share(&mut shared, &other);
            prop_assert_eq!(shared, before);
        }
    }
}
