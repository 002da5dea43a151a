//! Subscriptions to the probes of Backends: the union of all subscriptions, per node.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

use maglev_model::Name;

/// Limit of the Backends of one node whose probes are followed.
pub const MAX_PROBED_BACKENDS: usize = 200;

/// All subscriptions of one node.
#[derive(Debug)]
pub(crate) struct ProbeSubscriptions {
    active: Mutex<Active>,
    names: watch::Sender<Arc<[Name]>>,
}

#[derive(Debug, Default)]
struct Active {
    next_id: u64,
    names: BTreeMap<u64, Vec<Name>>,
}

impl Default for ProbeSubscriptions {
    fn default() -> Self {
        Self { active: Mutex::default(), names: watch::Sender::new([].into()) }
    }
}

impl ProbeSubscriptions {
    /// The subscribed names, in order.
    pub(crate) fn names(&self) -> watch::Receiver<Arc<[Name]>> {
        self.names.subscribe()
    }

    /// Subscribes to `names` until the returned value is dropped.
    pub(crate) fn watch(self: &Arc<Self>, names: Vec<Name>) -> ProbeSubscription {
        let mut active = self.active();
        let id = active.next_id;
        active.next_id += 1;
        active.names.insert(id, names);
        self.publish(&active);
        ProbeSubscription { subscriptions: Arc::clone(self), id }
    }

    fn active(&self) -> MutexGuard<'_, Active> {
        self.active.lock()
    }

    /// Publishes the union of the subscriptions; older ones take precedence at the limit.
    fn publish(&self, active: &Active) {
        let mut names = BTreeSet::new();
        for name in active.names.values().flatten() {
            if names.len() < MAX_PROBED_BACKENDS {
                names.insert(name.clone());
            }
        }
        let names: Arc<[Name]> = names.into_iter().collect();
        self.names.send_if_modified(|now| std::mem::replace(now, Arc::clone(&names)) != names);
    }
}

/// A subscription to the probes of some Backends of a node. Ends when dropped.
#[derive(Debug)]
pub struct ProbeSubscription {
    subscriptions: Arc<ProbeSubscriptions>,
    id: u64,
}

impl Drop for ProbeSubscription {
    fn drop(&mut self) {
        let mut active = self.subscriptions.active();
        active.names.remove(&self.id);
        self.subscriptions.publish(&active);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(range: std::ops::Range<usize>) -> Vec<Name> {
        range.map(|n| Name::namespaced("shop", &format!("web-{n:03}"))).collect()
    }

    #[test]
    fn published_names_are_the_union_of_all_subscriptions() {
        let subscriptions = Arc::new(ProbeSubscriptions::default());
        let mut names_rx = subscriptions.names();
        let first = subscriptions.watch(names(0..3));
        let second = subscriptions.watch(names(2..5));
        assert_eq!(names_rx.borrow_and_update().to_vec(), names(0..5));
        drop(first);
        assert_eq!(names_rx.borrow_and_update().to_vec(), names(2..5));
        let third = subscriptions.watch(names(3..4));
        assert!(!names_rx.has_changed().expect("the sender exists"), "the union is unchanged");
        drop((second, third));
        assert!(names_rx.borrow_and_update().is_empty());
    }

    #[test]
    fn published_names_are_limited_and_older_subscriptions_take_precedence() {
        let subscriptions = Arc::new(ProbeSubscriptions::default());
        let first = subscriptions.watch(names(100..250));
        let _second = subscriptions.watch(names(0..100));
        let followed = subscriptions.names().borrow().to_vec();
        assert_eq!(followed.len(), MAX_PROBED_BACKENDS);
        assert!(names(100..250).iter().all(|name| followed.contains(name)), "the older subscription takes precedence");
        drop(first);
        assert_eq!(subscriptions.names().borrow().to_vec(), names(0..100));
    }
}
