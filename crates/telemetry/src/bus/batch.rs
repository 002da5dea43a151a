//! Events as the bus distributes them: stamped, numbered and in batches.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use jiff::Timestamp;

use maglev_model::{
    change::Change,
    event::{Event, Level},
};

/// A position in the sequence of an agent's state events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct AsOf {
    /// Identifies the run of the program; compared for equality only.
    pub epoch: u64,
    /// The number of the last state event. Numbers start at 1.
    pub seq: u64,
}

/// An event, a change of the state, or both, with time and number.
#[derive(Clone, Debug, PartialEq)]
pub struct Stamped {
    /// The number in the sequence of state events; `None` on the probe lane.
    pub seq: Option<u64>,
    /// The time at which it was emitted.
    pub time: Timestamp,
    /// The event for logs and watchers; `None` for a change that has no event of its own.
    pub event: Option<Event>,
    pub change: Option<Change>,
}

impl Stamped {
    /// True if a subscription at `level` receives it. Changes of the state reach all subscriptions.
    pub fn is_for(&self, level: Level) -> bool {
        self.change.is_some() || self.event.as_ref().is_some_and(|event| event.level() >= level)
    }
}

/// The encoded events of a batch for one level.
#[derive(Clone, Debug)]
pub struct EncodedBatch {
    pub bytes: Bytes,
    /// The number of events in `bytes`.
    pub count: u64,
}

/// Consecutive events.
#[derive(Debug)]
pub struct EventBatch {
    pub events: Vec<Arc<Stamped>>,
    /// The last state event of this batch or an earlier one.
    pub as_of: AsOf,
    /// The number of events, of both lanes, that were distributed before this batch.
    pub(crate) first: u64,
    encoded: [OnceLock<EncodedBatch>; 4],
}

impl EventBatch {
    pub(crate) fn new(events: Vec<Arc<Stamped>>, as_of: AsOf, first: u64) -> Self {
        Self { events, as_of, first, encoded: Default::default() }
    }

    /// The events for subscriptions at `level`.
    pub fn for_level(&self, level: Level) -> impl Iterator<Item = &Arc<Stamped>> {
        self.events.iter().filter(move |stamped| stamped.is_for(level))
    }

    /// The position just before this batch.
    pub fn start(&self) -> AsOf {
        let numbered = self.events.iter().filter(|stamped| stamped.seq.is_some()).count() as u64;
        AsOf { seq: self.as_of.seq - numbered, ..self.as_of }
    }

    /// The batch as encoded by `encode` for `level`. Encoded once per level, for all subscriptions.
    pub fn encoded(&self, level: Level, encode: impl FnOnce(&Self) -> Bytes) -> EncodedBatch {
        let slot = match level {
            Level::Debug => 0,
            Level::Info => 1,
            Level::Warn => 2,
            Level::Error => 3,
        };
        let encoded = || EncodedBatch { bytes: encode(self), count: self.for_level(level).count() as u64 };
        self.encoded[slot].get_or_init(encoded).clone()
    }
}
