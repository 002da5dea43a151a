//! The way in which the state of a backend is determined, and the state that follows.
//!
//! The only rule about `adminState` and the health check: the health checker, the effective weights, the agent's view
//! and the controller's status all use it.

use std::sync::Arc;

use super::{
    config::{AdminState, Backend, Check, HealthCheck},
    health::BackendState,
};

/// The way in which the state of a backend is determined.
#[derive(Clone, Copy, Debug)]
pub enum ProbeMode<'a> {
    /// Suspended by the operator: `Paused` or `Disabled`. Not probed.
    Suspended(BackendState),
    /// Without a HealthCheck: always up. Not probed.
    AlwaysUp,
    /// Up or down according to the probes.
    Probed(&'a Arc<HealthCheck>),
    /// Not probed, because the HealthCheck is missing or unreadable.
    CheckMissing,
    /// Not probed, because the agent does not support the type of the probe.
    CheckNotSupported,
}

impl ProbeMode<'_> {
    /// True if a change from one mode to the other changes neither the probes nor the state.
    pub fn is_same(self, other: Self) -> bool {
        match (self, other) {
            (Self::Probed(old), Self::Probed(new)) => Arc::ptr_eq(old, new) || old.same_probe(new),
            (Self::Suspended(old), Self::Suspended(new)) => old == new,
            (Self::AlwaysUp, Self::AlwaysUp) => true,
            _ => self.is_unchecked() && other.is_unchecked(),
        }
    }

    /// True if the backend is not probed although it should be. Its weight is kept.
    pub fn is_unchecked(self) -> bool {
        matches!(self, Self::CheckMissing | Self::CheckNotSupported)
    }

    /// The state of the backend. `probed` is the state according to the probes of the backend's current address; `None`
    /// if there is none.
    pub fn state(self, probed: Option<BackendState>) -> BackendState {
        match (self, probed) {
            (Self::Suspended(state), _) => state,
            (Self::AlwaysUp, _) => BackendState::Up,
            (Self::Probed(_), Some(state @ (BackendState::Up | BackendState::Down))) => state,
            // Paused or Disabled means here that the health checker has not processed the Backend yet.
            (Self::Probed(_) | Self::CheckMissing | Self::CheckNotSupported, _) => BackendState::Unknown,
        }
    }
}

impl Backend {
    /// The way in which the state of the backend is determined.
    pub fn probe_mode(&self) -> ProbeMode<'_> {
        match (self.admin_state, &self.check) {
            (AdminState::Paused, _) => ProbeMode::Suspended(BackendState::Paused),
            (AdminState::Disabled, _) => ProbeMode::Suspended(BackendState::Disabled),
            (AdminState::Enabled, Check::None) => ProbeMode::AlwaysUp,
            (AdminState::Enabled, Check::Probe(check)) => ProbeMode::Probed(check),
            (AdminState::Enabled, Check::Missing(_)) => ProbeMode::CheckMissing,
            (AdminState::Enabled, Check::NotSupported(_)) => ProbeMode::CheckNotSupported,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admin_state_takes_precedence_over_probes() {
        let probed = [None, Some(BackendState::Up), Some(BackendState::Down), Some(BackendState::Paused)];
        for state in probed {
            let paused = ProbeMode::Suspended(BackendState::Paused);
            assert_eq!(paused.state(state), BackendState::Paused);
            assert_eq!(ProbeMode::AlwaysUp.state(state), BackendState::Up);
            assert_eq!(ProbeMode::CheckMissing.state(state), BackendState::Unknown);
        }
    }
}
