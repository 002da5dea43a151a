//! Whose probes somebody wants to see: the sum of what everybody asked for, per node.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use maglev_model::Name;

/// Backends of one node whose probes are followed, at most.
pub const MAX_WATCHED: usize = 200;

/// Everybody's wishes for one node.
#[derive(Debug)]
pub(crate) struct Interest {
    wishes: Mutex<Wishes>,
    names: watch::Sender<Arc<[Name]>>,
}

#[derive(Debug, Default)]
struct Wishes {
    next: u64,
    of: BTreeMap<u64, Vec<Name>>,
}

impl Default for Interest {
    fn default() -> Self {
        Self { wishes: Mutex::default(), names: watch::Sender::new([].into()) }
    }
}

impl Interest {
    /// The names that somebody wants, in order.
    pub(crate) fn names(&self) -> watch::Receiver<Arc<[Name]>> {
        self.names.subscribe()
    }

    /// Wants `names` until the guard is dropped.
    pub(crate) fn watch(self: &Arc<Self>, names: Vec<Name>) -> ProbeGuard {
        let mut wishes = self.wishes();
        let id = wishes.next;
        wishes.next += 1;
        wishes.of.insert(id, names);
        self.tell(&wishes);
        ProbeGuard { interest: Arc::clone(self), id }
    }

    fn wishes(&self) -> MutexGuard<'_, Wishes> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those who asked first are served first.
    fn tell(&self, wishes: &Wishes) {
        let mut names = BTreeSet::new();
        for name in wishes.of.values().flatten() {
            if names.len() < MAX_WATCHED {
                names.insert(name.clone());
            }
        }
        let names: Arc<[Name]> = names.into_iter().collect();
        self.names.send_if_modified(|now| std::mem::replace(now, Arc::clone(&names)) != names);
    }
}

/// While it lives, the probes of some backends of a node are followed.
#[derive(Debug)]
pub struct ProbeGuard {
    interest: Arc<Interest>,
    id: u64,
}

impl Drop for ProbeGuard {
    fn drop(&mut self) {
        let mut wishes = self.interest.wishes();
        wishes.of.remove(&self.id);
        self.interest.tell(&wishes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(range: std::ops::Range<usize>) -> Vec<Name> {
        range.map(|n| Name::namespaced("shop", &format!("web-{n:03}"))).collect()
    }

    #[test]
    fn what_is_followed_is_the_sum_of_all_wishes_and_ends_with_them() {
        let interest = Arc::new(Interest::default());
        let mut names_rx = interest.names();
        let first = interest.watch(names(0..3));
        let second = interest.watch(names(2..5));
        assert_eq!(names_rx.borrow_and_update().to_vec(), names(0..5));
        drop(first);
        assert_eq!(names_rx.borrow_and_update().to_vec(), names(2..5));
        let third = interest.watch(names(3..4));
        assert!(!names_rx.has_changed().expect("it lives"), "nothing new is wanted");
        drop((second, third));
        assert!(names_rx.borrow_and_update().is_empty());
    }

    #[test]
    fn no_more_are_followed_than_an_agent_is_asked_for() {
        let interest = Arc::new(Interest::default());
        let first = interest.watch(names(100..250));
        let _second = interest.watch(names(0..100));
        let followed = interest.names().borrow().to_vec();
        assert_eq!(followed.len(), MAX_WATCHED);
        assert!(names(100..250).iter().all(|name| followed.contains(name)), "who asked first is served first");
        drop(first);
        assert_eq!(interest.names().borrow().to_vec(), names(0..100));
    }
}
