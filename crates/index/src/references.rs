//! Reverse references: the objects to resolve again when an object changes.

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
};

use maglev_model::Name;

/// The users of each object of one kind (by name, or by `T`). The object need not exist.
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
    /// Adds a reference from `user` to `target`.
    pub fn add(&mut self, target: &T, user: &Name) {
        if let Some(users) = self.users.get_mut(target) {
            users.insert(user.clone());
        } else {
            self.users.insert(target.clone(), BTreeSet::from([user.clone()]));
        }
    }

    /// Removes the reference from `user` to `target`.
    pub fn remove(&mut self, target: &T, user: &Name) {
        if let Some(users) = self.users.get_mut(target) {
            users.remove(user);
            if users.is_empty() {
                self.users.remove(target);
            }
        }
    }

    /// The objects that refer to `target`, sorted by name.
    pub fn users(&self, target: &T) -> impl Iterator<Item = &Name> {
        self.users.get(target).into_iter().flatten()
    }

    /// The referenced objects, unordered.
    pub fn targets(&self) -> impl Iterator<Item = &T> {
        self.users.keys()
    }
}
