//! The agent's status and watchdog.

use super::warmup::Gate;
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Conditions of the agent's readiness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AgentStatus {
    /// The first complete list of every kind has arrived.
    pub listed: bool,
    /// The agent holds the lock of this VPP.
    pub locked: bool,
    /// VPP is connected and the first dump has arrived.
    pub vpp_connected: bool,
    /// The writes that the warm-up allows.
    pub gate: Gate,
    /// In this session, a pass has ended in which at least one step succeeded.
    pub synced: bool,
}

impl AgentStatus {
    /// `Ok` if the node is fully operational.
    ///
    /// # Errors
    /// The first unmet condition, as a human-readable message.
    pub fn ready(&self) -> Result<(), String> {
        let conditions = [
            (self.listed, "waiting for the first complete list of every kind from the API server"),
            (self.locked, "waiting for another agent to release this VPP"),
            (self.vpp_connected, "waiting for VPP"),
            (self.gate == Gate::Open, "warming up"),
            (self.synced, "waiting for the first sync in which not every step fails"),
        ];
        match conditions.into_iter().find(|(holds, _)| !holds) {
            Some((_, message)) => Err(message.to_owned()),
            None => Ok(()),
        }
    }
}

/// Detects a stalled agent: records the time of the last iteration of its loop.
#[derive(Debug, Default)]
pub struct Watchdog(AtomicU64);

impl Watchdog {
    pub(crate) fn feed(&self) {
        self.0.store(seconds(), Ordering::Relaxed);
    }

    /// `Ok` if the last iteration was at most 60 s ago. Waiting for VPP, the API server or the lock does not stall the
    /// loop.
    ///
    /// # Errors
    /// The time since the last iteration, as a human-readable message.
    pub fn check(&self) -> Result<(), String> {
        let last = self.0.load(Ordering::Relaxed);
        let ago = Duration::from_secs(seconds().saturating_sub(last));
        if last == 0 || ago <= Duration::from_secs(60) {
            Ok(())
        } else {
            Err(format!("the agent's loop has stalled for {} s", ago.as_secs()))
        }
    }
}

/// Monotonic seconds since the first call, starting at 1: in the watchdog, 0 stands for a loop that has not started.
fn seconds() -> u64 {
    use std::{sync::LazyLock, time::Instant};
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed().as_secs() + 1
}
