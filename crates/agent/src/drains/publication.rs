//! Publishes the drain of a Backend when it changes: its state at once, mere numbers every few seconds.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::tracker::ServerReading;
use maglev_model::{
    Name,
    change::Change,
    drain::{Drain, DrainLosses, DrainState},
    event::{Event, Events},
};

/// Least time between two publications that differ in numbers only.
const NUMBERS_INTERVAL: Duration = Duration::from_secs(2);

/// The last published drain of a Backend.
#[derive(Debug, Default)]
pub struct Published(Option<(Drain, Instant)>);

impl Published {
    pub fn publish(&mut self, name: &Name, mut drain: Drain, now: Instant, events: &Events) {
        let before = self.0.as_ref();
        let from = before.map(|(before, _)| before.state);
        if let Some((before, at)) = before {
            if before.state == drain.state {
                drain.since = before.since;
            }
            let is_recent = now < *at + NUMBERS_INTERVAL;
            if *before == drain || (is_recent && differs_in_numbers_only(before, &drain)) {
                return;
            }
        }
        if from == Some(drain.state) {
            events.emit_change(Change::Drain(name.clone(), Some(drain.clone())));
        } else {
            events.emit(Event::DrainTransition { name: name.clone(), from, drain: drain.clone() });
        }
        self.0 = Some((drain, now));
    }

    /// Publishes that the Backend is not drained any more.
    pub fn end(self, name: &Name, events: &Events) {
        if self.0.is_some() {
            events.emit_change(Change::Drain(name.clone(), None));
        }
    }
}

fn differs_in_numbers_only(before: &Drain, now: &Drain) -> bool {
    let Drain { flows, bits_per_second, idle, .. } = now;
    *now == Drain { flows: *flows, bits_per_second: *bits_per_second, idle: *idle, ..before.clone() }
}

/// The drain in state `state`, with the numbers of `reading` where the state leaves them open.
pub fn drain(state: DrainState, reading: Option<&ServerReading>, idle: Option<Duration>, at: Timestamp) -> Drain {
    let step = u64::from(Drain::IDLE_STEP);
    let rounded = |idle: Duration| u32::try_from(idle.as_secs() / step * step).unwrap_or(u32::MAX);
    Drain {
        generation: 0,
        state,
        since: at,
        flows: reading.and_then(|reading| reading.flows),
        bits_per_second: None,
        // A drain that has ended does not change any more.
        idle: idle.filter(|_| state == DrainState::FlowsLeft).map(rounded),
        is_shared: reading.is_some_and(|reading| reading.is_shared),
        is_overdue: false,
        losses: DrainLosses::default(),
    }
}
