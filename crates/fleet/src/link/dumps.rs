//! Reads VPP's state, including buckets, after each change, until the reading is newer than the change.

use std::{convert::Infallible, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::poller::Poller;
use crate::{mirror::Mirror, update::FleetUpdate};

/// Readings for one change at the shortest interval. Mostly the agent reads VPP half a second after its own change. A busy agent
/// does so later, and the interval doubles.
const FREQUENT_READINGS: u32 = 10;
/// The longest interval.
const LONGEST_INTERVAL: Duration = Duration::from_secs(30);

impl<M: Mirror> Poller<M> {
    /// Reads at the start and after each change. Both times are by the agent's clock.
    pub async fn poll_dumps(&self, mut changed_rx: watch::Receiver<Option<Timestamp>>) -> Infallible {
        self.read_dump().await;
        // The agent may have changed VPP just before the session began, and read it again just after.
        sleep(self.options.timings.dumps).await;
        self.read_dump().await;
        while changed_rx.changed().await.is_ok() {
            let mut readings = 0;
            loop {
                sleep(self.options.timings.dumps).await;
                let changed = *changed_rx.borrow_and_update();
                match self.read_dump().await {
                    Reading::NoVpp => break,
                    Reading::Dump(at) if changed.is_none_or(|changed| at >= changed) => break,
                    Reading::Dump(_) => readings += 1,
                    // A busy agent, or one that refuses.
                    Reading::Failed => readings = readings.max(FREQUENT_READINGS) + 1,
                }
                let is_rare = readings >= FREQUENT_READINGS;
                if is_rare && timeout(self.rest(readings), changed_rx.changed()).await.is_ok() {
                    readings = 0;
                }
            }
        }
        // The sender lives as long as the session.
        std::future::pending().await
    }

    /// The time without a change after which to read again, beside the shortest interval.
    fn rest(&self, readings: u32) -> Duration {
        let doubled = readings.saturating_sub(FREQUENT_READINGS).min(16);
        (self.options.timings.dumps * (1 << doubled)).min(LONGEST_INTERVAL)
    }

    /// Reads VPP's state. A failed reading leaves the one before.
    async fn read_dump(&self) -> Reading {
        let reply = timeout(self.options.timings.state, self.client.lb_state()).await;
        let dump = match reply {
            Ok(Ok(dump)) => Some(Arc::new(dump)),
            Ok(Err(error)) if error.reason() == "Unavailable" => None,
            Ok(Err(_)) | Err(_) => return Reading::Failed,
        };
        let at = dump.as_ref().map(|dump| dump.at);
        let is_new = {
            let stored = &mut self.cell.state().dump;
            // An equal one keeps its memory.
            let is_new = stored.as_ref().map(|before| before.at) != at;
            if is_new {
                *stored = dump;
            }
            is_new
        };
        if is_new {
            self.publish(FleetUpdate::Dump);
        }
        at.map_or(Reading::NoVpp, Reading::Dump)
    }
}

/// Result of a request for VPP's state.
enum Reading {
    /// The time of the dump.
    Dump(Timestamp),
    /// The agent is not connected to VPP, or cannot be reached.
    NoVpp,
    /// No response in time, or a refusal.
    Failed,
}
