//! The event bus: all crates emit events; one task numbers, logs, folds and distributes them.
//!
//! ```text
//! Events::emit ────────┐                          ┌─▶ log
//! Events::emit_change ─┴▶ queue ─▶ Worker: number ┼─▶ View ─▶ ViewSnapshot (watch)
//!                                                 └─▶ EventBatch (20 ms or 256) ─▶ ring buffer, subscriptions
//! ```
//!
//! There are two lanes. State events are numbered, folded into the [`View`] and retained for a while, so that a
//! reconnecting subscriber can resume. Events of the probe lane reach only current subscribers, and are the first to be
//! dropped. Emitting never blocks: an event is stamped and queued. A slow subscription loses its oldest batches and
//! receives the number of lost events; it never delays other subscriptions or emitters.

mod batch;
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
use prometheus::{
    IntCounter, Opts, Registry,
    core::{Collector, Desc},
    proto::MetricFamily,
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use self::subscription::Distributor;
pub(crate) use self::transitions::Transitions;
pub use self::{
    batch::{AsOf, EncodedBatch, EventBatch, Stamped},
    subscription::{Received, ResyncRequired, Subscriber, Subscription},
};
use super::{Error, log, view_metrics::ViewMetrics};
use maglev_model::{
    change::Change,
    event::{Event, EventSink, Events, Lane, Level},
    view::{Fold as _, View},
};

/// The maximum number of queued state events, far more than one sync can cause. If more are queued, the process has
/// stalled; dropped events are counted and logged.
const STATE_LIMIT: usize = 1 << 20;
/// The maximum number of queued events of the probe lane.
const PROBE_LIMIT: usize = 8192;
/// A batch is distributed this long after its first event, or once it is full.
const BATCH_DELAY: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug)]
pub struct BusOptions {
    /// The minimum level of the log. At `Debug`, the log receives the probe lane.
    pub log_level: Level,
    /// The clock that stamps events.
    pub clock: fn() -> Timestamp,
    /// A random number that identifies this run of the program; compared for equality only.
    pub epoch: u64,
}

/// Sizes of the bus's buffers.
#[derive(Clone, Copy, Debug)]
pub struct BusLimits {
    /// The maximum number of events in a batch.
    pub batch_events: usize,
    /// The maximum number of batches queued for a subscription; further batches replace the oldest.
    pub queued_batches: usize,
    /// State events retained for reconnecting subscribers.
    pub retained_events: usize,
}

impl Default for BusLimits {
    /// Buffers for some seconds at full rate.
    fn default() -> Self {
        Self { batch_events: 256, queued_batches: 256, retained_events: 16_384 }
    }
}

/// The state after a certain event.
#[derive(Clone, Debug)]
pub struct ViewSnapshot {
    pub view: View,
    /// The last event that is folded into the view.
    pub as_of: AsOf,
}

/// The bus before its task runs.
pub struct Bus {
    shared: Arc<BusShared>,
    queue_rx: mpsc::UnboundedReceiver<Queued>,
    snapshot: watch::Sender<ViewSnapshot>,
    batch_limit: usize,
    transitions: watch::Sender<Transitions>,
}

impl Bus {
    /// A bus with default limits. Events are queued until [`run`](Self::run).
    pub fn new(options: BusOptions) -> Self {
        Self::with_limits(options, BusLimits::default())
    }

    pub fn with_limits(options: BusOptions, limits: BusLimits) -> Self {
        // Unbounded as a channel, bounded by the counters of `Lanes`.
        let (queue, queue_rx) = mpsc::unbounded_channel();
        let as_of = AsOf { epoch: options.epoch, seq: 0 };
        let shared = BusShared {
            queue,
            clock: options.clock,
            waiting: Lanes::default(),
            dropped: Lanes::default(),
            lost: AtomicU64::new(0),
            probe_listeners: AtomicUsize::new(usize::from(options.log_level == Level::Debug)),
            distributor: Distributor::new(as_of, limits),
        };
        Self {
            shared: Arc::new(shared),
            queue_rx,
            snapshot: watch::Sender::new(ViewSnapshot { view: View::default(), as_of }),
            batch_limit: limits.batch_events,
            transitions: watch::Sender::default(),
        }
    }

    /// The handle through which other crates emit.
    pub fn events(&self) -> Events {
        Events::new(Arc::clone(&self.shared) as Arc<dyn EventSink>)
    }

    /// A factory of subscriptions, also usable while the bus runs.
    pub fn subscriber(&self) -> Subscriber {
        Subscriber::new(Arc::clone(&self.shared))
    }

    /// The state, at most one batch old. Reading blocks only the bus's own task, and only while the state is copied.
    pub fn snapshots(&self) -> watch::Receiver<ViewSnapshot> {
        self.snapshot.subscribe()
    }

    /// The number of state transitions of each Backend.
    pub(crate) fn transitions(&self) -> watch::Receiver<Transitions> {
        self.transitions.subscribe()
    }

    /// Registers the metrics of the state, `maglev_events_dropped_total{lane}` and the subscriptions' counters.
    ///
    /// # Errors
    /// The registry has a metric of one of the names already.
    pub fn register(&self, registry: &Registry) -> Result<(), Error> {
        let rejected = |name| move |source| Error::Metric { name, source };
        let dropped = rejected("maglev_events_dropped_total");
        let metrics = BusMetrics::new(Arc::clone(&self.shared)).map_err(dropped)?;
        registry.register(Box::new(metrics)).map_err(dropped)?;
        let rejected_view = rejected("maglev_backend_state");
        let metrics = ViewMetrics::new(self.snapshots(), self.transitions(), self.shared.clock);
        registry.register(Box::new(metrics.map_err(rejected_view)?)).map_err(rejected_view)
    }

    /// Distributes events until `shutdown`, and then all events that are still queued.
    pub fn run(mut self, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        async move {
            let view = self.snapshot.borrow().view.clone();
            let (shared, limit) = (Arc::clone(&self.shared), self.batch_limit);
            let mut worker = Worker {
                shared,
                snapshot: self.snapshot,
                view,
                transitions_tx: self.transitions,
                transitions: Transitions::default(),
                batch: Vec::new(),
                limit,
                due: None,
                reported_drops: 0,
            };
            let mut received = Vec::with_capacity(limit);
            loop {
                tokio::select! {
                    () = shutdown.cancelled() => break,
                    // `self.shared` holds a sender, so the channel is never closed.
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
            self.shared.distributor.close();
        }
        .boxed()
    }
}

/// One value for each lane.
#[derive(Default)]
struct Lanes<T> {
    state: T,
    probe: T,
}

impl<T> Lanes<T> {
    fn get(&self, lane: Lane) -> &T {
        match lane {
            Lane::State => &self.state,
            Lane::Probe => &self.probe,
        }
    }
}

/// An emitted event or change, stamped but not yet numbered.
struct Queued {
    time: Timestamp,
    lane: Lane,
    event: Option<Event>,
    change: Option<Change>,
}

pub struct BusShared {
    queue: mpsc::UnboundedSender<Queued>,
    clock: fn() -> Timestamp,
    waiting: Lanes<AtomicUsize>,
    dropped: Lanes<AtomicU64>,
    /// Events lost by slow subscriptions.
    lost: AtomicU64,
    probe_listeners: AtomicUsize,
    distributor: Distributor,
}

impl BusShared {
    fn queue(&self, lane: Lane, event: Option<Event>, change: Option<Change>) {
        let limit = match lane {
            Lane::State => STATE_LIMIT,
            Lane::Probe => PROBE_LIMIT,
        };
        let waiting = self.waiting.get(lane);
        if waiting.fetch_add(1, Ordering::Relaxed) >= limit {
            waiting.fetch_sub(1, Ordering::Relaxed);
            self.dropped.get(lane).fetch_add(1, Ordering::Relaxed);
            return;
        }
        // Fails only after the end of the bus, when the process ends, too.
        let _ = self.queue.send(Queued { time: (self.clock)(), lane, event, change });
    }
}

impl EventSink for BusShared {
    fn wants_probes(&self) -> bool {
        self.probe_listeners.load(Ordering::Relaxed) > 0
    }

    fn publish(&self, event: Event) {
        let (lane, change) = (event.lane(), event.change());
        self.queue(lane, Some(event), change);
    }

    fn publish_change(&self, change: Change) {
        self.queue(Lane::State, None, Some(change));
    }
}

/// The state of the bus's task.
struct Worker {
    shared: Arc<BusShared>,
    snapshot: watch::Sender<ViewSnapshot>,
    view: View,
    transitions_tx: watch::Sender<Transitions>,
    transitions: Transitions,
    /// The events of the next batch.
    batch: Vec<Arc<Stamped>>,
    /// The maximum number of events in a batch.
    limit: usize,
    /// The time at which the batch is distributed; `None` while it is empty.
    due: Option<Instant>,
    /// The number of dropped events that have been logged.
    reported_drops: u64,
}

impl Worker {
    fn take(&mut self, Queued { time, lane, event, change }: Queued) {
        self.shared.waiting.get(lane).fetch_sub(1, Ordering::Relaxed);
        if let Some(event) = &event {
            log::log_event(time, event);
        }
        if let Some(change) = &change {
            self.view.apply(change, time);
        }
        self.transitions.count(event.as_ref(), change.as_ref());
        let seq = (lane == Lane::State).then(|| self.shared.distributor.next_seq());
        self.batch.push(Arc::new(Stamped { seq, time, event, change }));
        self.due.get_or_insert_with(|| Instant::now() + BATCH_DELAY);
        if self.batch.len() >= self.limit {
            self.flush();
        }
        self.report_drops();
    }

    fn flush(&mut self) {
        self.due = None;
        self.transitions_tx.send_replace(self.transitions.clone());
        let snapshot = |as_of| {
            self.snapshot.send_replace(ViewSnapshot { view: self.view.clone(), as_of });
        };
        self.shared.distributor.distribute(std::mem::take(&mut self.batch), snapshot);
    }

    fn report_drops(&mut self) {
        let dropped = &self.shared.dropped;
        let (state, probe) = (dropped.state.load(Ordering::Relaxed), dropped.probe.load(Ordering::Relaxed));
        // Only with an empty probe queue, so that a flood is logged once.
        if state + probe > self.reported_drops && self.shared.waiting.probe.load(Ordering::Relaxed) == 0 {
            let count = state + probe - self.reported_drops;
            tracing::warn!(count, state, probe, "events were dropped because the event bus was overloaded");
            self.reported_drops = state + probe;
        }
    }
}

/// The counters of the bus, read for each scrape, so that publishing costs no metrics.
struct BusMetrics {
    shared: Arc<BusShared>,
    dropped: Lanes<IntCounter>,
    lost: IntCounter,
}

impl BusMetrics {
    fn new(shared: Arc<BusShared>) -> prometheus::Result<Self> {
        let counter = |lane: &str| {
            let opts =
                Opts::new("maglev_events_dropped_total", "Events that were dropped because their queue was full.");
            IntCounter::with_opts(opts.const_label("lane", lane))
        };
        let lost = IntCounter::new("maglev_events_lost_total", "Events lost by slow subscriptions.")?;
        Ok(Self { shared, dropped: Lanes { state: counter("state")?, probe: counter("probe")? }, lost })
    }
}

fn collect(counter: &IntCounter, current: u64) -> Vec<MetricFamily> {
    counter.inc_by(current.saturating_sub(counter.get()));
    counter.collect()
}

impl Collector for BusMetrics {
    fn desc(&self) -> Vec<&Desc> {
        [&self.dropped.state, &self.dropped.probe, &self.lost].into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let dropped = [Lane::State, Lane::Probe].into_iter().flat_map(|lane| {
            let current = self.shared.dropped.get(lane).load(Ordering::Relaxed);
            collect(self.dropped.get(lane), current)
        });
        dropped.chain(collect(&self.lost, self.shared.lost.load(Ordering::Relaxed))).collect()
    }
}
