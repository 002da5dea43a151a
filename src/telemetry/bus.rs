//! The event bus: every event of the process goes through it, in the order of emission.
//!
//! [`Bus::events`] is the handle for the rooms; it never blocks. [`Bus::run`] is the one task that
//! hands events to their consumers: the log, and subscriptions within the process. The task itself
//! only moves memory: the log has its own thread and a subscription drops its oldest, so the task
//! always keeps up with its queue. Numbering, the ring for replay and the mirrored state belong
//! between queue and consumers, in `Worker::hand_out`.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use futures::{FutureExt as _, future::BoxFuture};
use jiff::Timestamp;
use prometheus::{IntCounter, Registry, core::Collector, core::Desc, proto::MetricFamily};
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;

use crate::model::event::{Event, EventSink, Events, Lane, Level};

use super::{Error, log};

/// State events that may wait for the task. Far more than one pass can cause; a process that has so
/// many waiting has stalled, and the loss is counted and told.
const STATE_LIMIT: usize = 1 << 20;
/// Events of the probe lane that may wait: they are the first to be dropped.
const PROBE_LIMIT: usize = 8192;
/// Events that a subscription may be behind before it loses its oldest.
const SUBSCRIPTION_LIMIT: usize = 4096;

/// An event and when it was emitted.
#[derive(Clone, Debug, PartialEq)]
pub struct Stamped {
    /// When it was emitted.
    pub time: Timestamp,
    /// What happened.
    pub event: Event,
}

/// What the bus is told at its start.
#[derive(Clone, Copy, Debug)]
pub struct BusOptions {
    /// The log's level: at `Debug` the log listens to the probe lane.
    pub log_level: Level,
    /// The clock that stamps events.
    pub clock: fn() -> Timestamp,
}

/// The bus before it runs.
pub struct Bus {
    shared: Arc<Shared>,
    queue_rx: mpsc::UnboundedReceiver<Stamped>,
}

impl Bus {
    /// A bus whose task is not running yet; events wait for it.
    #[must_use]
    pub fn new(options: BusOptions) -> Self {
        // Unbounded as a channel, bounded by the counters of `Lanes`.
        let (queue, queue_rx) = mpsc::unbounded_channel();
        let (subscribers, _) = broadcast::channel(SUBSCRIPTION_LIMIT);
        let shared = Shared {
            queue,
            clock: options.clock,
            waiting: Lanes::default(),
            dropped: Lanes::default(),
            probe_listeners: AtomicUsize::new(usize::from(options.log_level == Level::Debug)),
            subscribers,
        };
        Self { shared: Arc::new(shared), queue_rx }
    }

    /// The handle through which rooms emit.
    #[must_use]
    pub fn events(&self) -> Events {
        Events::new(Arc::clone(&self.shared) as Arc<dyn EventSink>)
    }

    /// Makes subscriptions, also while the bus runs.
    #[must_use]
    pub fn subscriber(&self) -> Subscriber {
        Subscriber(Arc::clone(&self.shared))
    }

    /// Registers `maglev_events_dropped_total{lane}`.
    ///
    /// # Errors
    /// If the registry has them already.
    pub fn register(&self, registry: &Registry) -> Result<(), Error> {
        let name = "maglev_events_dropped_total";
        let metrics = Metrics::new(Arc::clone(&self.shared)).map_err(|source| Error::Metric { name, source })?;
        registry.register(Box::new(metrics)).map_err(|source| Error::Metric { name, source })
    }

    /// Hands events out until `shutdown`, then those that are still queued.
    #[must_use]
    pub fn run(mut self, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        async move {
            let mut worker = Worker { shared: Arc::clone(&self.shared), told: 0 };
            loop {
                tokio::select! {
                    () = shutdown.cancelled() => break,
                    stamped = self.queue_rx.recv() => {
                        // `self.shared` holds a sender, so the queue never ends.
                        let Some(stamped) = stamped else { break };
                        worker.hand_out(stamped);
                    }
                }
            }
            while let Ok(stamped) = self.queue_rx.try_recv() {
                worker.hand_out(stamped);
            }
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

struct Shared {
    queue: mpsc::UnboundedSender<Stamped>,
    clock: fn() -> Timestamp,
    waiting: Lanes<AtomicUsize>,
    dropped: Lanes<AtomicU64>,
    probe_listeners: AtomicUsize,
    subscribers: broadcast::Sender<Arc<Stamped>>,
}

impl EventSink for Shared {
    fn wants_probes(&self) -> bool {
        self.probe_listeners.load(Ordering::Relaxed) > 0
    }

    fn publish(&self, event: Event) {
        let lane = event.lane();
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
        let _ = self.queue.send(Stamped { time: (self.clock)(), event });
    }
}

/// The task's own state.
struct Worker {
    shared: Arc<Shared>,
    /// Drops that the log has been told of.
    told: u64,
}

impl Worker {
    fn hand_out(&mut self, stamped: Stamped) {
        self.shared.waiting.of(stamped.event.lane()).fetch_sub(1, Ordering::Relaxed);
        log::tell(&stamped);
        if self.shared.subscribers.receiver_count() > 0 {
            let _ = self.shared.subscribers.send(Arc::new(stamped));
        }
        self.tell_drops();
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

/// Makes subscriptions.
#[derive(Clone)]
pub struct Subscriber(Arc<Shared>);

impl Subscriber {
    /// Events from now on, from `level` up. At `Debug` the probe lane is built for it.
    #[must_use]
    pub fn subscribe(&self, level: Level) -> Subscription {
        if level == Level::Debug {
            self.0.probe_listeners.fetch_add(1, Ordering::Relaxed);
        }
        Subscription { shared: Arc::clone(&self.0), level, events_rx: self.0.subscribers.subscribe() }
    }
}

/// What a subscription hands over.
#[derive(Clone, Debug, PartialEq)]
pub enum Received {
    /// The next event.
    Event(Arc<Stamped>),
    /// The subscription was too slow and lost so many of its oldest events.
    Lost(u64),
}

/// Events for one consumer within the process. A slow one loses its oldest and is told.
pub struct Subscription {
    shared: Arc<Shared>,
    level: Level,
    events_rx: broadcast::Receiver<Arc<Stamped>>,
}

impl Subscription {
    /// The next event; `None` once the bus has ended.
    pub async fn next(&mut self) -> Option<Received> {
        loop {
            match self.events_rx.recv().await {
                Ok(stamped) if stamped.event.level() < self.level => {}
                Ok(stamped) => return Some(Received::Event(stamped)),
                Err(broadcast::error::RecvError::Lagged(count)) => return Some(Received::Lost(count)),
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

/// The bus's counters as Prometheus sees them: read when asked, so that publishing pays nothing.
struct Metrics {
    shared: Arc<Shared>,
    dropped: Lanes<IntCounter>,
}

impl Metrics {
    fn new(shared: Arc<Shared>) -> prometheus::Result<Self> {
        let counter = |lane: &str| {
            let opts = prometheus::Opts::new("maglev_events_dropped_total", "Events that found their queue full.");
            IntCounter::with_opts(opts.const_label("lane", lane))
        };
        Ok(Self { shared, dropped: Lanes { state: counter("state")?, probe: counter("probe")? } })
    }
}

impl Collector for Metrics {
    fn desc(&self) -> Vec<&Desc> {
        [&self.dropped.state, &self.dropped.probe].into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        [Lane::State, Lane::Probe]
            .into_iter()
            .flat_map(|lane| {
                let counter = self.dropped.of(lane);
                let now = self.shared.dropped.of(lane).load(Ordering::Relaxed);
                counter.inc_by(now.saturating_sub(counter.get()));
                counter.collect()
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bus(log_level: Level) -> Bus {
        Bus::new(BusOptions { log_level, clock: || Timestamp::UNIX_EPOCH })
    }

    fn disconnect(n: usize) -> Event {
        Event::VppDisconnect { reason: n.to_string() }
    }

    #[tokio::test]
    async fn events_arrive_in_the_order_of_emission_also_those_queued_at_the_end() {
        let bus = bus(Level::Info);
        let (events, mut subscription) = (bus.events(), bus.subscriber().subscribe(Level::Info));
        for n in 0..100 {
            events.emit(disconnect(n));
        }
        let shutdown = CancellationToken::new();
        shutdown.cancel();
        bus.run(shutdown).await;
        for n in 0..100 {
            let Some(Received::Event(stamped)) = subscription.next().await else { panic!("event {n} is missing") };
            assert_eq!(stamped.event, disconnect(n));
        }
    }

    #[tokio::test]
    async fn the_probe_lane_is_built_only_while_somebody_listens_at_debug() {
        let bus = bus(Level::Info);
        let (events, subscriber) = (bus.events(), bus.subscriber());
        let probe = || Event::VppApiSend { msg: "lb_vip_dump" };
        let info = subscriber.subscribe(Level::Info);
        events.emit_probe(|| panic!("built for nobody"));
        let debug = subscriber.subscribe(Level::Debug);
        let mut built = false;
        events.emit_probe(|| {
            built = true;
            probe()
        });
        assert!(built);
        drop(debug);
        events.emit_probe(|| panic!("built for nobody"));
        drop(info);
        assert!(self::bus(Level::Debug).shared.wants_probes());
    }

    #[tokio::test]
    async fn a_flood_of_probes_is_dropped_and_counted_and_state_events_stay() {
        let bus = bus(Level::Debug);
        let (events, registry) = (bus.events(), Registry::new());
        bus.register(&registry).expect("a fresh registry");
        for _ in 0..PROBE_LIMIT + 7 {
            events.emit_probe(|| Event::VppApiSend { msg: "lb_vip_dump" });
        }
        events.emit(disconnect(1));
        let mut subscription = bus.subscriber().subscribe(Level::Info);
        let shutdown = CancellationToken::new();
        shutdown.cancel();
        bus.run(shutdown).await;
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).expect("valid metrics");
        assert!(text.contains("maglev_events_dropped_total{lane=\"probe\"} 7"), "{text}");
        assert!(text.contains("maglev_events_dropped_total{lane=\"state\"} 0"), "{text}");
        // The subscription was overrun by probes it does not want, and is told; the state event is there.
        let mut last = None;
        while let Some(received) = subscription.next().await {
            last = Some(received);
            if matches!(last, Some(Received::Event(_))) {
                break;
            }
        }
        let Some(Received::Event(stamped)) = last else { panic!("the state event is missing") };
        assert_eq!(stamped.event, disconnect(1));
    }
}
