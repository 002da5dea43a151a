//! The common path of the probes of one address family: every result is counted here, too, so that a fault of the path
//! brings no target down. A target is a backend, or a path that the packets of a VIP take.

use std::time::Duration;

use tokio::time::Instant;

use super::suspicion::{FailureEffect, SuccessCount, SuccessEffect, Suspicion};
use maglev_model::name::Name;

/// Once a path is suspect, all targets of its family are probed within this time.
pub const SUSPECT_SPREAD: Duration = Duration::from_secs(1);

/// Targets of a family that are probed at once when one of them falls alone.
pub const CONFIRMATION_PROBES: usize = 3;

/// The path of one address family's probes.
#[derive(Debug, Default)]
pub struct ProbePath {
    suspicion: Suspicion,
    /// The last time at which the path was suspect or in question: failures of probes that started before do not prove
    /// that a target is down.
    suspect_until: Option<Instant>,
}

/// A finished probe.
pub struct CountedProbe<'p> {
    /// The Backend that was probed.
    pub backend: &'p Name,
    pub success: bool,
    pub started: Instant,
    /// True if the target falls with a failure.
    pub is_about_to_fall: bool,
    /// True if another backend of the family is probed.
    pub has_peers: bool,
    /// True if the path may be suspected.
    pub fail_open: bool,
}

/// The consequences of a finished probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeEffect {
    pub failure: FailureEffect,
    pub success: SuccessEffect,
    /// True if the path may be at fault, now or when the probe started.
    pub in_question: bool,
}

/// The end of a suspicion by a new configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Review {
    /// True if the path was suspect.
    pub suspicion_ended: bool,
    /// True if the state down of targets in doubt is their own from now on.
    pub doubts_end: bool,
}

impl ProbePath {
    /// Counts a probe. `failing_since` belongs to the target: the family's success count at the first of its current
    /// consecutive failures.
    pub fn count(
        &mut self,
        probe: &CountedProbe<'_>,
        failing_since: &mut Option<SuccessCount>,
        now: Instant,
    ) -> ProbeEffect {
        let (mut failure, mut success) = (FailureEffect::None, SuccessEffect::None);
        if probe.success {
            *failing_since = None;
            success = self.suspicion.record_success();
        } else {
            self.suspicion.record_failure(probe.backend);
            let since = *failing_since.get_or_insert(self.suspicion.successes());
            if probe.fail_open {
                failure = self.suspicion.assess(probe.is_about_to_fall.then_some(since), probe.has_peers);
            }
        }
        if success != SuccessEffect::None {
            self.suspect_until = Some(now);
        }
        let started_before = self.suspect_until.is_some_and(|until| probe.started < until);
        ProbeEffect { failure, success, in_question: self.suspicion.may_be_at_fault() || started_before }
    }

    /// Discards the failures of `backend`, which was removed or is probed in another way now.
    pub fn forget(&mut self, backend: &Name) {
        self.suspicion.forget(backend);
    }

    /// True unless the path is clear.
    pub fn may_be_at_fault(&self) -> bool {
        self.suspicion.may_be_at_fault()
    }

    /// Ends a suspicion that is disabled now, or that no probe is left to end. `is_probed` is true if targets are probed,
    /// `has_certain` returns true if one of them is not in doubt.
    pub fn review(&mut self, fail_open: bool, is_probed: bool, has_certain: impl FnOnce() -> bool) -> Review {
        if !self.suspicion.may_be_at_fault() {
            return Review::default();
        }
        // No target is left for a confirmation probe.
        let unconfirmable = !self.suspicion.is_suspect() && !has_certain();
        if fail_open && is_probed && !unconfirmable {
            return Review::default();
        }
        Review { suspicion_ended: self.suspicion.clear(), doubts_end: !fail_open || unconfirmable }
    }
}

impl ProbeEffect {
    /// True if a target is in doubt after the probe. `before`: it was in doubt; `was_down` and `is_down`: its state before
    /// and after.
    pub fn in_doubt(self, success: bool, before: bool, was_down: bool, is_down: bool) -> bool {
        is_down
            && match (was_down, self.in_question) {
                (false, true) => true,
                (true, true) => before,
                (_, false) => before && success,
            }
    }
}
