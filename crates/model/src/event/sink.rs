//! The handle that publishes events, and the trait of their receiver.

use std::{fmt, sync::Arc};

use super::Event;
use crate::change::Change;

/// The receiver of events: the bus of `telemetry`, or a collector in tests.
pub trait EventSink: Send + Sync {
    /// True while the probe lane has a subscriber. Costs one atomic load.
    fn wants_probes(&self) -> bool;
    /// Receives an event, and with it the change that it carries ([`Event::change`]). Never blocks.
    fn publish(&self, event: Event);
    /// Receives a change without an event. Ignored by default. Never blocks.
    fn publish_change(&self, change: Change) {
        drop(change);
    }
}

/// Handle that publishes events and changes. Cheap to clone.
#[derive(Clone)]
pub struct Events(Arc<dyn EventSink>);

impl Events {
    /// Creates a handle that publishes to `sink`.
    pub fn new(sink: Arc<dyn EventSink>) -> Self {
        Self(sink)
    }

    /// Creates a handle that discards all events, for tools and tests.
    pub fn discard() -> Self {
        Self(Arc::new(Discard))
    }

    /// Publishes an event, and with it the change that it carries ([`Event::change`]).
    pub fn emit(&self, event: Event) {
        self.0.publish(event);
    }

    /// Publishes a change without an event, to mirrors only: another event already covers its cause, or the change is
    /// of no interest to operators.
    pub fn emit_change(&self, change: Change) {
        self.0.publish_change(change);
    }

    /// Publishes an event on the probe lane. `event` is not called while the lane has no subscriber.
    pub fn emit_probe(&self, event: impl FnOnce() -> Event) {
        if self.0.wants_probes() {
            self.0.publish(event());
        }
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events")
    }
}

struct Discard;

impl EventSink for Discard {
    fn wants_probes(&self) -> bool {
        false
    }

    fn publish(&self, _: Event) {}
}
