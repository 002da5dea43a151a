//! Garbage collection of a legacy plugin, which keeps what was removed over its API, and prints it with every read.

use std::time::Duration;

use tokio::time::Instant;

use super::SyncSession;
use crate::dataplane::{DataplaneError, ReplyFuture};
use maglev_model::plan::Step;

/// The schedule of the collections of one session.
pub struct GarbageSchedule {
    interval: Duration,
    started: bool,
    /// Time of the next collection; `None` if there is no garbage.
    due: Option<Instant>,
    pub reply: Option<ReplyFuture<bool>>,
}

impl GarbageSchedule {
    /// A schedule whose collections are at least `interval` apart.
    pub fn new(interval: Duration) -> Self {
        Self { interval, started: false, due: None, reply: None }
    }

    /// Schedules the first collection: an earlier agent may have left garbage. Later calls have no effect.
    pub fn start(&mut self, now: Instant) {
        if !std::mem::replace(&mut self.started, true) {
            self.schedule(now);
        }
    }

    /// Schedules a collection if `step`, executed by VPP, leaves garbage.
    pub fn record_step(&mut self, step: &Step, now: Instant) {
        if matches!(step, Step::RemoveVip { .. } | Step::RemoveAs { .. }) {
            self.schedule(now);
        }
    }

    fn schedule(&mut self, now: Instant) {
        self.due.get_or_insert(now + self.interval);
    }
}

impl SyncSession {
    /// Time of the next collection; `None` while steps are in flight.
    pub fn next_collection(&self) -> Option<Instant> {
        self.garbage.due.filter(|_| self.garbage.reply.is_none() && self.jobs.is_empty())
    }

    /// Starts a collection that is due.
    pub fn collect_garbage(&mut self, now: Instant) {
        if self.next_collection().is_some_and(|due| now >= due) {
            self.garbage.due = None;
            self.garbage.reply = self.dataplane.collect_garbage();
        }
    }

    /// Processes the result of a collection. VPP collects each VIP at most once a minute, and a server 10 s after its
    /// removal, so a collection is repeated until no garbage is left.
    pub fn garbage_collected(&mut self, result: Result<bool, DataplaneError>, now: Instant) {
        self.garbage.reply = None;
        match result {
            Ok(false) => {}
            Ok(true) => self.garbage.schedule(now),
            Err(error) => {
                tracing::debug!(%error, "cannot collect the garbage of VPP's lb plugin");
                self.garbage.schedule(now);
            }
        }
    }
}
