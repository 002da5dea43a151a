//! The VIP-path probe: finds out if the packets of a VIP reach the backends' servers, and the answers come back directly.
//!
//! ```text
//!  this node                                  backend
//!  SYN to the VIP in GRE ───────────────────▶ decapsulation ─▶ VIP on lo ─▶ server
//!            ◀──────────────────── SYN-ACK from the VIP, without a tunnel ──┘
//!  RST to the VIP in GRE ───────────────────▶ connection closed
//! ```
//!
//! One task sends for all paths, on the thread of the probes. Each path has one timer: the start of its next SYN, or the
//! timeout of the one in flight. So the cost is proportional to the probes that are due. The path passes neither VPP nor its
//! routes: the probe does not see a fault there.

mod metrics;
mod network;
mod node_paths;
mod outcome;
mod packet;
mod pair;
mod reconcile;
mod requests;
mod required;
mod sent_syns;
mod target;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, HashMap},
    future::poll_fn,
    net::IpAddr,
    time::Duration,
};

use fastrand::Rng;
use jiff::Timestamp;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use maglev_model::{
    config::Config,
    event::Events,
    health::HealthSnapshot,
    path::{PathHealth, PathKey},
};
use maglev_net::LogThrottle;

pub use self::{
    metrics::PathMetrics,
    network::RawSockets,
    requests::{FoundPath, PathProber},
};
use self::{
    network::{PathNetwork, SendError},
    node_paths::NodePaths,
    packet::{Answer, Flow, Reply},
    pair::{Pair, SynResult, SynSize},
    requests::{PathRequest, PathRequests},
    required::RequiredPaths,
    sent_syns::{SentSyn, SentSyns},
    target::PathTarget,
};
use super::{
    per_family::PerFamily,
    probe_path::ProbePath,
    starvation::{Sample, StarvationMonitor},
    suspicion::SuccessCount,
};

/// A SYN without an answer after this time is lost: the time after which TCP repeats it.
const TIMEOUT: Duration = Duration::from_secs(1);
/// SYNs that are sent at once.
const BURST: usize = 8;
/// The time between two bursts, and between first probes of paths that start together.
const GAP: Duration = Duration::from_millis(1);
/// SYNs start at multiples of this time, so that few wake-ups serve many paths.
const GRID: Duration = Duration::from_millis(50);

/// Probes the paths of all Frontends.
pub struct PathChecker<N> {
    network: N,
    config_rx: watch::Receiver<Option<Config>>,
    events: Events,
    clock: fn() -> Timestamp,
    metrics: PathMetrics,
    rng: Rng,
    /// The configuration in force; `None` before the first one.
    config: Option<Config>,
    paths: HashMap<PathKey, PathLoop>,
    node_paths: NodePaths,
    /// The timer of each path.
    timers: BTreeSet<(Instant, PathKey)>,
    /// The origin of the grid.
    origin: Instant,
    /// No SYN is sent before.
    next_burst: Instant,
    sent: SentSyns,
    in_flight: usize,
    families: PerFamily<ProbePath>,
    required: RequiredPaths,
    requests: PathRequests,
    starvation: StarvationMonitor,
    /// The next tick of `starvation`, while SYNs are in flight.
    tick: Option<Instant>,
    log_throttle: LogThrottle,
}

/// The probing of one path.
struct PathLoop {
    target: PathTarget,
    pair: Pair,
    timer: Instant,
    in_flight: Option<InFlightSyn>,
    /// The start of the last SYN.
    last_syn: Option<Instant>,
    /// The address family's success count at the first of the current consecutive failures.
    failing_since: Option<SuccessCount>,
    in_doubt: bool,
    /// True if weights follow the state.
    required: bool,
    /// The state as last published.
    health: PathHealth,
}

struct InFlightSyn {
    sequence: u32,
    started: Instant,
    sample: Sample,
}

enum WakeReason {
    Shutdown,
    Config,
    ConfigClosed,
    Received(IpAddr, Reply),
    Request(PathRequest),
    Timer,
}

impl<N: PathNetwork> PathChecker<N> {
    /// A checker that draws random numbers from `seed` and stamps transitions by `clock`. It publishes the required paths
    /// in `snapshot_tx`, and leaves the other fields of the snapshot to the checker of backends.
    pub fn new(
        network: N,
        config_rx: watch::Receiver<Option<Config>>,
        snapshot_tx: watch::Sender<HealthSnapshot>,
        events: Events,
        metrics: PathMetrics,
        (seed, clock): (u64, fn() -> Timestamp),
    ) -> Self {
        let mut starvation = StarvationMonitor::default();
        starvation.set_shortest_timeout(TIMEOUT);
        Self {
            network,
            config_rx,
            events,
            clock,
            metrics,
            rng: Rng::with_seed(seed),
            config: None,
            paths: HashMap::new(),
            node_paths: NodePaths::default(),
            timers: BTreeSet::new(),
            origin: Instant::now(),
            next_burst: Instant::now(),
            sent: SentSyns::default(),
            in_flight: 0,
            families: PerFamily::default(),
            required: RequiredPaths::new(snapshot_tx),
            requests: PathRequests::default(),
            starvation,
            tick: None,
            log_throttle: LogThrottle::default(),
        }
    }

    /// Takes the requests of `prober`.
    pub fn with_prober(mut self, prober: &PathProber) -> Self {
        self.requests = PathRequests::new(prober.take_requests());
        self
    }

    /// Probes until `shutdown`.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut config_open = true;
        self.take_config();
        loop {
            let deadline = self.fire_timers(Instant::now());
            self.required.publish();
            let Self { network, config_rx, requests, .. } = &mut self;
            // The order matters: an answer that has arrived must not lose against its timeout.
            let reason = tokio::select! {
                biased;
                () = shutdown.cancelled() => WakeReason::Shutdown,
                changed = config_rx.changed(), if config_open => {
                    if changed.is_ok() { WakeReason::Config } else { WakeReason::ConfigClosed }
                }
                (from, reply) = poll_fn(|context| network.poll_receive(context)) => WakeReason::Received(from, reply),
                request = requests.next() => WakeReason::Request(request),
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => WakeReason::Timer,
            };
            match reason {
                WakeReason::Shutdown => break,
                WakeReason::Config => self.take_config(),
                WakeReason::ConfigClosed => config_open = false,
                WakeReason::Request(request) => self.take_request(request, Instant::now()),
                WakeReason::Received(from, reply) => self.receive(from, &reply, Instant::now()),
                WakeReason::Timer => {}
            }
        }
    }

    /// The first time on the grid that is not before `at`.
    fn on_grid(&self, at: Instant) -> Instant {
        let steps = at.saturating_duration_since(self.origin).as_nanos().div_ceil(GRID.as_nanos());
        self.origin + GRID * u32::try_from(steps).unwrap_or(u32::MAX)
    }

    fn schedule(&mut self, key: &PathKey, at: Instant) {
        let Some(path) = self.paths.get_mut(key) else { return };
        self.timers.remove(&(path.timer, key.clone()));
        path.timer = at;
        self.timers.insert((at, key.clone()));
    }

    /// Handles the timers that are due, with at most [`BURST`] new SYNs. Returns the time to go on.
    fn fire_timers(&mut self, now: Instant) -> Option<Instant> {
        if let Some(due) = self.tick.take_if(|due| *due <= now) {
            self.starvation.record_tick(due, now);
        }
        let mut started = 0;
        let mut next = None;
        while let Some((at, key)) = self.timers.first().cloned() {
            next = Some(at);
            if at > now {
                break;
            }
            let in_flight = self.paths.get_mut(&key).and_then(|path| path.in_flight.take());
            if let Some(syn) = in_flight {
                self.timers.pop_first();
                self.in_flight -= 1;
                self.time_out(&key, &syn, now);
            } else if started < BURST && now >= self.next_burst {
                self.timers.pop_first();
                started += 1;
                self.send_syn(&key, now);
            } else {
                if started > 0 {
                    self.next_burst = now + GAP;
                }
                next = Some(self.next_burst);
                break;
            }
            next = None;
        }
        if self.in_flight > 0 {
            self.tick.get_or_insert(now + self.starvation.tick_interval());
        }
        [next, self.tick].into_iter().flatten().min()
    }

    /// A SYN that was not answered in time is lost, unless this process had too little CPU time to receive the answer.
    fn time_out(&mut self, key: &PathKey, syn: &InFlightSyn, now: Instant) {
        if self.starvation.is_starved(syn.sample, TIMEOUT, now) {
            self.metrics.discarded.inc();
            self.schedule(key, now + pair::PACE);
            return;
        }
        self.finish(key, syn.started, SynResult::Lost, now);
    }

    fn send_syn(&mut self, key: &PathKey, now: Instant) {
        let (Some(config), Some(path)) = (&self.config, self.paths.get_mut(key)) else { return };
        let target = path.target;
        let node = &config.node;
        let flow = self.network.flow(target.backend, target.vip, &|family| node.probe.source(family));
        let flow = match flow {
            Ok(flow) => flow,
            Err(detail) => return self.not_sent(key, detail, now),
        };
        let size = match path.pair.next_syn() {
            SynSize::Small => None,
            SynSize::Large(size) => Some(size),
        };
        let sequence = self.rng.u32(..);
        path.last_syn = Some(now);
        match self.network.send(&flow, &packet::syn(&flow, sequence, size)) {
            Ok(()) => {
                let syn = SentSyn { path: key.clone(), flow, sequence };
                self.sent.record(&syn, packet::data_length(&flow, size), now);
                path.in_flight = Some(InFlightSyn { sequence, started: now, sample: self.starvation.sample(now) });
                self.in_flight += 1;
                self.schedule(key, now + TIMEOUT);
            }
            Err(SendError::TooLarge) => self.finish(key, now, SynResult::TooLarge, now),
            Err(SendError::Other(detail)) => self.not_sent(key, detail, now),
        }
    }

    fn not_sent(&mut self, key: &PathKey, detail: String, now: Instant) {
        if let Some(suppressed) = self.log_throttle.admit("not-sent") {
            let PathKey { frontend, backend } = key;
            tracing::warn!(%frontend, %backend, %detail, suppressed, "this node cannot probe the path and retries");
        }
        self.finish(key, now, SynResult::NotSent { detail: detail.into() }, now);
    }

    fn receive(&mut self, from: IpAddr, reply: &Reply, now: Instant) {
        let Some(SentSyn { path: key, flow, sequence }) = self.sent.answered_by(from, reply).cloned() else { return };
        if matches!(reply.answer, Answer::Accepted { .. }) {
            self.close(&flow, reply.acknowledged);
        }
        let Some(path) = self.paths.get_mut(&key) else { return };
        // A late answer only needs the reset.
        let Some(syn) = path.in_flight.take_if(|syn| syn.sequence == sequence) else { return };
        self.in_flight -= 1;
        let result = match reply.answer {
            Answer::Accepted { mss } => SynResult::Accepted { limit: mss.map(|mss| path.target.packet_with(mss)) },
            Answer::Refused => SynResult::Refused,
        };
        self.finish(&key, syn.started, result, now);
    }

    /// Closes the connection that a SYN-ACK has half opened. A lost reset is repeated with the next SYN-ACK.
    fn close(&mut self, flow: &Flow, sequence: u32) {
        if let Err(error) = self.network.send(flow, &packet::reset(flow, sequence)) {
            tracing::debug!(vip = %flow.vip, backend = %flow.backend, ?error, "cannot close the connection of a path probe");
        }
    }
}
