//! A receiver of events that records everything.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use maglev_model::{
    change::Change,
    event::{Event, EventSink, Events},
};
use parking_lot::Mutex;

/// An event with the change that it carries, or a change without an event.
#[derive(Clone, Debug)]
pub struct Published {
    pub event: Option<Event>,
    pub change: Option<Change>,
}

/// Records all published events and changes in order. Events of the probe lane are wanted only after
/// [`want_probes`](Self::want_probes).
#[derive(Default)]
pub struct EventCollector {
    published: Mutex<Vec<Published>>,
    wants_probes: AtomicBool,
    /// Receives all events and changes as well.
    bus: OnceLock<Events>,
}

impl EventCollector {
    /// A handle that publishes to this collector.
    pub fn handle(self: &Arc<Self>) -> Events {
        Events::new(Arc::clone(self) as Arc<dyn EventSink>)
    }

    /// Turns the events of the probe lane on or off.
    pub fn want_probes(&self, wanted: bool) {
        self.wants_probes.store(wanted, Ordering::Relaxed);
    }

    /// Forwards all further events and changes to this bus as well.
    pub fn forward_to(&self, bus: Events) {
        assert!(self.bus.set(bus).is_ok(), "there is one bus");
    }

    /// All events and changes so far.
    pub fn published(&self) -> Vec<Published> {
        self.published.lock().clone()
    }

    /// All events so far.
    pub fn events(&self) -> Vec<Event> {
        self.published.lock().iter().filter_map(|published| published.event.clone()).collect()
    }

    /// All events so far as `name key=value …`, like in the log.
    pub fn lines(&self) -> Vec<String> {
        self.published.lock().iter().filter_map(|published| published.event.as_ref()).map(line).collect()
    }

    /// All changes so far, with and without an event.
    pub fn changes(&self) -> Vec<Change> {
        self.published.lock().iter().filter_map(|published| published.change.clone()).collect()
    }

    /// Forgets the events so far. Changes without an event stay.
    pub fn clear_events(&self) {
        self.published.lock().retain(|published| published.event.is_none());
    }
}

impl EventSink for EventCollector {
    fn wants_probes(&self) -> bool {
        self.wants_probes.load(Ordering::Relaxed)
    }

    fn publish(&self, event: Event) {
        self.published.lock().push(Published { change: event.change(), event: Some(event.clone()) });
        self.bus.get().into_iter().for_each(|bus| bus.emit(event.clone()));
    }

    fn publish_change(&self, change: Change) {
        self.published.lock().push(Published { event: None, change: Some(change.clone()) });
        self.bus.get().into_iter().for_each(|bus| bus.emit_change(change.clone()));
    }
}

fn line(event: &Event) -> String {
    let mut line = event.name().to_owned();
    event.fields(&mut |key, value| line.push_str(&format!(" {key}={value}")));
    line
}
