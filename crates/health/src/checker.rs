//! The scheduling: one probe loop per backend, all on one thread, driven by the configuration.
//!
//! All work happens between two waits, in one place: a configuration is applied, a result is counted, due probes start,
//! a batch is published. A probe that a change made meaningless is dropped in the same step, so that its result cannot
//! arrive late.

mod backend_loop;
mod probe_queue;
mod reconcile;
mod results;
mod shared_probes;
mod start_grid;
mod start_queue;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, time::Duration};

use fastrand::Rng;
use futures::FutureExt;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use maglev_model::{
    config::Config,
    event::{Event, Events},
    health::HealthSnapshot,
    name::Name,
    vip::Family,
};
use maglev_net::LogThrottle;

use self::{
    backend_loop::BackendLoop,
    probe_queue::{ProbeQueue, QueueEvent},
    shared_probes::{SharedProbes, SharedTarget},
    start_grid::StartGrid,
    start_queue::{Next, StartQueue},
};
use super::{
    HealthOptions, loop_beat,
    per_family::PerFamily,
    probe_path::{ProbePath, SUSPECT_SPREAD},
    prober::{ProbeTarget, Prober},
    publisher::Publisher,
    starvation::StarvationMonitor,
};

/// Probes started at once, before the queue is polled again.
const BATCH: usize = 32;

/// The probes of one address family.
#[derive(Debug, Default)]
struct FamilyProbes {
    path: ProbePath,
    /// The number of probed targets. Backends that share their probes are one.
    probed: usize,
}

/// Schedules the probes of every backend and publishes their results.
pub struct Checker<P> {
    prober: P,
    config_rx: watch::Receiver<Option<Config>>,
    events: Events,
    options: HealthOptions,
    rng: Rng,
    /// The configuration in force; `None` before the first one.
    config: Option<Config>,
    loops: HashMap<Name, BackendLoop>,
    shared: SharedProbes,
    /// The next probes, of loops without a probe in flight.
    starts: StartQueue,
    grid: StartGrid,
    queue: ProbeQueue,
    families: PerFamily<FamilyProbes>,
    publisher: Publisher,
    starvation: StarvationMonitor,
    log_throttle: LogThrottle,
    /// True while due probes wait for slots.
    is_limited: bool,
    next_beat: Instant,
}

/// The reason for the end of a wait.
enum WakeReason {
    Shutdown,
    Config,
    ConfigClosed,
    Queue(QueueEvent),
    Timer,
}

impl<P: Prober> Checker<P> {
    pub fn new(
        prober: P,
        options: HealthOptions,
        config_rx: watch::Receiver<Option<Config>>,
        events: Events,
        snapshot_tx: watch::Sender<HealthSnapshot>,
    ) -> Self {
        Self {
            prober,
            config_rx,
            rng: Rng::with_seed(options.seed),
            config: None,
            loops: HashMap::new(),
            shared: SharedProbes::default(),
            starts: StartQueue::new(options.max_in_flight),
            grid: StartGrid::new(Instant::now()),
            queue: ProbeQueue::default(),
            families: PerFamily::default(),
            publisher: Publisher::new(snapshot_tx, events.clone(), options.clock, 0),
            starvation: StarvationMonitor::default(),
            log_throttle: LogThrottle::default(),
            is_limited: false,
            next_beat: Instant::now(),
            events,
            options,
        }
    }

    /// Probes until `shutdown`.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut config_open = true;
        self.take_config();
        loop {
            self.beat(Instant::now());
            self.start_due();
            self.publisher.publish(Instant::now());
            let reason = self.wait(config_open, &shutdown).await;
            match reason {
                WakeReason::Shutdown => break,
                WakeReason::Config => self.take_config(),
                WakeReason::ConfigClosed => config_open = false,
                WakeReason::Queue(QueueEvent::Finished(probe)) => {
                    self.starts.finish(&probe.name);
                    self.finish(probe, Instant::now());
                }
                WakeReason::Queue(QueueEvent::Aborted(name)) => self.starts.finish(&name),
                WakeReason::Queue(QueueEvent::Tick(due)) => self.tick(due, Instant::now()),
                WakeReason::Timer => {}
            }
        }
        self.options.beat.end();
    }

    fn beat(&mut self, now: Instant) {
        if now >= self.next_beat {
            self.options.beat.beat(now - self.next_beat);
            self.next_beat = now + loop_beat::INTERVAL;
        }
    }

    /// The time of the next probe, publication or beat.
    fn next_deadline(&self) -> Instant {
        let start = self.starts.next_at(Instant::now());
        [start, self.publisher.due()].into_iter().flatten().fold(self.next_beat, Instant::min)
    }

    async fn wait(&mut self, config_open: bool, shutdown: &CancellationToken) -> WakeReason {
        // Most probes finish together with others: their results need no timer and no registration for other events.
        let is_interrupted =
            shutdown.is_cancelled() || (config_open && !matches!(self.config_rx.has_changed(), Ok(false)));
        if !is_interrupted && let Some(event) = self.queue.next().now_or_never() {
            return WakeReason::Queue(event);
        }
        let deadline = self.next_deadline();
        // The order matters: a probe that a new configuration ends must not be counted first, and a finished probe must
        // not lose against a timer.
        tokio::select! {
            biased;
            () = shutdown.cancelled() => WakeReason::Shutdown,
            changed = self.config_rx.changed(), if config_open => {
                if changed.is_ok() { WakeReason::Config } else { WakeReason::ConfigClosed }
            }
            event = self.queue.next() => WakeReason::Queue(event),
            () = sleep_until(deadline) => WakeReason::Timer,
        }
    }

    /// Records the delay of a tick, which is the delay of all other work in the queue.
    fn tick(&mut self, due: Instant, now: Instant) {
        self.starvation.record_tick(due, now);
        if self.queue.has_probes() {
            self.queue.schedule_tick(now + self.starvation.tick_interval());
        }
    }

    fn take_config(&mut self) {
        let config = self.config_rx.borrow_and_update().clone();
        if let Some(config) = config {
            self.reconcile(config);
        }
    }

    /// Starts due probes, a batch at a time, so that probes in flight make progress in between.
    fn start_due(&mut self) {
        if !self.queue.is_drained() {
            return;
        }
        let now = Instant::now();
        for _ in 0..BATCH {
            match self.starts.next(now) {
                Next::Start(due, name) => self.start_probe(name, due, now),
                Next::NoneDue => {
                    self.is_limited = false;
                    return;
                }
                Next::Limited(namespace) => {
                    self.report_limit(&namespace);
                    return;
                }
            }
        }
    }

    /// Reports, once per episode, that due probes of `namespace` wait for slots.
    fn report_limit(&mut self, namespace: &str) {
        if std::mem::replace(&mut self.is_limited, true) {
            return;
        }
        self.options.metrics.limited.inc();
        if let Some(suppressed) = self.log_throttle.admit("limited") {
            let limit = self.options.max_in_flight;
            tracing::warn!(
                namespace,
                limit,
                suppressed,
                "due probes wait because the namespace has used its share of the maximum number of probes in flight"
            );
        }
    }

    fn start_probe(&mut self, name: Name, due: Instant, now: Instant) {
        let (Some(config), Some(backend_loop)) = (&self.config, self.loops.get_mut(&name)) else {
            self.starts.finish(&name);
            return;
        };
        backend_loop.due = None;
        let Some(check) = backend_loop.check().cloned() else {
            self.starts.finish(&name);
            return;
        };
        self.options.metrics.start_delay.observe((now - due).as_secs_f64());
        if let Some(metrics) = &backend_loop.metrics {
            metrics.start_delay.observe((now - due).as_secs_f64());
        }
        let kind = check.probe.type_name();
        let source = config.node.probe.source(backend_loop.family());
        self.events.emit_probe(|| Event::ProbeStart { backend: name.clone(), kind });
        if let Some(target) = SharedTarget::new(&backend_loop.backend) {
            for follower in self.shared.followers(&target) {
                self.events.emit_probe(|| Event::ProbeStart { backend: follower.clone(), kind });
            }
        }
        let target = ProbeTarget { address: backend_loop.backend.address, source, check };
        let probe = self.prober.probe(target, backend_loop.connection.take());
        backend_loop.in_flight = Some(self.queue.start(name, probe, now, self.starvation.sample(now)));
        self.queue.schedule_tick(now + self.starvation.tick_interval());
    }

    /// Probes every backend of `family` within [`SUSPECT_SPREAD`].
    fn probe_family(&mut self, family: Family, now: Instant) {
        for name in self.waiting(family, usize::MAX, |_| true) {
            let soon = now + SUSPECT_SPREAD.mul_f64(self.rng.f64());
            if self.loops.get(&name).and_then(|backend_loop| backend_loop.due).is_some_and(|due| due > soon) {
                self.schedule_at(&name, soon);
            }
        }
    }

    /// Probes at once up to `limit` backends of `family` that match `filter`, the next due first. Backends with a probe
    /// in flight need no other probe.
    fn probe_now(&mut self, family: Family, now: Instant, limit: usize, filter: impl Fn(&BackendLoop) -> bool) {
        for name in self.waiting(family, limit, filter) {
            self.schedule_at(&name, now);
        }
    }

    /// Up to `limit` backends of `family` that match `filter` and wait for their next probe, the next due first.
    fn waiting(&self, family: Family, limit: usize, filter: impl Fn(&BackendLoop) -> bool) -> Vec<Name> {
        let matches = |name: &Name| {
            self.loops.get(name).is_some_and(|backend_loop| backend_loop.family() == family && filter(backend_loop))
        };
        self.starts.iter().filter(|name| matches(name)).take(limit).cloned().collect()
    }

    /// Schedules the next probe of `name` for `delay` ± 10 % after `from`, on the grid, but not before `now`.
    fn schedule(&mut self, name: &Name, from: Instant, delay: Duration, now: Instant) {
        let jittered = delay.mul_f64(0.9 + 0.2 * self.rng.f64());
        self.schedule_at(name, self.grid.nearest(from + jittered, delay).max(now));
    }

    fn schedule_at(&mut self, name: &Name, at: Instant) {
        let Some(backend_loop) = self.loops.get_mut(name) else { return };
        if let Some(due) = backend_loop.due.replace(at) {
            self.starts.remove(due, name);
        }
        self.starts.insert(at, name);
    }
}
