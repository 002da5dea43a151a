//! Subscriptions to the bus, from now on or resumed from an earlier position.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::broadcast;

use super::{BusLimits, BusShared, batch::AsOf, batch::EventBatch, batch::Stamped};
use maglev_model::event::Level;

/// Distributes batches to the subscriptions.
pub struct Distributor {
    epoch: u64,
    /// The number of the last state event.
    seq: AtomicU64,
    /// Locked while a batch is distributed and while a subscription is created, so that no event is lost between the
    /// replayed events and the first batch.
    state: Mutex<DistributorState>,
}

struct DistributorState {
    ring: RingBuffer,
    as_of: AsOf,
    /// The number of events distributed so far, of both lanes.
    count: u64,
    /// `None` after the end of the bus.
    batches: Option<broadcast::Sender<Arc<EventBatch>>>,
}

impl Distributor {
    pub fn new(as_of: AsOf, limits: BusLimits) -> Self {
        let (batches, _) = broadcast::channel(limits.queued_batches);
        let state =
            DistributorState { ring: RingBuffer::new(limits.retained_events), as_of, count: 0, batches: Some(batches) };
        Self { epoch: as_of.epoch, seq: AtomicU64::new(as_of.seq), state: Mutex::new(state) }
    }

    /// Assigns the number of the next state event. Called only by the bus's task.
    pub fn next_seq(&self) -> u64 {
        self.seq.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Retains `events`, sends them to every subscription and publishes the resulting state. All of this is atomic for a
    /// new subscription: a snapshot taken after subscribing is at least as new as the start of the subscription, and a
    /// snapshot taken before is never ahead of the retained events.
    pub fn distribute(&self, events: Vec<Arc<Stamped>>, publish: impl FnOnce(AsOf)) {
        let as_of = AsOf { epoch: self.epoch, seq: self.seq.load(Ordering::Relaxed) };
        let mut state = self.state();
        events.iter().for_each(|stamped| state.ring.push(stamped));
        let first = state.count;
        state.count += events.len() as u64;
        state.as_of = as_of;
        if let Some(batches) = state.batches.as_ref().filter(|batches| batches.receiver_count() > 0) {
            let _ = batches.send(Arc::new(EventBatch::new(events, as_of, first)));
        }
        publish(as_of);
    }

    /// Ends all subscriptions.
    pub fn close(&self) {
        self.state().batches = None;
    }

    fn state(&self) -> MutexGuard<'_, DistributorState> {
        self.state.lock()
    }
}

/// The newest state events, without gaps.
#[derive(Debug)]
struct RingBuffer {
    events: VecDeque<Arc<Stamped>>,
    limit: usize,
}

impl RingBuffer {
    fn new(limit: usize) -> Self {
        Self { events: VecDeque::new(), limit }
    }

    /// Appends a state event; events of the probe lane are not retained.
    fn push(&mut self, stamped: &Arc<Stamped>) {
        if stamped.seq.is_some() {
            if self.events.len() == self.limit {
                self.events.pop_front();
            }
            self.events.push_back(Arc::clone(stamped));
        }
    }

    /// All events after number `seq`; `last` is the number of the newest event. `None` if some of them are no longer
    /// retained, or if `seq` has not been assigned yet.
    fn since(&self, seq: u64, last: u64) -> Option<Vec<Arc<Stamped>>> {
        let count = usize::try_from(last.checked_sub(seq)?).ok()?;
        let skipped = self.events.len().checked_sub(count)?;
        Some(self.events.iter().skip(skipped).cloned().collect())
    }
}

/// Creates subscriptions, also while the bus runs.
#[derive(Clone)]
pub struct Subscriber(Arc<BusShared>);

/// Error of a subscription that cannot resume: the subscriber has to fetch the whole state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("events after number {} of epoch {:x} are no longer retained", .since.seq, .since.epoch)]
pub struct ResyncRequired {
    /// The requested position.
    pub since: AsOf,
}

impl Subscriber {
    pub(crate) fn new(shared: Arc<BusShared>) -> Self {
        Self(shared)
    }

    /// Subscribes to events at `level` or above and to every change of the state, from now on or after `since`. At
    /// `Debug`, the subscription receives the probe lane.
    ///
    /// # Errors
    /// [`ResyncRequired`] if `since` belongs to another run of the program, or to events that are no longer retained.
    pub fn subscribe(&self, level: Level, since: Option<AsOf>) -> Result<Subscription, ResyncRequired> {
        let state = self.0.distributor.state();
        let replay = match since {
            None => Vec::new(),
            Some(since) => {
                let same_epoch = Some(since).filter(|since| since.epoch == state.as_of.epoch);
                same_epoch
                    .and_then(|since| state.ring.since(since.seq, state.as_of.seq))
                    .ok_or(ResyncRequired { since })?
            }
        };
        let batches_rx = state.batches.as_ref().map(broadcast::Sender::subscribe);
        if level == Level::Debug {
            self.0.probe_listeners.fetch_add(1, Ordering::Relaxed);
        }
        // Sent even if empty: the first batch carries the start of the stream.
        let replay = Arc::new(EventBatch::new(replay, state.as_of, state.count));
        Ok(Subscription {
            shared: Arc::clone(&self.0),
            level,
            batches_rx,
            pending: Some(replay),
            expected: state.count,
            replayed: false,
        })
    }
}

/// The items of a subscription.
#[derive(Clone, Debug)]
pub enum Received {
    /// The next events. The first batch contains the replayed events and may be empty; it carries the start of the
    /// stream.
    Batch(Arc<EventBatch>),
    /// The subscription was too slow and lost this number of events.
    Lost(u64),
}

/// A stream of events for one consumer. A slow consumer loses the oldest events and receives their number.
pub struct Subscription {
    shared: Arc<BusShared>,
    level: Level,
    batches_rx: Option<broadcast::Receiver<Arc<EventBatch>>>,
    /// A batch to return before the next batch of the channel.
    pending: Option<Arc<EventBatch>>,
    /// The expected `first` of the next batch of the channel.
    expected: u64,
    replayed: bool,
}

impl Subscription {
    pub fn level(&self) -> Level {
        self.level
    }

    /// The next batch or loss; `None` after the end of the bus. Cancel safe.
    pub async fn next(&mut self) -> Option<Received> {
        if let Some(batch) = self.pending.take() {
            if std::mem::replace(&mut self.replayed, true) {
                self.expected = batch.first + batch.events.len() as u64;
            }
            return Some(Received::Batch(batch));
        }
        loop {
            match self.batches_rx.as_mut()?.recv().await {
                Ok(batch) if batch.first > self.expected => {
                    let lost = batch.first - self.expected;
                    self.shared.lost.fetch_add(lost, Ordering::Relaxed);
                    self.pending = Some(batch);
                    return Some(Received::Lost(lost));
                }
                Ok(batch) => {
                    self.expected = batch.first + batch.events.len() as u64;
                    return Some(Received::Batch(batch));
                }
                // The number of lost events follows from the next batch.
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
