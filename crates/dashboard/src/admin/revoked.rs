//! Sessions that were signed out of before their time, as far as this replica was told.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// Each until it would be over by itself. Only who is signed in can add one, so it needs no other bound.
#[derive(Debug, Default)]
pub struct Revoked(Mutex<HashMap<String, i64>>);

impl Revoked {
    /// This one is over. `ends` is when it would be anyway.
    pub fn add(&self, id: String, ends: i64, now: i64) {
        let mut revoked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        revoked.retain(|_, ends| *ends > now);
        revoked.insert(id, ends);
    }

    pub fn has(&self, id: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_remembered_until_it_would_be_over() {
        let revoked = Revoked::default();
        revoked.add("a".into(), 100, 0);
        revoked.add("b".into(), 200, 99);
        assert!(revoked.has("a") && revoked.has("b") && !revoked.has("c"));
        revoked.add("c".into(), 300, 100);
        assert!(!revoked.has("a"));
    }
}
