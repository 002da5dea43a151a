//! One backend's probe loop: what it is about, how far its counter is, and what is next.

use std::sync::Arc;

use tokio::time::Instant;

use crate::{metrics::Tally, publisher::Finding, suspicion::Successes};
use maglev_model::{
    config::{AdminState, Backend, Check, HealthCheck},
    health::{BackendState, ProbeCode, machine::Machine},
    vip::Family,
};

use super::flight::Flight;

/// What is known about one backend, and its next or current probe.
pub struct BackendLoop {
    pub(crate) backend: Arc<Backend>,
    pub(crate) machine: Machine,
    /// Whether the address has been in a known state since the agent started.
    known: bool,
    in_doubt: bool,
    /// Where the family's successes stood when the current run of misses began.
    pub(crate) first_miss: Option<Successes>,
    /// When the next probe starts; `None` while one is under way or none is to be sent.
    pub(crate) due: Option<Instant>,
    pub(crate) flight: Option<Flight>,
    /// Where its probes are counted; `None` while it is not probed.
    pub(crate) tally: Option<Tally>,
}

/// What there is to do for a backend.
#[derive(Clone, Copy, Debug)]
enum Duty<'a> {
    Probe(&'a Arc<HealthCheck>),
    /// No HealthCheck is named: always up.
    AlwaysUp,
    /// Paused or disabled: not probed.
    Resting(BackendState),
    /// It should be probed but cannot be: its HealthCheck is missing, or of a type we lack.
    Unchecked,
}

impl<'a> Duty<'a> {
    fn of(backend: &'a Backend) -> Self {
        match (backend.admin_state, &backend.check) {
            (AdminState::Paused, _) => Self::Resting(BackendState::Paused),
            (AdminState::Disabled, _) => Self::Resting(BackendState::Disabled),
            (AdminState::Enabled, Check::None) => Self::AlwaysUp,
            (AdminState::Enabled, Check::Probe(check)) => Self::Probe(check),
            (AdminState::Enabled, Check::Missing(_) | Check::NotSupported(_)) => Self::Unchecked,
        }
    }

    fn same(self, other: Self) -> bool {
        match (self, other) {
            (Self::Probe(old), Self::Probe(new)) => Arc::ptr_eq(old, new) || old.same_probe(new),
            (Self::AlwaysUp, Self::AlwaysUp) | (Self::Unchecked, Self::Unchecked) => true,
            (Self::Resting(old), Self::Resting(new)) => old == new,
            _ => false,
        }
    }
}

impl BackendLoop {
    /// A loop that has not begun: the state is unknown.
    pub fn new(backend: Arc<Backend>) -> Self {
        let mut new = Self {
            backend,
            machine: Machine::new(1, 1),
            known: false,
            in_doubt: false,
            first_miss: None,
            due: None,
            flight: None,
            tally: None,
        };
        new.begin();
        new
    }

    /// The HealthCheck to probe by; `None` where no probe is to be sent.
    pub fn check(&self) -> Option<&Arc<HealthCheck>> {
        match Duty::of(&self.backend) {
            Duty::Probe(check) => Some(check),
            _ => None,
        }
    }

    /// The family of the address.
    pub fn family(&self) -> Family {
        Family::of(self.backend.address)
    }

    /// Goes on with what `backend` says now. False where that changes nothing about the probing: the
    /// loop stays as it is. Otherwise the probe under way, if any, is dropped and the next one is not
    /// yet due.
    pub fn adopt(&mut self, backend: Arc<Backend>) -> bool {
        let old = std::mem::replace(&mut self.backend, backend);
        let moved = old.address != self.backend.address;
        if !moved && Duty::of(&old).same(Duty::of(&self.backend)) {
            return false;
        }
        if moved {
            self.machine.reset();
            self.known = false;
        }
        self.begin();
        true
    }

    /// Starts over with the state kept as far as the duty allows.
    fn begin(&mut self) {
        self.flight = None;
        self.first_miss = None;
        match Duty::of(&self.backend) {
            Duty::Probe(check) => self.machine = self.machine.with_thresholds(check.rise, check.fall),
            Duty::AlwaysUp => self.machine.bring_up(),
            Duty::Resting(_) => self.machine.reset(),
            // The counter is kept, so that the state is back with the HealthCheck.
            Duty::Unchecked => {}
        }
        self.remember();
    }

    /// What is known now; `code` is that of the probe that told it.
    pub fn finding(&mut self, code: Option<ProbeCode>) -> Finding {
        self.remember();
        // Without a check the weight is kept. Told as never known, it also stays kept for a reader
        // that sees the HealthCheck come back before the state does.
        let unchecked = matches!(Duty::of(&self.backend), Duty::Unchecked);
        let ever_known = self.known && !unchecked;
        let state = self.state();
        let in_doubt = self.in_doubt && state == BackendState::Down;
        Finding { address: self.backend.address, state, ever_known, in_doubt, code }
    }

    /// Counts an answer; `suspect` tells whether the path may be at fault, now or when the probe began.
    pub fn observe(&mut self, success: bool, suspect: bool) {
        let was_down = self.machine.state() == BackendState::Down;
        self.machine.observe(success);
        let down = self.machine.state() == BackendState::Down;
        self.in_doubt = match (was_down, suspect) {
            (false, true) => down,
            (true, true) => self.in_doubt,
            (_, false) => self.in_doubt && success,
        } && down;
    }

    /// Whether it fell, and that may be because of the path.
    pub fn is_in_doubt(&self) -> bool {
        self.in_doubt
    }

    /// Nobody wants doubts any more: down is down.
    pub fn believe(&mut self) {
        self.in_doubt = false;
    }

    fn state(&self) -> BackendState {
        match Duty::of(&self.backend) {
            Duty::Probe(_) | Duty::AlwaysUp => self.machine.state(),
            Duty::Resting(state) => state,
            Duty::Unchecked => BackendState::Unknown,
        }
    }

    fn remember(&mut self) {
        self.known |= self.state() != BackendState::Unknown;
    }
}
