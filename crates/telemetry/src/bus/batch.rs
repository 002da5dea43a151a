//! Events as they leave the bus: stamped, numbered and in batches.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use jiff::Timestamp;

use maglev_model::{
    change::Change,
    event::{Event, Level},
};

/// A place in the sequence of an agent's state events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct AsOf {
    /// Which run of the program; compared for equality only.
    pub epoch: u64,
    /// The number of the last state event; the first one has number 1.
    pub seq: u64,
}

/// Something that happened, as the bus hands it on.
#[derive(Clone, Debug, PartialEq)]
pub struct Stamped {
    /// Its number; `None` on the probe lane.
    pub seq: Option<u64>,
    /// When it was emitted.
    pub time: Timestamp,
    /// What people are told; `None` for a change that they are told of otherwise.
    pub event: Option<Event>,
    /// What it does to the state.
    pub change: Option<Change>,
}

impl Stamped {
    /// Whether somebody who listens at `level` gets it: changes of the state go to everybody.
    pub fn is_for(&self, level: Level) -> bool {
        self.change.is_some() || self.event.as_ref().is_some_and(|event| event.level() >= level)
    }
}

/// What a batch is for one level.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// The events that go to that level, encoded.
    pub bytes: Bytes,
    /// How many those are.
    pub count: u64,
}

/// Some events in order.
#[derive(Debug)]
pub struct Batch {
    pub events: Vec<Arc<Stamped>>,
    /// The last state event up to here.
    pub as_of: AsOf,
    /// How many events were handed out before this batch, both lanes.
    pub(crate) first: u64,
    encoded: [OnceLock<Encoded>; 4],
}

impl Batch {
    pub(crate) fn new(events: Vec<Arc<Stamped>>, as_of: AsOf, first: u64) -> Self {
        Self { events, as_of, first, encoded: Default::default() }
    }

    /// The events that somebody who listens at `level` gets.
    pub fn for_level(&self, level: Level) -> impl Iterator<Item = &Arc<Stamped>> {
        self.events.iter().filter(move |stamped| stamped.is_for(level))
    }

    /// Where one is who has taken all events before this batch.
    pub fn begin(&self) -> AsOf {
        let numbered = self.events.iter().filter(|stamped| stamped.seq.is_some()).count() as u64;
        AsOf { seq: self.as_of.seq - numbered, ..self.as_of }
    }

    /// What `encode` makes of the batch for `level`: made once, however many listen at that level.
    pub fn encoded(&self, level: Level, encode: impl FnOnce(&Self) -> Bytes) -> Encoded {
        let slot = match level {
            Level::Debug => 0,
            Level::Info => 1,
            Level::Warn => 2,
            Level::Error => 3,
        };
        let encoded = || Encoded { bytes: encode(self), count: self.for_level(level).count() as u64 };
        self.encoded[slot].get_or_init(encoded).clone()
    }
}
