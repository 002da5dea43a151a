//! The task that updates the state from the fleet and Kubernetes, and publishes the messages.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    broker::Broker,
    message::Message,
    state::{DashboardState, Now, Snapshot},
};
use maglev_fleet::{FleetHandle, FleetUpdate, FollowedLines, Update, Updates};
use maglev_kube::objects::Objects;
use maglev_model::event::Level;

/// Changes within this time are published together.
const BATCH_TIME: Duration = Duration::from_millis(50);
/// Largest number of lines in one log message.
const MAX_LINES: usize = 256;

/// The state, its sources and its outputs.
pub struct Updater {
    fleet: FleetHandle,
    updates: Updates,
    objects_rx: Option<watch::Receiver<Objects>>,
    state: DashboardState,
    broker: Arc<Broker>,
    snapshot: watch::Sender<Arc<Snapshot>>,
    /// Nodes that changed since the last flush.
    dirty: BTreeSet<Arc<str>>,
    objects_dirty: bool,
    due: Option<Instant>,
}

impl Updater {
    pub fn new(
        fleet: FleetHandle,
        objects_rx: Option<watch::Receiver<Objects>>,
        state: DashboardState,
        broker: Arc<Broker>,
    ) -> Self {
        let snapshot = watch::Sender::new(Arc::new(state.snapshot().clone()));
        // Subscribes before it reads the nodes, so that no change is missed.
        let updates = fleet.subscribe();
        let dirty = fleet.names().into_iter().collect();
        let objects_dirty = objects_rx.is_some();
        let due = Some(Instant::now());
        Self { fleet, updates, objects_rx, state, broker, snapshot, dirty, objects_dirty, due }
    }

    pub fn snapshot(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshot.subscribe()
    }

    /// Runs until `shutdown`, or until the fleet has ended.
    pub async fn run(mut self, shutdown: CancellationToken) {
        loop {
            let due = [self.due, self.state.due()].into_iter().flatten().min();
            tokio::select! {
                () = shutdown.cancelled() => return,
                update = self.updates.next() => match update {
                    Some(update) => self.handle(update),
                    None => return,
                },
                true = changed(&mut self.objects_rx) => {
                    self.objects_dirty = true;
                    self.schedule_flush();
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.flush(),
            }
        }
    }

    fn handle(&mut self, update: Update) {
        match update {
            Update::Next(FleetUpdate::Probes(probes)) => return self.broker.publish_probes(&probes),
            Update::Next(update) => {
                if let FleetUpdate::Followed(followed) = &update {
                    self.publish_log(followed);
                }
                self.dirty.insert(Arc::clone(update.node()));
            }
            // The lost updates may have been about nodes that no longer exist.
            Update::Lost(count) => {
                tracing::warn!(count, "updates lost");
                self.dirty.extend(self.fleet.names());
                self.dirty.extend(self.state.snapshot().nodes.keys().cloned());
            }
        }
        self.schedule_flush();
    }

    fn schedule_flush(&mut self) {
        self.due.get_or_insert_with(|| Instant::now() + BATCH_TIME);
    }

    fn publish_log(&self, followed: &FollowedLines) {
        let lines = followed.lines.iter().filter(|line| !line.name.is_empty() && line.level >= Level::Info);
        let lines: Vec<_> = lines.collect();
        let message = |lines: &[&maglev_fleet::Line]| {
            Message::log(Arc::clone(&followed.node), followed.as_of.epoch, lines.iter().copied())
        };
        if !lines.is_empty() {
            self.broker.publish(lines.chunks(MAX_LINES).map(message).collect(), None);
        }
    }

    fn flush(&mut self) {
        self.due = None;
        for node in std::mem::take(&mut self.dirty) {
            match self.fleet.node(&node) {
                Some(state) => self.state.set_node(state),
                None => self.state.remove_node(&node),
            }
        }
        if std::mem::take(&mut self.objects_dirty)
            && let Some(objects_rx) = &mut self.objects_rx
        {
            let objects = objects_rx.borrow_and_update().clone();
            self.state.set_objects(objects);
        }
        let messages = self.state.flush(Now { monotonic: Instant::now(), wall: Timestamp::now() });
        // Published before the messages, so that a browser that has a message never reads an older snapshot.
        let snapshot = Arc::new(self.state.snapshot().clone());
        let positions = snapshot.positions();
        self.snapshot.send_replace(snapshot);
        self.broker.publish(messages, Some(positions));
    }
}

/// Waits for a change of the objects; forever once there are no further changes.
async fn changed(objects_rx: &mut Option<watch::Receiver<Objects>>) -> bool {
    if let Some(objects_rx) = objects_rx
        && objects_rx.changed().await.is_ok()
    {
        return true;
    }
    std::future::pending().await
}
