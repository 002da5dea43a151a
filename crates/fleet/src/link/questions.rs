//! What an agent is asked again and again while its link stands.

use std::{convert::Infallible, sync::Arc};

use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::{
    Error, FleetOptions,
    mirror::Mirror,
    store::{Cell, CountersRead, Store},
    update::FleetUpdate,
};
use maglev_rpc::client::AgentClient;

/// One session's questions.
pub struct Questions<M> {
    pub(crate) node: Arc<str>,
    pub(crate) cell: Arc<Cell<M>>,
    pub(crate) store: Arc<Store<M>>,
    pub(crate) options: FleetOptions,
    pub(crate) client: AgentClient,
}

impl<M: Mirror> Questions<M> {
    /// Asks whether the agent is well, until it does not answer.
    pub async fn health(&self) -> Error {
        let timings = self.options.timings;
        let mut ticks = interval(timings.health);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The session began with the same question.
        ticks.tick().await;
        loop {
            ticks.tick().await;
            let version = match timeout(timings.answer, self.client.version()).await {
                Ok(Ok(version)) => version,
                Ok(Err(error)) => return error.into(),
                Err(_) => return Error::late("GetVersion"),
            };
            {
                let mut state = self.cell.state();
                state.last_seen = Some((self.options.clock)());
                if state.version.as_deref() != Some(&version) {
                    state.version = Some(Arc::new(version));
                }
            }
            self.tell(FleetUpdate::Node);
        }
    }

    /// Reads the counters. Where there is no VPP there are none; that is no fault of the link.
    pub async fn counters(&self) -> Infallible {
        let timings = self.options.timings;
        let mut ticks = interval(timings.counters);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let answer = timeout(timings.answer, self.client.lb_counters()).await;
            let read = answer.ok().and_then(Result::ok).map(|stats| {
                let at = (self.options.clock)();
                Arc::new(CountersRead { at, stats })
            });
            let was = std::mem::replace(&mut self.cell.state().counters, read.clone());
            if was.is_some() || read.is_some() {
                self.tell(FleetUpdate::Counters);
            }
        }
    }

    pub fn tell(&self, update: fn(Arc<str>) -> FleetUpdate) {
        self.store.tell(update(Arc::clone(&self.node)));
    }
}
