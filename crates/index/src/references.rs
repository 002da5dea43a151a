//! Who refers to whom, backwards: what has to be looked at again when an object changes.

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
};

use maglev_model::Name;

/// The users of each object of one kind (by its name, or by `T`), whether or not the object exists.
#[derive(Debug)]
pub struct References<T = Name> {
    users: HashMap<T, BTreeSet<Name>>,
}

impl<T> Default for References<T> {
    fn default() -> Self {
        Self { users: HashMap::new() }
    }
}

impl<T: Clone + Eq + Hash> References<T> {
    /// Notes that `user` refers to `target`.
    pub fn add(&mut self, target: &T, user: &Name) {
        if let Some(users) = self.users.get_mut(target) {
            users.insert(user.clone());
        } else {
            self.users.insert(target.clone(), BTreeSet::from([user.clone()]));
        }
    }

    /// Notes that `user` no longer refers to `target`.
    pub fn remove(&mut self, target: &T, user: &Name) {
        if let Some(users) = self.users.get_mut(target) {
            users.remove(user);
            if users.is_empty() {
                self.users.remove(target);
            }
        }
    }

    /// Who refers to `target`, in name order.
    pub fn users(&self, target: &T) -> impl Iterator<Item = &Name> {
        self.users.get(target).into_iter().flatten()
    }

    /// What is referred to, in no order.
    pub fn targets(&self) -> impl Iterator<Item = &T> {
        self.users.keys()
    }
}
