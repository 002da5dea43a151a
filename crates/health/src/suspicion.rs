//! When failing probes say more about the path they take than about the backends: the rule of one
//! family. Pure; the checker feeds it results and acts on what it says.

use std::collections::HashSet;

use maglev_model::name::Name;

/// A count of the family's successes, by which a backend remembers when its misses began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Successes(u64);

/// What is known about one family's probe path.
#[derive(Debug, Default)]
pub struct Suspicion {
    successes: Successes,
    /// The backends that missed since the family's last success.
    missed: HashSet<Name>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// Nothing speaks against the path.
    #[default]
    Clear,
    /// One backend fell alone while nothing succeeded: others are asked whether it is the path.
    Asking,
    /// The path is suspect.
    Suspect,
}

/// What it means that a backend missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It missed, and that is all.
    Missed,
    /// Others have to be probed before it is known whether it is the backend or the path.
    Asks,
    /// The path is suspect from now on.
    Begins,
}

/// What a success ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cleared {
    /// Nothing: the path was clear.
    Nothing,
    /// The question whether it is the path.
    Question,
    Suspicion,
}

impl Suspicion {
    /// Whether the path is suspect.
    pub fn is_active(&self) -> bool {
        self.stage == Stage::Suspect
    }

    /// Whether what falls now may fall because of the path.
    pub fn is_doubtful(&self) -> bool {
        self.stage != Stage::Clear
    }

    /// The count, for a backend whose misses begin.
    pub fn successes(&self) -> Successes {
        self.successes
    }

    /// A probe of the family succeeded.
    pub fn succeed(&mut self) -> Cleared {
        self.successes.0 += 1;
        self.missed.clear();
        match std::mem::take(&mut self.stage) {
            Stage::Clear => Cleared::Nothing,
            Stage::Asking => Cleared::Question,
            Stage::Suspect => Cleared::Suspicion,
        }
    }

    /// `name` missed, whatever that means.
    pub fn miss(&mut self, name: &Name) {
        if !self.missed.contains(name) {
            self.missed.insert(name.clone());
        }
    }

    /// What `name` missed no longer counts: it is gone, or is probed otherwise.
    pub fn forget(&mut self, name: &Name) {
        self.missed.remove(name);
    }

    /// What the last miss means. `falling` is where the successes stood at the first miss of a backend
    /// that is about to fall; `others` tells whether another backend of the family is probed.
    ///
    /// The suspicion begins with a backend about to fall since whose first miss no probe of the family
    /// has succeeded and at least two backends have missed. Misses are counted since the family's last
    /// success, which is at or before that: a backend with `fall: 1`, or one still unknown, falls with
    /// its first miss. Where the others are probed so rarely that none was since, they are asked first.
    pub fn judge(&mut self, falling: Option<Successes>, others: bool) -> Verdict {
        let falls_unseen = falling == Some(self.successes);
        match self.stage {
            Stage::Clear | Stage::Asking if self.missed.len() >= 2 && (falls_unseen || self.is_doubtful()) => {
                self.stage = Stage::Suspect;
                Verdict::Begins
            }
            Stage::Clear if falls_unseen && others => {
                self.stage = Stage::Asking;
                Verdict::Asks
            }
            _ => Verdict::Missed,
        }
    }

    /// Ends doubts and suspicion, if there are any. True if the path was suspect.
    pub fn end(&mut self) -> bool {
        std::mem::take(&mut self.stage) == Stage::Suspect
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
        let since = Some(path.successes());
        path.miss(&name("a"));
        path.miss(&name("b"));
        assert_eq!(path.judge(None, true), Verdict::Missed, "nobody is about to fall");
        assert_eq!(path.judge(since, true), Verdict::Begins);
        assert_eq!(path.judge(since, true), Verdict::Missed, "it begins once");
        assert!(path.is_active() && path.is_doubtful());
        assert_eq!(path.succeed(), Cleared::Suspicion);
        assert_eq!(path.succeed(), Cleared::Nothing, "it ends once");
    }

    #[test]
    fn one_that_falls_alone_has_others_asked_and_they_decide() {
        let mut path = Suspicion::default();
        path.miss(&name("a"));
        path.miss(&name("a"));
        assert_eq!(path.judge(Some(path.successes()), true), Verdict::Asks);
        assert!(path.is_doubtful() && !path.is_active());
        assert_eq!(path.judge(Some(path.successes()), true), Verdict::Missed, "they are asked once");
        path.miss(&name("b"));
        assert_eq!(path.judge(None, true), Verdict::Begins, "one more is enough");

        assert_eq!(path.succeed(), Cleared::Suspicion);
        path.miss(&name("a"));
        assert_eq!(path.judge(Some(path.successes()), true), Verdict::Asks);
        assert_eq!(path.succeed(), Cleared::Question);
        assert!(!path.is_doubtful());
    }

    #[test]
    fn one_that_has_nobody_beside_it_falls() {
        let mut path = Suspicion::default();
        path.miss(&name("a"));
        assert_eq!(path.judge(Some(path.successes()), false), Verdict::Missed);
        assert!(!path.is_doubtful());
    }

    #[test]
    fn a_success_since_the_first_miss_clears_the_path() {
        let mut path = Suspicion::default();
        let since = Some(path.successes());
        path.miss(&name("a"));
        path.succeed();
        path.miss(&name("a"));
        path.miss(&name("b"));
        assert_eq!(path.judge(since, true), Verdict::Missed);
    }

    #[test]
    fn a_backend_that_is_gone_no_longer_counts() {
        let mut path = Suspicion::default();
        path.miss(&name("a"));
        path.miss(&name("b"));
        path.forget(&name("a"));
        assert_ne!(path.judge(Some(path.successes()), true), Verdict::Begins);
    }
}
