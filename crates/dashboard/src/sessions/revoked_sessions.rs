//! Sessions that ended by sign-out on this replica.

use std::collections::HashMap;

use parking_lot::Mutex;

/// Ids of the sessions, until they would have ended anyway. Only signed-in users can add one, so no other bound is
/// necessary.
#[derive(Debug, Default)]
pub struct RevokedSessions(Mutex<HashMap<String, i64>>);

impl RevokedSessions {
    /// Adds a session that would have ended at `ends`.
    pub fn add(&self, id: String, ends: i64, now: i64) {
        let mut revoked = self.0.lock();
        revoked.retain(|_, ends| *ends > now);
        revoked.insert(id, ends);
    }

    pub fn contains(&self, id: &str) -> bool {
        self.0.lock().contains_key(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revoked_session_is_remembered_until_its_end() {
        let revoked = RevokedSessions::default();
        revoked.add("a".into(), 100, 0);
        revoked.add("b".into(), 200, 99);
        assert!(revoked.contains("a") && revoked.contains("b") && !revoked.contains("c"));
        revoked.add("c".into(), 300, 100);
        assert!(!revoked.contains("a"));
    }
}
