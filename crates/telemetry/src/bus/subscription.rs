//! Following the bus: from now on, or from where one was before.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::broadcast;

use super::{BusLimits, Shared, batch::AsOf, batch::Batch, batch::Stamped, ring::Ring};
use maglev_model::event::Level;

/// Where batches leave the bus.
pub struct Outlet {
    epoch: u64,
    /// The number of the last state event.
    seq: AtomicU64,
    /// Held while a batch is handed out and while a subscription is made, so that no event falls between what is
    /// replayed and what comes.
    kept: Mutex<Kept>,
}

struct Kept {
    ring: Ring,
    as_of: AsOf,
    /// Events handed out so far, both lanes.
    count: u64,
    /// `None` once the bus has ended.
    batches: Option<broadcast::Sender<Arc<Batch>>>,
}

impl Outlet {
    pub fn new(as_of: AsOf, limits: BusLimits) -> Self {
        let (batches, _) = broadcast::channel(limits.behind);
        let kept = Kept { ring: Ring::new(limits.ring), as_of, count: 0, batches: Some(batches) };
        Self { epoch: as_of.epoch, seq: AtomicU64::new(as_of.seq), kept: Mutex::new(kept) }
    }

    /// The number of the next state event; only the bus's task asks.
    pub fn next_seq(&self) -> u64 {
        self.seq.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Keeps `events`, hands them to every subscription and has the state published that they lead to. Who subscribes
    /// sees both or neither: a snapshot taken after that is at least as new as where the subscription begins, and one
    /// taken before never is ahead of what can be replayed.
    pub fn hand_out(&self, events: Vec<Arc<Stamped>>, publish: impl FnOnce(AsOf)) {
        let as_of = AsOf { epoch: self.epoch, seq: self.seq.load(Ordering::Relaxed) };
        let mut kept = self.kept();
        events.iter().for_each(|stamped| kept.ring.push(stamped));
        let first = kept.count;
        kept.count += events.len() as u64;
        kept.as_of = as_of;
        if let Some(batches) = kept.batches.as_ref().filter(|batches| batches.receiver_count() > 0) {
            let _ = batches.send(Arc::new(Batch::new(events, as_of, first)));
        }
        publish(as_of);
    }

    /// No event follows any more.
    pub fn close(&self) {
        self.kept().batches = None;
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone)]
pub struct Subscriber(Arc<Shared>);

/// Why a subscription cannot go on from where it was: it has to fetch the whole state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("events since number {} of epoch {:x} are not kept any more", .since.seq, .since.epoch)]
pub struct Resync {
    /// Where it was.
    pub since: AsOf,
}

impl Subscriber {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// Events from `level` up, and every change of the state; from now on, or all after `since`. At `Debug` the probe
    /// lane is built for it.
    ///
    /// # Errors
    /// [`Resync`] where `since` is of another run of the program, or too long ago.
    pub fn subscribe(&self, level: Level, since: Option<AsOf>) -> Result<Subscription, Resync> {
        let kept = self.0.outlet.kept();
        let replay = match since {
            None => Vec::new(),
            Some(since) => {
                let same = Some(since).filter(|since| since.epoch == kept.as_of.epoch);
                same.and_then(|since| kept.ring.since(since.seq, kept.as_of.seq)).ok_or(Resync { since })?
            }
        };
        let batches_rx = kept.batches.as_ref().map(broadcast::Sender::subscribe);
        if level == Level::Debug {
            self.0.probe_listeners.fetch_add(1, Ordering::Relaxed);
        }
        // Also where nothing is to be replayed: it says where the stream begins.
        let replay = Arc::new(Batch::new(replay, kept.as_of, kept.count));
        Ok(Subscription {
            shared: Arc::clone(&self.0),
            level,
            batches_rx,
            ahead: Some(replay),
            expected: kept.count,
            began: false,
        })
    }
}

/// What a subscription hands over.
#[derive(Clone, Debug)]
pub enum Received {
    /// The next events. The first batch is what was replayed, and may be empty: it says where the stream begins.
    Batch(Arc<Batch>),
    /// The subscription was too slow and lost so many events.
    Lost(u64),
}

/// Events for one consumer. A slow one loses its oldest and is told.
pub struct Subscription {
    shared: Arc<Shared>,
    level: Level,
    batches_rx: Option<broadcast::Receiver<Arc<Batch>>>,
    /// A batch that comes before those of the channel.
    ahead: Option<Arc<Batch>>,
    /// The count at which the next batch of the channel should begin.
    expected: u64,
    began: bool,
}

impl Subscription {
    /// The level it listens at.
    pub fn level(&self) -> Level {
        self.level
    }

    /// The next batch, or word of a loss; `None` once the bus has ended. Safe to drop at any time.
    pub async fn next(&mut self) -> Option<Received> {
        if let Some(batch) = self.ahead.take() {
            if std::mem::replace(&mut self.began, true) {
                self.expected = batch.first + batch.events.len() as u64;
            }
            return Some(Received::Batch(batch));
        }
        loop {
            match self.batches_rx.as_mut()?.recv().await {
                Ok(batch) if batch.first > self.expected => {
                    let lost = batch.first - self.expected;
                    self.shared.lost.fetch_add(lost, Ordering::Relaxed);
                    self.ahead = Some(batch);
                    return Some(Received::Lost(lost));
                }
                Ok(batch) => {
                    self.expected = batch.first + batch.events.len() as u64;
                    return Some(Received::Batch(batch));
                }
                // The next batch says how many events that were.
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if self.level == Level::Debug {
            self.shared.probe_listeners.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
