//! Reads VPP's state, including buckets, after each change, until the reading is newer than the change.

use std::{convert::Infallible, sync::Arc};

use jiff::Timestamp;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::poller::Poller;
use crate::{mirror::Mirror, update::FleetUpdate};
use maglev_model::actual::LbDump;

/// Readings for one change. Mostly the agent reads VPP half a second after its own change; if it does not for
/// longer, further requests are useless.
const MAX_READINGS: usize = 10;

impl<M: Mirror> Poller<M> {
    /// Reads at the start and after each change. Both times are by the agent's clock.
    pub async fn poll_dumps(&self, mut changed_rx: watch::Receiver<Option<Timestamp>>) -> Infallible {
        self.read_dump().await;
        // The agent may have changed VPP just before the session began, and read it again just after.
        sleep(self.options.timings.dumps).await;
        self.read_dump().await;
        while changed_rx.changed().await.is_ok() {
            for _ in 0..MAX_READINGS {
                sleep(self.options.timings.dumps).await;
                let changed = *changed_rx.borrow_and_update();
                let read = self.read_dump().await;
                if read.is_none_or(|read| changed.is_none_or(|changed| read.at >= changed)) {
                    break;
                }
            }
        }
        // The sender lives as long as the session.
        std::future::pending().await
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
