//! The task that keeps the board: takes what the fleet and Kubernetes say, and hands on what follows from it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    board::{Board, Glance},
    broker::Broker,
    message::Message,
};
use maglev_fleet::{FleetHandle, FleetUpdate, FollowedLines, Update, Updates};
use maglev_kube::objects::Objects;
use maglev_model::event::Level;

/// What comes within so long goes out together.
const TOGETHER: Duration = Duration::from_millis(50);
/// Lines of one message of the log.
const LINES: usize = 256;

/// The board and all that it is kept with.
pub struct Keeper {
    fleet: FleetHandle,
    updates: Updates,
    objects_rx: Option<watch::Receiver<Objects>>,
    board: Board,
    broker: Arc<Broker>,
    glance: watch::Sender<Arc<Glance>>,
    /// Nodes to look at.
    dirty: BTreeSet<Arc<str>>,
    objects_dirty: bool,
    due: Option<Instant>,
}

impl Keeper {
    pub fn new(
        fleet: FleetHandle,
        objects_rx: Option<watch::Receiver<Objects>>,
        board: Board,
        broker: Arc<Broker>,
    ) -> Self {
        let glance = watch::Sender::new(Arc::new(board.glance().clone()));
        // From here on nothing is missed: what is there already is looked at first.
        let updates = fleet.subscribe();
        let dirty = fleet.names().into_iter().collect();
        let objects_dirty = objects_rx.is_some();
        let due = Some(Instant::now());
        Self { fleet, updates, objects_rx, board, broker, glance, dirty, objects_dirty, due }
    }

    /// What there is to read.
    pub fn glance(&self) -> watch::Receiver<Arc<Glance>> {
        self.glance.subscribe()
    }

    /// Keeps the board until `shutdown`, or until the fleet has ended.
    pub async fn run(mut self, shutdown: CancellationToken) {
        loop {
            let due = [self.due, self.board.due()].into_iter().flatten().min();
            tokio::select! {
                () = shutdown.cancelled() => return,
                update = self.updates.next() => match update {
                    Some(update) => self.take(update),
                    None => return,
                },
                true = changed(&mut self.objects_rx) => {
                    self.objects_dirty = true;
                    self.soon();
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.flush(),
            }
        }
    }

    fn take(&mut self, update: Update) {
        match update {
            Update::Next(FleetUpdate::Probes(probes)) => return self.broker.probes(&probes),
            Update::Next(update) => {
                if let FleetUpdate::Followed(followed) = &update {
                    self.log(followed);
                }
                self.dirty.insert(Arc::clone(update.node()));
            }
            // Some of it may have been about nodes that are gone.
            Update::Lost(count) => {
                tracing::warn!(count, "updates-lost");
                self.dirty.extend(self.fleet.names());
                self.dirty.extend(self.board.glance().nodes.keys().cloned());
            }
        }
        self.soon();
    }

    fn soon(&mut self) {
        self.due.get_or_insert_with(|| Instant::now() + TOGETHER);
    }

    fn log(&self, followed: &FollowedLines) {
        let told = followed.lines.iter().filter(|line| !line.name.is_empty() && line.level >= Level::Info);
        let told: Vec<_> = told.collect();
        let message = |lines: &[&maglev_fleet::Line]| {
            Message::log(Arc::clone(&followed.node), followed.as_of.epoch, lines.iter().copied())
        };
        if !told.is_empty() {
            self.broker.publish(told.chunks(LINES).map(message).collect(), None);
        }
    }

    fn flush(&mut self) {
        self.due = None;
        for node in std::mem::take(&mut self.dirty) {
            match self.fleet.node(&node) {
                Some(state) => self.board.set_node(state),
                None => self.board.remove_node(&node),
            }
        }
        if std::mem::take(&mut self.objects_dirty)
            && let Some(objects_rx) = &mut self.objects_rx
        {
            let objects = objects_rx.borrow_and_update().clone();
            self.board.set_objects(objects);
        }
        let messages = self.board.flush(Instant::now());
        // Before the messages, so that nobody who has heard of something reads what was before.
        let glance = Arc::new(self.board.glance().clone());
        let places = glance.places();
        self.glance.send_replace(glance);
        self.broker.publish(messages, Some(places));
    }
}

/// Waits for news of the objects; for ever where there is none any more.
async fn changed(objects_rx: &mut Option<watch::Receiver<Objects>>) -> bool {
    if let Some(objects_rx) = objects_rx
        && objects_rx.changed().await.is_ok()
    {
        return true;
    }
    std::future::pending().await
}
