//! The handle through which rooms tell of events, and where they go.

use std::{fmt, sync::Arc};

use super::Event;
use crate::change::Change;

/// Where events go; made by `telemetry`, or by a test that collects them.
pub trait EventSink: Send + Sync {
    /// Whether anybody listens to the probe lane now: one atomic load.
    fn wants_probes(&self) -> bool;
    /// Takes an event. Never blocks.
    fn publish(&self, event: Event);
    /// Takes a change of state, and the event that tells people of it, if any. Never blocks.
    fn publish_change(&self, event: Option<Event>, change: Change) {
        drop(change);
        if let Some(event) = event {
            self.publish(event);
        }
    }
}

/// The handle through which a room tells what happens. A clone is cheap.
#[derive(Clone)]
pub struct Events(Arc<dyn EventSink>);

impl Events {
    /// A handle that publishes to `sink`.
    pub fn new(sink: Arc<dyn EventSink>) -> Self {
        Self(sink)
    }

    /// A handle whose events nobody sees, for tools and tests.
    pub fn discard() -> Self {
        Self(Arc::new(Discard))
    }

    /// Tells of something that changes nothing that others mirror: always built, whoever listens.
    pub fn emit(&self, event: Event) {
        self.0.publish(event);
    }

    /// Tells of a change of state: always built, whoever listens.
    pub fn emit_change(&self, event: Event, change: Change) {
        self.0.publish_change(Some(event), change);
    }

    /// Changes what others mirror without telling people: they are told of its cause, or need not know.
    pub fn change(&self, change: Change) {
        self.0.publish_change(None, change);
    }

    /// Tells of something on the probe lane; `event` is not built when nobody listens.
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
