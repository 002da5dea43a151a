//! How far the agent is, and its sign of life.

use super::warmup::Gate;
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// How far the agent is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AgentStatus {
    /// Everything has been listed once.
    pub listed: bool,
    /// No other agent drives this VPP.
    pub locked: bool,
    /// VPP is connected and was read.
    pub vpp_connected: bool,
    /// What may be written.
    pub gate: Gate,
    /// A pass has ended, in this session, in which not every step failed.
    pub synced: bool,
}

impl AgentStatus {
    /// Whether the node does its job.
    ///
    /// # Errors
    /// The first thing that is missing, in words.
    pub fn ready(&self) -> Result<(), String> {
        let missing = [
            (self.listed, "waiting for the first complete list of every kind from the API server"),
            (self.locked, "waiting for another agent to release this VPP"),
            (self.vpp_connected, "waiting for VPP"),
            (self.gate == Gate::Open, "warming up"),
            (self.synced, "waiting for the first sync in which not every step fails"),
        ];
        match missing.into_iter().find(|(holds, _)| !holds) {
            Some((_, what)) => Err(what.to_owned()),
            None => Ok(()),
        }
    }
}

/// When the agent's loop last came back to its `select`.
#[derive(Debug, Default)]
pub struct Watchdog(AtomicU64);

impl Watchdog {
    pub(crate) fn feed(&self) {
        self.0.store(seconds(), Ordering::Relaxed);
    }

    /// Whether the loop came back within the last 60 s. Waiting for VPP, the API server or the lock
    /// is no stall.
    ///
    /// # Errors
    /// How long ago it was.
    pub fn check(&self) -> Result<(), String> {
        let last = self.0.load(Ordering::Relaxed);
        let ago = Duration::from_secs(seconds().saturating_sub(last));
        if last == 0 || ago <= Duration::from_secs(60) {
            Ok(())
        } else {
            Err(format!("the agent's loop has not come back for {} s", ago.as_secs()))
        }
    }
}

/// Monotonic seconds since the first question, starting at 1.
fn seconds() -> u64 {
    use std::{sync::LazyLock, time::Instant};
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed().as_secs() + 1
}
