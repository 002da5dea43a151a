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
//! The agent runs in turns with and without the computation of moved buckets, which must not delay the first request: the
//! last column is the ratio of the 99th percentiles.

use std::{
    collections::BTreeMap,
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
/// Transitions of each kind in a round.
const FLIPS: usize = 600;
/// Rounds with, and as many without the computation of moved buckets.
const ROUNDS: usize = 3;
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

/// Measures on `vpp`, which has none of the VIPs, and prints a line for each kind of transition.
pub async fn measure(label: &str, vpp: &mut Vpp, interrupted: &CancellationToken) -> anyhow::Result<()> {
    let workload = Workload::shared(VIPS)?;
    let mut by_accounting = [(Accounting::Thread, KindTimes::default()), (Accounting::Off, KindTimes::default())];
    for round in 0..ROUNDS {
        for (accounting, times) in &mut by_accounting {
            vpp.clear().await?;
            let mut synced = SyncedAgent::start(vpp, &workload, *accounting).await?;
            let result = flips(&mut synced, &workload, round as u64, times, interrupted).await;
            synced.stop.cancel();
            synced.agent.await??;
            result?;
        }
    }
    let [(_, with), (_, without)] = by_accounting;
    for ((users, mut with), (_, mut without)) in with.into_iter().zip(without) {
        let ratio = with.first_p99().as_secs_f64() / without.first_p99().as_secs_f64();
        with.print(label, users);
        without.print("no moved shares", users);
        println!("{label:<16} {:>22}   first p99 with / without moved shares: {ratio:.2}", format!("{users} VIPs"));
    }
    Ok(())
}

/// Latencies by the number of VIPs that use the backend.
type KindTimes = BTreeMap<usize, Times>;

async fn flips(
    synced: &mut SyncedAgent,
    workload: &Workload,
    seed: u64,
    by_kind: &mut KindTimes,
    interrupted: &CancellationToken,
) -> anyhow::Result<()> {
    let mut random = fastrand::Rng::with_seed(seed);
    for (servers, users) in [(&workload.shared[1..=IN_TURN], 15), (&workload.shared[..1], usize::from(VIPS))] {
        let times = by_kind.entry(users).or_default();
        let mut updates = synced.settled_updates().await;
        for flip in 0..FLIPS {
            ensure!(!interrupted.is_cancelled(), "interrupted");
            let next = Instant::now() + Duration::from_millis(random.u64(PAUSE));
            updates += users;
            synced.sink.notify_at.store(updates, Ordering::Relaxed);
            times.add(synced.flip(&servers[flip % servers.len()], users).await?);
            // The same backend flips again, so VPP must have replied to all requests.
            if servers.len() == 1 {
                synced.wait(|progress| progress.updates >= updates).await?;
            }
            sleep_until(next).await;
        }
    }
    Ok(())
}

/// Latencies from transitions to requests.
#[derive(Default)]
struct Times {
    first: Vec<Duration>,
    each: Vec<Duration>,
}

impl Times {
    /// Adds the requests of one transition, in order.
    fn add(&mut self, requests: Vec<Duration>) {
        self.first.extend(requests.first());
        self.each.extend(requests);
    }

    fn first_p99(&mut self) -> Duration {
        self.first.sort_unstable();
        percentile(&self.first, 99)
    }

    fn print(mut self, label: &str, users: usize) {
        self.first.sort_unstable();
        self.each.sort_unstable();
        let within_goal = self.each.partition_point(|time| *time <= GOAL) as f64 / self.each.len() as f64;
        let verdict = |times: &[Duration]| if percentile(times, 99) <= GOAL { "yes" } else { "NO" };
        print!("{label:<16} {:>22}", format!("{users} VIPs"));
        for time in [
            percentile(&self.first, 50),
            percentile(&self.first, 99),
            percentile(&self.each, 50),
            percentile(&self.each, 99),
            percentile(&self.each, 100),
        ] {
            print!(" {:>10.2}", time.as_secs_f64() * 1000.0);
        }
        println!(
            " {:>8.2} %  p99 at most {GOAL:?}: of the first {}, of each {} ({} transitions)",
            within_goal * 100.0,
            verdict(&self.first),
            verdict(&self.each),
            self.first.len()
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

    /// Waits until there is no update for a second. Returns the number of updates.
    async fn settled_updates(&self) -> usize {
        loop {
            let before = self.progress.borrow().updates;
            sleep(Duration::from_secs(1)).await;
            if self.progress.borrow().updates == before {
                return before;
            }
        }
    }

    async fn wait(&mut self, condition: impl Fn(&AgentProgress) -> bool) -> anyhow::Result<()> {
        let progress =
            timeout(TIMEOUT, self.progress.wait_for(|progress| condition(progress) || progress.error.is_some())).await;
        let progress = progress.context("the agent made no progress in time")??.clone();
        ensure!(progress.error.is_none(), "the agent failed: {}", progress.error.unwrap_or_default());
        Ok(())
    }
}
