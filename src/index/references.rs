//! Who refers to whom, backwards: what has to be looked at again when an object changes.

use std::collections::{BTreeSet, HashMap};

use crate::model::Name;

/// The users of each object of one kind, whether or not the object exists.
#[derive(Debug, Default)]
pub(super) struct References {
    users: HashMap<Name, BTreeSet<Name>>,
}

impl References {
    /// Notes that `user` refers to `target`.
    pub(super) fn add(&mut self, target: &Name, user: &Name) {
        if let Some(users) = self.users.get_mut(target) {
            users.insert(user.clone());
        } else {
            self.users.insert(target.clone(), BTreeSet::from([user.clone()]));
        }
    }

    /// Notes that `user` no longer refers to `target`.
    pub(super) fn remove(&mut self, target: &Name, user: &Name) {
        if let Some(users) = self.users.get_mut(target) {
            users.remove(user);
            if users.is_empty() {
                self.users.remove(target);
            }
        }
    }

    /// Who refers to `target`, in name order.
    pub(super) fn users(&self, target: &Name) -> impl Iterator<Item = &Name> {
        self.users.get(target).into_iter().flatten()
    }
}
