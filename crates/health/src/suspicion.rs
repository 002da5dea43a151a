//! Decides if failing probes of one address family are caused by the probe path rather than by the backends. Pure: the
//! checker records results here and acts on the returned effects.

use std::collections::HashSet;

use maglev_model::name::Name;

/// The number of successful probes of the family so far. A backend stores this number when its failures begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SuccessCount(u64);

/// The state of one family's probe path.
#[derive(Debug, Default)]
pub struct Suspicion {
    successes: SuccessCount,
    /// The backends that failed since the family's last success.
    failed: HashSet<Name>,
    state: PathState,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum PathState {
    #[default]
    Clear,
    /// One backend is about to fall and no probe has succeeded meanwhile: probes of other backends decide if the path
    /// is at fault.
    Confirming,
    Suspect,
}

/// The consequence of a failed probe for the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureEffect {
    /// The path's state stays.
    None,
    /// Other backends have to be probed to tell a failed backend from a failed path.
    ConfirmationNeeded,
    /// The path is suspect from now on.
    PathSuspect,
}

/// The consequence of a successful probe for the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SuccessEffect {
    /// The path was clear already.
    None,
    ConfirmationEnded,
    SuspicionEnded,
}

impl Suspicion {
    pub fn is_suspect(&self) -> bool {
        self.state == PathState::Suspect
    }

    /// True unless the path is clear: a backend that falls now may fall because of the path.
    pub fn may_be_at_fault(&self) -> bool {
        self.state != PathState::Clear
    }

    pub fn successes(&self) -> SuccessCount {
        self.successes
    }

    /// Records a successful probe of any backend of the family.
    pub fn record_success(&mut self) -> SuccessEffect {
        self.successes.0 += 1;
        self.failed.clear();
        match std::mem::take(&mut self.state) {
            PathState::Clear => SuccessEffect::None,
            PathState::Confirming => SuccessEffect::ConfirmationEnded,
            PathState::Suspect => SuccessEffect::SuspicionEnded,
        }
    }

    /// Records a failed probe of `backend`. [`assess`](Self::assess) then decides about the path.
    pub fn record_failure(&mut self, backend: &Name) {
        if !self.failed.contains(backend) {
            self.failed.insert(backend.clone());
        }
    }

    /// Discards the failures of `backend`, which was removed or is probed in another way now.
    pub fn forget(&mut self, backend: &Name) {
        self.failed.remove(backend);
    }

    /// The effect of the last failure. `falling_since` is the family's success count at the first failure of a backend
    /// that is about to fall; `has_peers` is true if another backend of the family is probed.
    ///
    /// The path becomes suspect once a backend is about to fall, no probe of the family has succeeded since that
    /// backend's first failure, and at least two backends have failed. Failures are counted since the family's last
    /// success, which is not later than that first failure: a backend with `fall: 1`, or in state unknown, falls with
    /// its first failure. If the peers are probed so rarely that none of them was probed since, they are probed first
    /// to confirm.
    pub fn assess(&mut self, falling_since: Option<SuccessCount>, has_peers: bool) -> FailureEffect {
        let falls_without_success = falling_since == Some(self.successes);
        match self.state {
            PathState::Clear | PathState::Confirming
                if self.failed.len() >= 2 && (falls_without_success || self.may_be_at_fault()) =>
            {
                self.state = PathState::Suspect;
                FailureEffect::PathSuspect
            }
            PathState::Clear if falls_without_success && has_peers => {
                self.state = PathState::Confirming;
                FailureEffect::ConfirmationNeeded
            }
            _ => FailureEffect::None,
        }
    }

    /// Makes the path clear. Returns true if the path was suspect.
    pub fn clear(&mut self) -> bool {
        std::mem::take(&mut self.state) == PathState::Suspect
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> Name {
        Name::namespaced("shop", name)
    }

    #[test]
    fn two_failed_backends_and_no_success_make_the_path_suspect() {
        let mut path = Suspicion::default();
        let since = Some(path.successes());
        path.record_failure(&name("a"));
        path.record_failure(&name("b"));
        assert_eq!(path.assess(None, true), FailureEffect::None, "no backend is about to fall");
        assert_eq!(path.assess(since, true), FailureEffect::PathSuspect);
        assert_eq!(path.assess(since, true), FailureEffect::None, "the suspicion begins once");
        assert!(path.is_suspect() && path.may_be_at_fault());
        assert_eq!(path.record_success(), SuccessEffect::SuspicionEnded);
        assert_eq!(path.record_success(), SuccessEffect::None, "the suspicion ends once");
    }

    #[test]
    fn a_backend_that_falls_alone_needs_confirmation_by_its_peers() {
        let mut path = Suspicion::default();
        path.record_failure(&name("a"));
        path.record_failure(&name("a"));
        assert_eq!(path.assess(Some(path.successes()), true), FailureEffect::ConfirmationNeeded);
        assert!(path.may_be_at_fault() && !path.is_suspect());
        assert_eq!(path.assess(Some(path.successes()), true), FailureEffect::None, "confirmation is requested once");
        path.record_failure(&name("b"));
        assert_eq!(path.assess(None, true), FailureEffect::PathSuspect, "a second failed backend is enough");

        assert_eq!(path.record_success(), SuccessEffect::SuspicionEnded);
        path.record_failure(&name("a"));
        assert_eq!(path.assess(Some(path.successes()), true), FailureEffect::ConfirmationNeeded);
        assert_eq!(path.record_success(), SuccessEffect::ConfirmationEnded);
        assert!(!path.may_be_at_fault());
    }

    #[test]
    fn a_backend_without_peers_falls_without_confirmation() {
        let mut path = Suspicion::default();
        path.record_failure(&name("a"));
        assert_eq!(path.assess(Some(path.successes()), false), FailureEffect::None);
        assert!(!path.may_be_at_fault());
    }

    #[test]
    fn a_success_since_the_first_failure_clears_the_path() {
        let mut path = Suspicion::default();
        let since = Some(path.successes());
        path.record_failure(&name("a"));
        path.record_success();
        path.record_failure(&name("a"));
        path.record_failure(&name("b"));
        assert_eq!(path.assess(since, true), FailureEffect::None);
    }

    #[test]
    fn a_removed_backend_does_not_count() {
        let mut path = Suspicion::default();
        path.record_failure(&name("a"));
        path.record_failure(&name("b"));
        path.forget(&name("a"));
        assert_ne!(path.assess(Some(path.successes()), true), FailureEffect::PathSuspect);
    }
}
