//! The probe loop of one backend: its state, its current and its next probe.

use std::sync::Arc;

use tokio::time::Instant;

use crate::{
    KeptConnection, metrics::BackendProbeMetrics, probe_path::ProbeEffect, publisher::HealthUpdate,
    suspicion::SuccessCount,
};
use maglev_model::{
    config::{Backend, HealthCheck},
    health::{BackendState, ProbeCode, machine::Machine},
    probe_mode::ProbeMode,
    vip::Family,
};

use super::probe_queue::InFlightProbe;

pub struct BackendLoop {
    pub(crate) backend: Arc<Backend>,
    pub(crate) machine: Machine,
    /// True once the address has been in a known state since the agent's start.
    ever_known: bool,
    in_doubt: bool,
    /// The family's success count at the first of the current consecutive failures.
    pub(crate) failing_since: Option<SuccessCount>,
    /// The start of the next probe; `None` while a probe is in flight or none is to be sent.
    pub(crate) due: Option<Instant>,
    pub(crate) in_flight: Option<InFlightProbe>,
    /// The connection of the last probe, for the next one.
    pub(crate) connection: Option<KeptConnection>,
    /// `None` while the backend is not probed.
    pub(crate) metrics: Option<BackendProbeMetrics>,
}

impl BackendLoop {
    /// A loop in state unknown, without a scheduled probe.
    pub fn new(backend: Arc<Backend>) -> Self {
        let mut new = Self {
            backend,
            machine: Machine::new(1, 1),
            ever_known: false,
            in_doubt: false,
            failing_since: None,
            due: None,
            in_flight: None,
            connection: None,
            metrics: None,
        };
        new.restart();
        new
    }

    /// The HealthCheck to probe by; `None` if no probe is to be sent.
    pub fn check(&self) -> Option<&Arc<HealthCheck>> {
        match self.backend.probe_mode() {
            ProbeMode::Probed(check) => Some(check),
            _ => None,
        }
    }

    pub fn family(&self) -> Family {
        Family::from_address(self.backend.address)
    }

    /// Replaces the backend. Returns false if the probing does not change: the loop then goes on. Otherwise the probe in
    /// flight is aborted, and the caller schedules the next one.
    pub fn replace_backend(&mut self, backend: Arc<Backend>) -> bool {
        let old = std::mem::replace(&mut self.backend, backend);
        let moved = old.address != self.backend.address;
        if !moved && old.probe_mode().is_same(self.backend.probe_mode()) {
            return false;
        }
        if moved {
            self.machine.reset();
            self.ever_known = false;
        }
        self.restart();
        true
    }

    /// Aborts the probe in flight, ends the kept connection and sets the state that the probe mode requires.
    pub fn restart(&mut self) {
        self.in_flight = None;
        self.connection = None;
        self.failing_since = None;
        match self.backend.probe_mode() {
            ProbeMode::Probed(check) => self.machine = self.machine.with_thresholds(check.rise, check.fall),
            ProbeMode::AlwaysUp => self.machine.bring_up(),
            ProbeMode::Suspended(_) => self.machine.reset(),
            // The counter is kept, so that the state returns together with the HealthCheck.
            ProbeMode::CheckMissing | ProbeMode::CheckNotSupported => {}
        }
        self.update_ever_known();
    }

    /// The current health; `code` is the code of the probe that caused the update.
    pub fn health_update(&mut self, code: Option<ProbeCode>) -> HealthUpdate {
        self.update_ever_known();
        // Without a HealthCheck the backend's weight is kept. Configuration and snapshots arrive independently: an agent
        // may receive the HealthCheck before the new state. Published as never known, the weight is kept until then.
        let ever_known = self.ever_known && !self.backend.probe_mode().is_unchecked();
        let state = self.state();
        let in_doubt = self.in_doubt && state == BackendState::Down;
        HealthUpdate { address: self.backend.address, state, ever_known, in_doubt, code }
    }

    /// Counts a result, with its effect on the path.
    pub fn observe(&mut self, success: bool, effect: ProbeEffect) {
        let was_down = self.machine.state() == BackendState::Down;
        self.machine.observe(success);
        let is_down = self.machine.state() == BackendState::Down;
        self.in_doubt = effect.in_doubt(success, self.in_doubt, was_down, is_down);
    }

    /// True if the backend fell, possibly because of the path.
    pub fn is_in_doubt(&self) -> bool {
        self.in_doubt
    }

    /// Accepts the state down as the backend's own.
    pub fn clear_doubt(&mut self) {
        self.in_doubt = false;
    }

    fn state(&self) -> BackendState {
        self.backend.probe_mode().state(Some(self.machine.state()))
    }

    fn update_ever_known(&mut self) {
        self.ever_known |= self.state() != BackendState::Unknown;
    }
}
