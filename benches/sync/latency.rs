//! The latency from a backend's transition to its requests, with 1,000 VIPs.
//!
//! ```text
//!  HealthSnapshot ─▶ Agent ─▶ tap: records arrival times ─▶ API socket of a VPP
//! ```
//!
//! Every VIP that uses the backend gets a request, and each request is timed: the clock runs from before the snapshot is
//! sent to the agent until the tap, on its own thread, has read the request that sets the new weight. *First* is the
//! first request of a transition; *each* stands for all requests of all transitions. The session may have 1,024 requests
//! in flight, so that no request waits for a reply of VPP. Dumps for verification run meanwhile, as in maglevd.
//!
//! Two agents run beside each other, each with a simulator of its own: one with the computation of moved buckets, which must
//! not delay the first request, one without. Blocks of transitions alternate between them, so that a slow phase of the machine
//! affects both. Before each block, both agents have been idle for [`IDLE`]. The last line is the ratio of the 99th
//! percentiles, with the 95 % interval of a bootstrap over the blocks. A real VPP has one agent, and no such ratio.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, ensure};
use maglev_agent::{Accounting, Agent, AgentOptions, VppConnector};
use maglev_model::{
    config::Config,
    event::{Event, EventSink, Events, Scope},
    health::{BackendState, HealthSnapshot},
};
use maglev_vpp_simulator::Recompute;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    probe_tap::ProbeTap,
    vpp::Vpp,
    workload::{Server, Workload},
};

const VIPS: u16 = 1000;
/// Samples of the bootstrap.
const RESAMPLES: usize = 1000;
/// The pause before a block, in which the agents compute the moved buckets of the last one.
const IDLE: Duration = Duration::from_millis(500);
/// The goal for the 99th percentile.
const GOAL: Duration = Duration::from_millis(5);
const TIMEOUT: Duration = Duration::from_secs(60);
/// The number of backends that flip in turn. No VIP uses two of them.
const IN_TURN: usize = 50;
/// Milliseconds between transitions.
const PAUSE: std::ops::Range<u64> = 5..25;

/// The state of the agent, from its events.
#[derive(Clone, Debug, Default)]
struct AgentProgress {
    synced: bool,
    updates: usize,
    error: Option<String>,
}

struct ProgressSink {
    progress: watch::Sender<AgentProgress>,
    /// The number of updates at which receivers are notified. A notification for each update would disturb the
    /// measurement.
    notify_at: AtomicUsize,
}

impl EventSink for ProgressSink {
    fn wants_probes(&self) -> bool {
        false
    }

    fn publish(&self, event: Event) {
        match event {
            Event::SyncDone { scope: Scope::All, .. } => self.progress.send_modify(|progress| progress.synced = true),
            Event::AsWeightUpdated { .. } => {
                self.progress.send_if_modified(|progress| {
                    progress.updates += 1;
                    progress.updates == self.notify_at.load(Ordering::Relaxed)
                });
            }
            Event::SyncError { error, .. } | Event::VppConnectFailed { error, .. } => {
                self.progress.send_modify(|progress| progress.error = Some(error));
            }
            _ => {}
        }
    }
}

/// An agent after its full sync, with a tap between the agent and VPP.
struct SyncedAgent {
    tap: ProbeTap,
    health: HealthSnapshot,
    health_tx: watch::Sender<HealthSnapshot>,
    _config_tx: watch::Sender<Option<Config>>,
    sink: Arc<ProgressSink>,
    progress: watch::Receiver<AgentProgress>,
    stop: CancellationToken,
    agent: JoinHandle<Result<(), maglev_agent::AgentError>>,
    _scratch: tempfile::TempDir,
}

/// Prints the meaning of the lines.
pub fn print_head() {
    println!();
    println!("from a backend's transition to the bytes of its requests, {VIPS} VIPs x 16 application servers; ms");
    println!(
        "{:<16} {:>22} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10}",
        "", "the backend is used by", "first p50", "first p99", "each p50", "each p99", "each max", "in time"
    );
}

/// A kind of transition.
struct Kind {
    /// The number of VIPs that use the backend.
    users: usize,
    /// The backends that flip in turn.
    servers: std::ops::Range<usize>,
    blocks: usize,
    /// Transitions in a block.
    flips: usize,
}

const KINDS: [Kind; 2] = [
    Kind { users: 15, servers: 1..IN_TURN + 1, blocks: 120, flips: IN_TURN },
    Kind { users: VIPS as usize, servers: 0..1, blocks: 50, flips: 6 },
];

/// Measures on `vpp`, which has none of the VIPs, and prints a line for each kind of transition.
pub async fn measure(label: &str, vpp: &mut Vpp, interrupted: &CancellationToken) -> anyhow::Result<()> {
    let workload = Workload::shared(VIPS)?;
    vpp.clear().await?;
    let mut with = SyncedAgent::start(vpp, &workload, Accounting::Thread).await?;
    if vpp.is_real() {
        let result = compare(label, &mut with, None, &workload, interrupted).await;
        return with.stop().await.and(result);
    }
    let other = Vpp::simulated(Recompute::Lazy).await?;
    let mut without = SyncedAgent::start(&other, &workload, Accounting::Off).await?;
    let result = compare(label, &mut with, Some(&mut without), &workload, interrupted).await;
    with.stop().await.and(without.stop().await).and(result)
}

async fn compare(
    label: &str,
    with: &mut SyncedAgent,
    mut without: Option<&mut SyncedAgent>,
    workload: &Workload,
    interrupted: &CancellationToken,
) -> anyhow::Result<()> {
    for kind in &KINDS {
        let (mut times_with, mut times_without) = (Times::default(), Times::default());
        for block in 0..kind.blocks {
            // Each agent is the first one of every other pair of blocks.
            for turn in [block % 2, 1 - block % 2] {
                ensure!(!interrupted.is_cancelled(), "interrupted");
                match (turn, &mut without) {
                    (0, _) => times_with.blocks.push(with.block(kind, workload, block).await?),
                    (_, Some(without)) => times_without.blocks.push(without.block(kind, workload, block).await?),
                    (_, None) => {}
                }
            }
        }
        times_with.print(label, kind.users);
        if without.is_some() {
            times_without.print("no moved shares", kind.users);
            let Interval { ratio, low, high } = times_with.ratio(&times_without);
            let users = format!("{} VIPs", kind.users);
            println!(
                "{label:<16} {users:>22}   first p99 with / without moved shares: {ratio:.2} (95 %: {low:.2}-{high:.2})"
            );
        }
    }
    Ok(())
}

/// The latencies of the requests of each transition of a block.
type Block = Vec<Vec<Duration>>;

/// Latencies from transitions to requests.
#[derive(Default)]
struct Times {
    blocks: Vec<Block>,
}

/// A ratio with its 95 % interval.
struct Interval {
    ratio: f64,
    low: f64,
    high: f64,
}

impl Times {
    /// The 99th percentile of the first requests of `blocks`.
    fn first_p99<'a>(blocks: impl Iterator<Item = &'a Block>) -> f64 {
        let mut first: Vec<Duration> = blocks.flatten().filter_map(|requests| requests.first().copied()).collect();
        first.sort_unstable();
        percentile(&first, 99).as_secs_f64()
    }

    /// The ratio of the 99th percentiles of the first requests. Both have the same number of blocks.
    fn ratio(&self, other: &Self) -> Interval {
        let mut random = fastrand::Rng::with_seed(0);
        let mut ratios: Vec<f64> = (0..RESAMPLES)
            .map(|_| {
                let sample: Vec<usize> = (0..self.blocks.len()).map(|_| random.usize(..self.blocks.len())).collect();
                let p99 = |times: &Self| Self::first_p99(sample.iter().map(|block| &times.blocks[*block]));
                p99(self) / p99(other)
            })
            .collect();
        ratios.sort_unstable_by(f64::total_cmp);
        Interval {
            ratio: Self::first_p99(self.blocks.iter()) / Self::first_p99(other.blocks.iter()),
            low: ratios[RESAMPLES / 40],
            high: ratios[RESAMPLES - 1 - RESAMPLES / 40],
        }
    }

    fn print(&self, label: &str, users: usize) {
        let transitions = || self.blocks.iter().flatten();
        let mut first: Vec<Duration> = transitions().filter_map(|requests| requests.first().copied()).collect();
        let mut each: Vec<Duration> = transitions().flatten().copied().collect();
        first.sort_unstable();
        each.sort_unstable();
        let within_goal = each.partition_point(|time| *time <= GOAL) as f64 / each.len() as f64;
        let verdict = |times: &[Duration]| if percentile(times, 99) <= GOAL { "yes" } else { "NO" };
        print!("{label:<16} {:>22}", format!("{users} VIPs"));
        for time in [
            percentile(&first, 50),
            percentile(&first, 99),
            percentile(&each, 50),
            percentile(&each, 99),
            percentile(&each, 100),
        ] {
            print!(" {:>10.2}", time.as_secs_f64() * 1000.0);
        }
        println!(
            " {:>8.2} %  p99 at most {GOAL:?}: of the first {}, of each {} ({} transitions)",
            within_goal * 100.0,
            verdict(&first),
            verdict(&each),
            first.len()
        );
    }
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[((sorted.len() * percent).div_ceil(100)).clamp(1, sorted.len()) - 1]
}

impl SyncedAgent {
    async fn start(vpp: &Vpp, workload: &Workload, accounting: Accounting) -> anyhow::Result<Self> {
        let scratch = tempfile::tempdir()?;
        let tap = ProbeTap::start(&scratch.path().join("tap.sock"), vpp.socket()).await?;
        let (progress_tx, progress) = watch::channel(AgentProgress::default());
        let sink = Arc::new(ProgressSink { progress: progress_tx, notify_at: AtomicUsize::new(usize::MAX) });
        let events = Events::new(sink.clone());
        let config_tx = watch::Sender::new(Some(workload.config.clone()));
        let health_tx = watch::Sender::new(workload.health.clone());
        let agent = Agent::new(
            AgentOptions { accounting, ..AgentOptions::new("bench", scratch.path().join("api.sock")) },
            VppConnector::new(tap.socket(), events.clone()),
            config_tx.subscribe(),
            health_tx.subscribe(),
            events,
        );
        let stop = CancellationToken::new();
        let agent = tokio::spawn(agent.run(stop.clone()));
        let health = workload.health.clone();
        let mut synced =
            Self { tap, health, health_tx, _config_tx: config_tx, sink, progress, stop, agent, _scratch: scratch };
        synced.wait(|progress| progress.synced).await?;
        Ok(synced)
    }

    async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        Ok(self.agent.await??)
    }

    /// The latencies of a block of transitions, after a pause in which the agent becomes idle.
    async fn block(&mut self, kind: &Kind, workload: &Workload, seed: usize) -> anyhow::Result<Block> {
        let mut random = fastrand::Rng::with_seed(seed as u64);
        sleep(IDLE).await;
        let mut updates = self.progress.borrow().updates;
        let mut times = Block::with_capacity(kind.flips);
        for flip in 0..kind.flips {
            let next = Instant::now() + Duration::from_millis(random.u64(PAUSE));
            updates += kind.users;
            self.sink.notify_at.store(updates, Ordering::Relaxed);
            let servers = &workload.shared[kind.servers.clone()];
            times.push(self.flip(&servers[flip % servers.len()], kind.users).await?);
            // The same backend flips again, so VPP must have replied to all requests.
            if servers.len() == 1 {
                self.wait(|progress| progress.updates >= updates).await?;
            }
            sleep_until(next).await;
        }
        self.wait(|progress| progress.updates >= updates).await?;
        Ok(times)
    }

    /// Brings one backend down or up. Returns the latencies of the requests for the VIPs that use the backend.
    async fn flip(&mut self, server: &Server, users: usize) -> anyhow::Result<Vec<Duration>> {
        let mut backend = self
            .health
            .backends
            .get(&server.backend)
            .cloned()
            .context("the health snapshot does not contain the backend")?;
        backend.state = if backend.state == BackendState::Up { BackendState::Down } else { BackendState::Up };
        self.health.backends.insert(server.backend.clone(), backend);
        let next = self.health.clone();
        let arrivals = self.tap.expect(IpAddr::V4(server.address), users);
        let start = std::time::Instant::now();
        self.health_tx.send_replace(next);
        let arrivals = timeout(TIMEOUT, arrivals).await.context("a request did not arrive in time")??;
        Ok(arrivals.into_iter().map(|at| at.duration_since(start)).collect())
    }

    async fn wait(&mut self, condition: impl Fn(&AgentProgress) -> bool) -> anyhow::Result<()> {
        let progress =
            timeout(TIMEOUT, self.progress.wait_for(|progress| condition(progress) || progress.error.is_some())).await;
        let progress = progress.context("the agent made no progress in time")??.clone();
        ensure!(progress.error.is_none(), "the agent failed: {}", progress.error.unwrap_or_default());
        Ok(())
    }
}
