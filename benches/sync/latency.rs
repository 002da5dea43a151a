//! How long after a backend's transition its requests are out, with 1,000 VIPs.
//!
//! ```text
//!  HealthSnapshot ─▶ Agent ─▶ tap: notes when the bytes are there ─▶ API socket of a VPP
//! ```
//!
//! Every VIP that uses the backend gets a request of its own, and each is timed: the clock runs from
//! before the snapshot is sent to the agent until the tap, a thread of its own, has read the request
//! that sets the new weight. *First* is the first request of a transition; *each* is all requests of
//! all transitions. The session may have 1,024 in flight, so none of them waits for an answer of VPP.
//! The dumps that verify what was written go on meanwhile, as they do in maglevd.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, ensure};
use maglev_agent::{Agent, AgentOptions, VppConnector};
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
/// Transitions of each kind.
const FLIPS: usize = 600;
/// What 99 of 100 should stay below.
const GOAL: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(60);
/// Backends that flip in turn; no VIP has two of them.
const IN_TURN: usize = 50;
/// Milliseconds from one transition to the next.
const PAUSE: std::ops::Range<u64> = 5..25;

/// What the agent tells.
#[derive(Clone, Debug, Default)]
struct Told {
    synced: bool,
    updates: usize,
    error: Option<String>,
}

struct Sink {
    told: watch::Sender<Told>,
    /// At this number of updates somebody is woken: to be woken by each would be measured too.
    awaited: AtomicUsize,
}

impl EventSink for Sink {
    fn wants_probes(&self) -> bool {
        false
    }

    fn publish(&self, event: Event) {
        match event {
            Event::SyncDone { scope: Scope::All, .. } => self.told.send_modify(|told| told.synced = true),
            Event::AsWeightUpdated { .. } => {
                self.told.send_if_modified(|told| {
                    told.updates += 1;
                    told.updates == self.awaited.load(Ordering::Relaxed)
                });
            }
            Event::SyncError { err, .. } | Event::VppConnectFailed { err, .. } => {
                self.told.send_modify(|told| told.error = Some(err));
            }
            _ => {}
        }
    }
}

/// An agent in a world that it has synced, with a tap between it and VPP.
struct Settled {
    tap: ProbeTap,
    health: HealthSnapshot,
    health_tx: watch::Sender<HealthSnapshot>,
    _config_tx: watch::Sender<Option<Config>>,
    sink: Arc<Sink>,
    told: watch::Receiver<Told>,
    stop: CancellationToken,
    agent: JoinHandle<Result<(), maglev_agent::AgentError>>,
    _scratch: tempfile::TempDir,
}

/// Prints what the lines mean.
pub fn head() {
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
    vpp.clear().await?;
    let mut settled = Settled::start(vpp, &workload).await?;
    let measured = flips(&mut settled, &workload, label, interrupted).await;
    settled.stop.cancel();
    settled.agent.await??;
    measured
}

async fn flips(
    settled: &mut Settled,
    workload: &Workload,
    label: &str,
    interrupted: &CancellationToken,
) -> anyhow::Result<()> {
    let mut random = fastrand::Rng::with_seed(1);
    for (servers, users) in [(&workload.shared[1..=IN_TURN], 15), (&workload.shared[..1], usize::from(VIPS))] {
        let mut times = Times::default();
        let mut updates = settled.at_rest().await;
        for flip in 0..FLIPS {
            ensure!(!interrupted.is_cancelled(), "interrupted");
            let next = Instant::now() + Duration::from_millis(random.u64(PAUSE));
            updates += users;
            settled.sink.awaited.store(updates, Ordering::Relaxed);
            times.add(settled.flip(&servers[flip % servers.len()], users).await?);
            // The same one again: its VIPs must have been answered.
            if servers.len() == 1 {
                settled.wait(|told| told.updates >= updates).await?;
            }
            sleep_until(next).await;
        }
        times.print(label, users);
    }
    Ok(())
}

/// From transitions to requests.
#[derive(Default)]
struct Times {
    first: Vec<Duration>,
    each: Vec<Duration>,
}

impl Times {
    /// One transition: its requests in their order.
    fn add(&mut self, requests: Vec<Duration>) {
        self.first.extend(requests.first());
        self.each.extend(requests);
    }

    fn print(mut self, label: &str, users: usize) {
        self.first.sort_unstable();
        self.each.sort_unstable();
        let in_time = self.each.partition_point(|time| *time <= GOAL) as f64 / self.each.len() as f64;
        let verdict = |times: &[Duration]| if at(times, 99) <= GOAL { "yes" } else { "NO" };
        print!("{label:<16} {:>22}", format!("{users} VIPs"));
        for time in
            [at(&self.first, 50), at(&self.first, 99), at(&self.each, 50), at(&self.each, 99), at(&self.each, 100)]
        {
            print!(" {:>10.2}", time.as_secs_f64() * 1000.0);
        }
        println!(
            " {:>8.2} %  p99 at most {GOAL:?}: of the first {}, of each {} ({} transitions)",
            in_time * 100.0,
            verdict(&self.first),
            verdict(&self.each),
            self.first.len()
        );
    }
}

/// So many hundredths of `sorted` are at most this.
fn at(sorted: &[Duration], hundredths: usize) -> Duration {
    sorted[((sorted.len() * hundredths).div_ceil(100)).clamp(1, sorted.len()) - 1]
}

impl Settled {
    async fn start(vpp: &Vpp, workload: &Workload) -> anyhow::Result<Self> {
        let scratch = tempfile::tempdir()?;
        let tap = ProbeTap::start(&scratch.path().join("tap.sock"), vpp.socket()).await?;
        let (told_tx, told) = watch::channel(Told::default());
        let sink = Arc::new(Sink { told: told_tx, awaited: AtomicUsize::new(usize::MAX) });
        let events = Events::new(sink.clone());
        let config_tx = watch::Sender::new(Some(workload.config.clone()));
        let health_tx = watch::Sender::new(workload.health.clone());
        let agent = Agent::new(
            AgentOptions::new("bench", scratch.path().join("api.sock")),
            VppConnector::new(tap.socket(), events.clone()),
            config_tx.subscribe(),
            health_tx.subscribe(),
            events,
        );
        let stop = CancellationToken::new();
        let agent = tokio::spawn(agent.run(stop.clone()));
        let health = workload.health.clone();
        let mut settled =
            Self { tap, health, health_tx, _config_tx: config_tx, sink, told, stop, agent, _scratch: scratch };
        settled.wait(|told| told.synced).await?;
        Ok(settled)
    }

    /// Lets one backend go down or come up, and waits for the requests of its `users`.
    async fn flip(&mut self, server: &Server, users: usize) -> anyhow::Result<Vec<Duration>> {
        let mut backend = self.health.backends.get(&server.backend).cloned().context("the backend is known")?;
        backend.state = if backend.state == BackendState::Up { BackendState::Down } else { BackendState::Up };
        self.health.backends.insert(server.backend.clone(), backend);
        let next = self.health.clone();
        let seen = self.tap.expect(IpAddr::V4(server.address), users);
        let start = std::time::Instant::now();
        self.health_tx.send_replace(next);
        let came = timeout(PATIENCE, seen).await.context("a request did not come")??;
        Ok(came.into_iter().map(|at| at.duration_since(start)).collect())
    }

    /// The updates so far, once no more come.
    async fn at_rest(&self) -> usize {
        loop {
            let before = self.told.borrow().updates;
            sleep(Duration::from_secs(1)).await;
            if self.told.borrow().updates == before {
                return before;
            }
        }
    }

    async fn wait(&mut self, condition: impl Fn(&Told) -> bool) -> anyhow::Result<()> {
        let told = timeout(PATIENCE, self.told.wait_for(|told| condition(told) || told.error.is_some())).await;
        let told = told.context("the agent does not get on")??.clone();
        ensure!(told.error.is_none(), "the agent failed: {}", told.error.unwrap_or_default());
        Ok(())
    }
}
