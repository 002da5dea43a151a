//! Reading what VPP has, buckets included, after it changed: until a reading is newer than the change.

use std::{convert::Infallible, sync::Arc};

use jiff::Timestamp;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::questions::Questions;
use crate::{mirror::Mirror, update::FleetUpdate};
use maglev_model::actual::LbDump;

/// Readings for one change. The agent reads VPP itself about half a second after it changed it; where it cannot, there
/// is no use in asking for ever.
const TRIES: usize = 10;

impl<M: Mirror> Questions<M> {
    /// Reads once at the start and after each change, both clocks being the agent's.
    pub async fn dumps(&self, mut changed_rx: watch::Receiver<Option<Timestamp>>) -> Infallible {
        self.read_dump().await;
        while changed_rx.changed().await.is_ok() {
            for _ in 0..TRIES {
                sleep(self.options.timings.dumps).await;
                let changed = *changed_rx.borrow_and_update();
                let read = self.read_dump().await;
                if read.is_none_or(|read| changed.is_none_or(|changed| read.at >= changed)) {
                    break;
                }
            }
        }
        // Its sender lives as long as the session.
        std::future::pending().await
    }

    async fn read_dump(&self) -> Option<Arc<LbDump>> {
        let answer = timeout(self.options.timings.state, self.client.lb_state()).await;
        let dump = answer.ok().and_then(Result::ok).map(Arc::new);
        let was = std::mem::replace(&mut self.cell.state().dump, dump.clone());
        if was.map(|was| was.at) != dump.as_ref().map(|dump| dump.at) {
            self.tell(FleetUpdate::Dump);
        }
        dump
    }
}
