//! Reads VPP's state, including buckets, after each change, until the reading is newer than the change.

use std::{convert::Infallible, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::poller::Poller;
use crate::{mirror::Mirror, update::FleetUpdate};
use maglev_model::actual::LbDump;

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
            let (mut readings, mut is_newer) = (0, false);
            while !is_newer {
                sleep(self.options.timings.dumps).await;
                let changed = *changed_rx.borrow_and_update();
                let read = self.read_dump().await;
                is_newer = read.is_none_or(|read| changed.is_none_or(|changed| read.at >= changed));
                readings += 1;
                let is_rare = !is_newer && readings >= FREQUENT_READINGS;
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

    async fn read_dump(&self) -> Option<Arc<LbDump>> {
        let answer = timeout(self.options.timings.state, self.client.lb_state()).await;
        let dump = answer.ok().and_then(Result::ok).map(Arc::new);
        let previous = std::mem::replace(&mut self.cell.state().dump, dump.clone());
        if previous.map(|dump| dump.at) != dump.as_ref().map(|dump| dump.at) {
            self.publish(FleetUpdate::Dump);
        }
        dump
    }
}
