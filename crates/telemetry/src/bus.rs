//! The event bus: every room emits, one task numbers, logs, folds and hands out.
//!
//! ```text
//! Events::emit ─┐                          ┌─▶ log
//! Events::change┴▶ queue ─▶ Worker: number ┼─▶ View ─▶ Snapshot (watch)
//!                                          └─▶ Batch (20 ms or 256) ─▶ ring, subscriptions
//! ```
//!
//! There are two lanes. State events are numbered, folded into the [`View`] and kept for a while, so that who follows
//! can come back to where it was. Events of the probe lane are for who is watching at that moment, and the first to
//! be dropped. Emitting never blocks: it stamps and queues. A slow subscription loses its oldest batches and is told
//! how many events that were; it never holds up the others, nor the rooms.

mod batch;
mod metrics;
mod ring;
mod subscription;
#[cfg(test)]
mod tests;
mod transitions;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{FutureExt as _, future::BoxFuture};
use jiff::Timestamp;
use prometheus::Registry;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

pub(crate) use self::transitions::Transitions;
pub use self::{
    batch::{AsOf, Batch, Encoded, Stamped},
    subscription::{Received, Resync, Subscriber, Subscription},
};
use self::{metrics::Metrics, subscription::Outlet};
use super::{Error, log, view_metrics::ViewMetrics};
use maglev_model::{
    change::{Change, Fold as _},
    event::{Event, EventSink, Events, Lane, Level},
    view::View,
};

/// State events that may wait for the task. Far more than one pass can cause; a process that has so
/// many waiting has stalled, and the loss is counted and told.
const STATE_LIMIT: usize = 1 << 20;
/// Events of the probe lane that may wait: they are the first to be dropped.
const PROBE_LIMIT: usize = 8192;
/// A batch is handed out so long after its first event, or earlier if it is full.
const BATCH_DELAY: Duration = Duration::from_millis(20);

/// What the bus is told at its start.
#[derive(Clone, Copy, Debug)]
pub struct BusOptions {
    /// The log's level: at `Debug` the log listens to the probe lane.
    pub log_level: Level,
    /// The clock that stamps events.
    pub clock: fn() -> Timestamp,
    /// This run of the program: a random number, compared for equality only.
    pub epoch: u64,
}

/// How much the bus keeps.
#[derive(Clone, Copy, Debug)]
pub struct BusLimits {
    /// Events in a batch; one that is full is handed out.
    pub batch: usize,
    /// Batches that a subscription may be behind before it loses its oldest.
    pub behind: usize,
    /// State events that are kept for who comes back.
    pub ring: usize,
}

impl Default for BusLimits {
    /// Some seconds at full rate.
    fn default() -> Self {
        Self { batch: 256, behind: 256, ring: 16_384 }
    }
}

/// The state at one moment, and which events are in it.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub view: View,
    /// The last event in it.
    pub as_of: AsOf,
}

/// The bus before it runs.
pub struct Bus {
    shared: Arc<Shared>,
    queue_rx: mpsc::UnboundedReceiver<Queued>,
    snapshot: watch::Sender<Snapshot>,
    batch_limit: usize,
    transitions: watch::Sender<Transitions>,
}

impl Bus {
    /// A bus whose task is not running yet; events wait for it.
    pub fn new(options: BusOptions) -> Self {
        Self::with_limits(options, BusLimits::default())
    }

    /// The same with other limits.
    pub fn with_limits(options: BusOptions, limits: BusLimits) -> Self {
        // Unbounded as a channel, bounded by the counters of `Lanes`.
        let (queue, queue_rx) = mpsc::unbounded_channel();
        let as_of = AsOf { epoch: options.epoch, seq: 0 };
        let shared = Shared {
            queue,
            clock: options.clock,
            waiting: Lanes::default(),
            dropped: Lanes::default(),
            lost: AtomicU64::new(0),
            probe_listeners: AtomicUsize::new(usize::from(options.log_level == Level::Debug)),
            outlet: Outlet::new(as_of, limits),
        };
        Self {
            shared: Arc::new(shared),
            queue_rx,
            snapshot: watch::Sender::new(Snapshot { view: View::default(), as_of }),
            batch_limit: limits.batch,
            transitions: watch::Sender::default(),
        }
    }

    /// The handle through which rooms emit.
    pub fn events(&self) -> Events {
        Events::new(Arc::clone(&self.shared) as Arc<dyn EventSink>)
    }

    /// Makes subscriptions, also while the bus runs.
    pub fn subscriber(&self) -> Subscriber {
        Subscriber::new(Arc::clone(&self.shared))
    }

    /// The state, at most one batch old. Reading it holds up nobody but the bus's own task, for as long as a copy
    /// takes.
    pub fn snapshots(&self) -> watch::Receiver<Snapshot> {
        self.snapshot.subscribe()
    }

    /// How often each Backend changed its state.
    pub(crate) fn transitions(&self) -> watch::Receiver<Transitions> {
        self.transitions.subscribe()
    }

    /// Registers the metrics of the state, `maglev_events_dropped_total{lane}` and the subscriptions' counters.
    ///
    /// # Errors
    /// If the registry has them already.
    pub fn register(&self, registry: &Registry) -> Result<(), Error> {
        let rejected = |name| move |source| Error::Metric { name, source };
        let dropped = rejected("maglev_events_dropped_total");
        let metrics = Metrics::new(Arc::clone(&self.shared)).map_err(dropped)?;
        registry.register(Box::new(metrics)).map_err(dropped)?;
        let of_view = rejected("maglev_backend_state");
        let metrics = ViewMetrics::new(self.snapshots(), self.transitions(), self.shared.clock);
        registry.register(Box::new(metrics.map_err(of_view)?)).map_err(of_view)
    }

    /// Hands events out until `shutdown`, then those that are still queued.
    pub fn run(mut self, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        async move {
            let view = self.snapshot.borrow().view.clone();
            let (shared, limit) = (Arc::clone(&self.shared), self.batch_limit);
            let mut worker = Worker {
                shared,
                snapshot: self.snapshot,
                view,
                published: self.transitions,
                transitions: Transitions::default(),
                batch: Vec::new(),
                limit,
                due: None,
                told: 0,
            };
            let mut received = Vec::with_capacity(limit);
            loop {
                tokio::select! {
                    () = shutdown.cancelled() => break,
                    // `self.shared` holds a sender, so the queue never ends.
                    _ = self.queue_rx.recv_many(&mut received, limit) => {
                        received.drain(..).for_each(|queued| worker.take(queued));
                    }
                    () = sleep_until(worker.due.unwrap_or_else(Instant::now)), if worker.due.is_some() => worker.flush(),
                }
            }
            while let Ok(queued) = self.queue_rx.try_recv() {
                worker.take(queued);
            }
            worker.flush();
            self.shared.outlet.close();
        }
        .boxed()
    }
}

/// One number for each lane.
#[derive(Default)]
struct Lanes<T> {
    state: T,
    probe: T,
}

impl<T> Lanes<T> {
    fn of(&self, lane: Lane) -> &T {
        match lane {
            Lane::State => &self.state,
            Lane::Probe => &self.probe,
        }
    }
}

/// Something emitted, stamped and not yet numbered.
struct Queued {
    time: Timestamp,
    lane: Lane,
    event: Option<Event>,
    change: Option<Change>,
}

pub struct Shared {
    queue: mpsc::UnboundedSender<Queued>,
    clock: fn() -> Timestamp,
    waiting: Lanes<AtomicUsize>,
    dropped: Lanes<AtomicU64>,
    /// Events that slow subscriptions have lost.
    lost: AtomicU64,
    probe_listeners: AtomicUsize,
    outlet: Outlet,
}

impl Shared {
    fn queue(&self, lane: Lane, event: Option<Event>, change: Option<Change>) {
        let limit = match lane {
            Lane::State => STATE_LIMIT,
            Lane::Probe => PROBE_LIMIT,
        };
        let waiting = self.waiting.of(lane);
        if waiting.fetch_add(1, Ordering::Relaxed) >= limit {
            waiting.fetch_sub(1, Ordering::Relaxed);
            self.dropped.of(lane).fetch_add(1, Ordering::Relaxed);
            return;
        }
        // Fails only after the bus has ended, with the process.
        let _ = self.queue.send(Queued { time: (self.clock)(), lane, event, change });
    }
}

impl EventSink for Shared {
    fn wants_probes(&self) -> bool {
        self.probe_listeners.load(Ordering::Relaxed) > 0
    }

    fn publish(&self, event: Event) {
        self.queue(event.lane(), Some(event), None);
    }

    fn publish_change(&self, event: Option<Event>, change: Change) {
        self.queue(Lane::State, event, Some(change));
    }
}

/// The task's own state.
struct Worker {
    shared: Arc<Shared>,
    snapshot: watch::Sender<Snapshot>,
    view: View,
    published: watch::Sender<Transitions>,
    transitions: Transitions,
    /// What the next batch has so far.
    batch: Vec<Arc<Stamped>>,
    /// How many it may have.
    limit: usize,
    /// When it is handed out.
    due: Option<Instant>,
    /// Drops that the log has been told of.
    told: u64,
}

impl Worker {
    fn take(&mut self, Queued { time, lane, event, change }: Queued) {
        self.shared.waiting.of(lane).fetch_sub(1, Ordering::Relaxed);
        if let Some(event) = &event {
            log::tell(time, event);
        }
        if let Some(change) = &change {
            self.view.apply(change, time);
        }
        self.transitions.count(event.as_ref(), change.as_ref());
        let seq = (lane == Lane::State).then(|| self.shared.outlet.next_seq());
        self.batch.push(Arc::new(Stamped { seq, time, event, change }));
        self.due.get_or_insert_with(|| Instant::now() + BATCH_DELAY);
        if self.batch.len() >= self.limit {
            self.flush();
        }
        self.tell_drops();
    }

    fn flush(&mut self) {
        self.due = None;
        self.published.send_replace(self.transitions.clone());
        let snapshot = |as_of| {
            self.snapshot.send_replace(Snapshot { view: self.view.clone(), as_of });
        };
        self.shared.outlet.hand_out(std::mem::take(&mut self.batch), snapshot);
    }

    fn tell_drops(&mut self) {
        let dropped = &self.shared.dropped;
        let (state, probe) = (dropped.state.load(Ordering::Relaxed), dropped.probe.load(Ordering::Relaxed));
        // Once the queue has drained, so that a flood is told once.
        if state + probe > self.told && self.shared.waiting.probe.load(Ordering::Relaxed) == 0 {
            tracing::warn!(count = state + probe - self.told, state, probe, "events-dropped");
            self.told = state + probe;
        }
    }
}
