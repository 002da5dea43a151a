//! The events of one process: logged, folded into a mirror of the agent's state, and kept for comparison with VPP's
//! journal.

use std::{path::Path, sync::Arc};

use maglev_model::{
    change::Change,
    event::{Event, EventSink, Events},
    view::{Fold, View},
};
use parking_lot::Mutex;

use crate::{clock, monitor::Monitor};

pub struct Recorder {
    monitor: Arc<Mutex<Monitor>>,
    /// Left out of the log: it differs between runs.
    directory: String,
    state: Mutex<Recorded>,
}

#[derive(Default)]
struct Recorded {
    view: View,
    events: Vec<Event>,
}

impl Recorder {
    pub fn new(monitor: Arc<Mutex<Monitor>>, socket: &Path) -> Self {
        let directory = socket.parent().map(|parent| parent.display().to_string()).unwrap_or_default();
        Self { monitor, directory, state: Mutex::default() }
    }

    /// A handle that publishes to this recorder.
    pub fn handle(self: &Arc<Self>) -> Events {
        Events::new(Arc::clone(self) as Arc<dyn EventSink>)
    }

    /// The mirror of the agent's state.
    pub fn view(&self) -> View {
        self.state.lock().view.clone()
    }

    /// Removes and returns the events so far.
    pub fn take_events(&self) -> Vec<Event> {
        std::mem::take(&mut self.state.lock().events)
    }
}

impl EventSink for Recorder {
    fn wants_probes(&self) -> bool {
        false
    }

    fn publish(&self, event: Event) {
        self.monitor.lock().log(|| {
            let mut line = format!("event {}", event.name());
            event.fields(&mut |key, value| line.push_str(&format!(" {key}={value}")));
            line.replace(&self.directory, "")
        });
        if let Event::AsWeightUpdated { server, flush: true, .. } = &event
            && let Some(vip) = server.vip.vip.key()
        {
            self.monitor.lock().flushed(vip, server.address);
        }
        if let Some(change) = event.change() {
            self.publish_change(change);
        }
        self.state.lock().events.push(event);
    }

    fn publish_change(&self, change: Change) {
        self.state.lock().view.apply(&change, clock::now());
    }
}
