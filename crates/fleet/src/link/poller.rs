//! Periodic requests to an agent during a session.

use std::{convert::Infallible, sync::Arc};

use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::{
    Error, FleetOptions,
    mirror::Mirror,
    store::{CountersRead, NodeCell, Store},
    update::FleetUpdate,
};
use maglev_rpc::client::AgentClient;

pub struct Poller<M> {
    pub(crate) node: Arc<str>,
    pub(crate) cell: Arc<NodeCell<M>>,
    pub(crate) store: Arc<Store<M>>,
    pub(crate) options: FleetOptions,
    pub(crate) client: AgentClient,
}

impl<M: Mirror> Poller<M> {
    /// Requests the agent's version and readiness until it does not answer.
    pub async fn poll_health(&self) -> Error {
        let timings = self.options.timings;
        let mut ticks = interval(timings.health);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The session began with the same request.
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
            self.publish(FleetUpdate::Node);
        }
    }

    /// Reads the counters. Without VPP there are none, which is no error of the link.
    pub async fn poll_counters(&self) -> Infallible {
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
            let previous = std::mem::replace(&mut self.cell.state().counters, read.clone());
            if previous.is_some() || read.is_some() {
                self.publish(FleetUpdate::Counters);
            }
        }
    }

    pub fn publish(&self, update: fn(Arc<str>) -> FleetUpdate) {
        self.store.publish(update(Arc::clone(&self.node)));
    }
}
