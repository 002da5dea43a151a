//! When failing probes say more about the path they take than about the backends: the rule of one
//! family. Pure; the checker feeds it results and acts on what it says.

use std::collections::HashSet;

use crate::model::name::Name;

/// A count of the family's successes, by which a backend remembers when its misses began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Successes(u64);

/// What is known about one family's probe path.
#[derive(Debug)]
pub(super) struct Suspicion {
    successes: Successes,
    /// The backends that missed since the family's last success.
    missed: HashSet<Name>,
    active: bool,
}

impl Default for Suspicion {
    fn default() -> Self {
        Self { successes: Successes(0), missed: HashSet::new(), active: false }
    }
}

impl Suspicion {
    /// Whether the path is suspect.
    pub(super) fn is_active(&self) -> bool {
        self.active
    }

    /// The count, for a backend whose misses begin.
    pub(super) fn successes(&self) -> Successes {
        self.successes
    }

    /// A probe of the family succeeded. True if that ends the suspicion.
    pub(super) fn succeed(&mut self) -> bool {
        self.successes.0 += 1;
        self.missed.clear();
        self.end()
    }

    /// `name` missed.
    pub(super) fn miss(&mut self, name: &Name) {
        if !self.missed.contains(name) {
            self.missed.insert(name.clone());
        }
    }

    /// What `name` missed no longer counts: it is gone, or is probed otherwise.
    pub(super) fn forget(&mut self, name: &Name) {
        self.missed.remove(name);
    }

    /// A backend is about to fall whose misses began at `since`. True if that begins the suspicion:
    /// since then no probe of the family has succeeded, and at least two backends have missed.
    ///
    /// Misses are counted since the family's last success, which is at or before `since`: a backend
    /// with `fall: 1`, or one still unknown, falls with its first miss.
    pub(super) fn begin(&mut self, since: Successes) -> bool {
        let begins = !self.active && since == self.successes && self.missed.len() >= 2;
        self.active |= begins;
        begins
    }

    /// Ends the suspicion, if there is one. True if there was.
    pub(super) fn end(&mut self) -> bool {
        std::mem::take(&mut self.active)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> Name {
        Name::namespaced("shop", name)
    }

    #[test]
    fn two_that_missed_and_none_that_succeeded_make_the_path_suspect() {
        let mut path = Suspicion::default();
        let since = path.successes();
        path.miss(&name("a"));
        path.miss(&name("a"));
        assert!(!path.begin(since), "one backend alone may fall");
        path.miss(&name("b"));
        assert!(path.begin(since));
        assert!(!path.begin(since), "it begins once");
        assert!(path.succeed());
        assert!(!path.succeed(), "it ends once");
    }

    #[test]
    fn a_success_since_the_first_miss_clears_the_path() {
        let mut path = Suspicion::default();
        let since = path.successes();
        path.miss(&name("a"));
        path.succeed();
        path.miss(&name("a"));
        path.miss(&name("b"));
        assert!(!path.begin(since));
    }

    #[test]
    fn a_backend_that_is_gone_no_longer_counts() {
        let mut path = Suspicion::default();
        path.miss(&name("a"));
        path.miss(&name("b"));
        path.forget(&name("a"));
        assert!(!path.begin(path.successes()));
    }
}
