//! The cost of many dashboard clients: 2,000 streams of Server-Sent Events at 100 events per second, first served by
//! maglev-frontend, then by nginx with nchan.
//!
//! `cargo bench --bench dashboard` takes about three minutes; `-- dashboard/streams` or `-- dashboard/page` runs one
//! part. If nchan is missing, root installs it with apt; otherwise only the dashboard is measured.
//!
//! ```text
//!  agent: 100 events/s ─ gRPC ─▶ maglev-frontend ─▶ 2,000 streams ─▶ counting process
//!  publisher: 100 POSTs/s ─────▶ nginx with nchan ─▶ 2,000 streams ─▶ counting process
//! ```
//!
//! Both send the same text, of some 300 bytes, to each stream. maglev-frontend is the program itself, connected to one
//! agent: the production bus and gRPC server in this process. nginx has one worker per core. The counting process runs
//! at a lower priority, because in a cluster the clients are on other machines. The output is:
//!
//! * **delivered**: events per second that reached clients, and their share of all events times the clients;
//! * **CPU per event delivered** of the server's processes, user and system, from /proc;
//! * **latency** from the emission of an event until a client has read it;
//! * **resident** memory of the server's processes at the end, and before the clients connected.
//!
//! Then a hundred clients of maglev-frontend stop reading, at events of 32 KiB, until all of them are disconnected. The
//! output is the number of disconnected clients, the growth of memory and the share of events that other clients
//! received.
//!
//! The second part is the page in Chromium: maglev-frontend is connected to ten agents with the same 1,000 Frontends and
//! 10,000 Backends, and ten Backends per second change their state on each. `hack/web/measure` prints the time until
//! "All nodes" and the tab of a node show their first line, the time from a keystroke in the filter to the repaint, and
//! the longest tasks of the page's thread.
#![expect(clippy::print_stdout, reason = "prints the results")]

mod agent;
mod clients;
mod fleet;
mod nchan;
mod server;

use std::time::Duration;

use anyhow::{Context as _, ensure};
use maglev_benches::large_node;
use tokio::{
    process::Command,
    time::{Instant, MissedTickBehavior, interval, sleep},
};
use tokio_util::sync::CancellationToken;

use self::{
    agent::Agent,
    clients::{Clients, Counted},
    fleet::Fleet,
    nchan::Nchan,
    server::{Server, Usage},
};

const CLIENTS: usize = 2_000;
const EVENTS_PER_SECOND: u32 = 100;
const DURATION: Duration = Duration::from_secs(15);
/// Time before the measurement.
const WARM_UP: Duration = Duration::from_secs(3);
/// Size in bytes of an event's text, which contains its time.
const BYTES: usize = 160;
/// The goal for the resident memory of maglev-frontend with ten large nodes, in MiB.
const GOAL_MIB: u32 = 200;
const SLOW: usize = 100;
const SLOW_BYTES: usize = 32 << 10;
/// The time in which all slow clients have to be disconnected.
const SLOW_TIMEOUT: Duration = Duration::from_secs(30);

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(result) = clients::run_if_requested(&arguments) {
        return result;
    }
    // `cargo bench -- FILTER` passes the filter to every benchmark.
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    let is_selected = |part: &str| filter.is_none_or(|filter| part.contains(filter.as_str()));
    server::raise_limit()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if is_selected("dashboard/streams") {
        runtime.block_on(streams())?;
    }
    if is_selected("dashboard/page") {
        runtime.block_on(page())?;
    }
    Ok(())
}

async fn streams() -> anyhow::Result<()> {
    println!("dashboard/streams: {CLIENTS} clients, {EVENTS_PER_SECOND} events/s, {DURATION:?}");
    let agent = Agent::start("bench").await?;
    let server = Server::dashboard(&[agent.address()]).await?;
    let maglev = measure(&server, Publisher::Agent(&agent)).await?;
    maglev.print("maglev-frontend");
    slow(&server, &agent).await?;
    drop(server);
    match nchan::install() {
        Err(reason) => println!("nchan is not measured: {reason}"),
        Ok(()) => {
            let nchan = Nchan::start().await?;
            let peer = measure(nchan.server(), Publisher::Nchan(&nchan)).await?;
            peer.print("nginx + nchan");
            maglev.compare(&peer);
        }
    }
    agent.stop().await
}

/// Measures the page with all nodes.
async fn page() -> anyhow::Result<()> {
    println!(
        "dashboard/page: {} nodes, the same {} Frontends and {} Backends on each, {} transitions/s on each",
        fleet::NODES,
        large_node::FRONTENDS,
        large_node::BACKENDS,
        fleet::TRANSITIONS_PER_SECOND,
    );
    let fleet = Fleet::start().await?;
    let addresses: Vec<_> = fleet.agents.iter().map(Agent::address).collect();
    let start = Instant::now();
    let server = Server::dashboard(&addresses).await?;
    println!(
        "  maglev-frontend had the state of all nodes {:.1} s after its start, with {:.0} MiB resident",
        start.elapsed().as_secs_f64(),
        server.usage()?.memory
    );
    let end = CancellationToken::new();
    let script = maglev_testkit::checkout().join("hack/web/measure");
    let mut measure = Command::new(script);
    measure.env("MAGLEV_DASHBOARD_URL", format!("http://{}/view/", server.address())).kill_on_drop(true);
    let measured = async {
        let status = measure.status().await.context("cannot run hack/web/measure")?;
        end.cancel();
        ensure!(status.success(), "hack/web/measure failed: {status}");
        anyhow::Ok(())
    };
    let (before, start) = (server.usage()?, Instant::now());
    let ((), measured) = tokio::join!(fleet.run(end.clone()), measured);
    measured?;
    let after = server.usage()?;
    println!(
        "  maglev-frontend during the measurement: {:.2} cores, {:.0} MiB resident, at most {:.0} MiB (goal: {GOAL_MIB})",
        (after.cpu - before.cpu).as_secs_f64() / start.elapsed().as_secs_f64(),
        after.memory,
        server.peak()?,
    );
    drop(server);
    fleet.stop().await
}

/// The source of the events.
#[derive(Clone, Copy)]
enum Publisher<'a> {
    Agent(&'a Agent),
    Nchan(&'a Nchan),
}

impl Publisher<'_> {
    async fn publish(self, bytes: usize) -> anyhow::Result<()> {
        match self {
            Self::Agent(agent) => {
                agent.emit(clients::text(bytes));
                Ok(())
            }
            Self::Nchan(nchan) => nchan.publish(&agent::message(&clients::text(bytes))).await,
        }
    }

    /// Publishes [`EVENTS_PER_SECOND`] for `time`. Returns the number of events.
    async fn publish_for(self, time: Duration) -> anyhow::Result<u64> {
        let mut ticks = interval(Duration::from_secs(1) / EVENTS_PER_SECOND);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let (begin, mut published) = (Instant::now(), 0);
        while begin.elapsed() < time {
            ticks.tick().await;
            self.publish(BYTES).await?;
            published += 1;
        }
        Ok(published)
    }
}

struct Figures {
    published: u64,
    counted: Counted,
    took: Duration,
    cpu: Duration,
    before: Usage,
    after: Usage,
}

/// Measures one server with all clients.
async fn measure(server: &Server, publisher: Publisher<'_>) -> anyhow::Result<Figures> {
    let before = server.usage()?;
    let mut clients = Clients::start(server.address(), server.path(), CLIENTS, 0).await?;
    publisher.publish_for(WARM_UP).await?;
    clients.reset().await?;
    let (begin, used) = (Instant::now(), server.usage()?);
    let published = publisher.publish_for(DURATION).await?;
    // Events in flight arrive.
    sleep(Duration::from_millis(500)).await;
    let (after, took) = (server.usage()?, begin.elapsed());
    let counted = clients.counts().await?;
    clients.stop().await?;
    Ok(Figures { published, counted, took, cpu: after.cpu - used.cpu, before, after })
}

impl Figures {
    fn delivered_per_second(&self) -> f64 {
        self.counted.delivered as f64 / self.took.as_secs_f64()
    }

    fn microseconds_per_event(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.counted.delivered as f64
    }

    fn print(&self, name: &str) {
        let Counted { delivered, p50, p99, max } = self.counted;
        let share = delivered as f64 / (self.published as f64 * CLIENTS as f64) * 100.0;
        println!("{name}: delivered {:.0} events/s, {share:.2} % of all events", self.delivered_per_second());
        println!("  CPU per event delivered {:.2} us", self.microseconds_per_event());
        println!("  latency p50 {p50:.1} ms, p99 {p99:.1} ms, max {max:.1} ms");
        println!("  resident {:.0} MiB, {:.0} MiB before the clients connected", self.after.memory, self.before.memory);
    }

    fn compare(&self, peer: &Self) {
        println!(
            "maglev-frontend / nginx + nchan: delivered {:.2}, CPU per event {:.2}, p99 latency {:.2}",
            self.delivered_per_second() / peer.delivered_per_second(),
            self.microseconds_per_event() / peer.microseconds_per_event(),
            self.counted.p99 / peer.counted.p99,
        );
    }
}

/// Measures clients that do not read, together with as many clients that do.
async fn slow(server: &Server, agent: &Agent) -> anyhow::Result<()> {
    let before = server.usage()?;
    let mut clients = Clients::start(server.address(), server.path(), SLOW, SLOW).await?;
    clients.reset().await?;
    let (begin, mut published, mut max_memory) = (Instant::now(), 0, before.memory);
    while server.disconnected().await? < SLOW && begin.elapsed() < SLOW_TIMEOUT {
        Publisher::Agent(agent).publish(SLOW_BYTES).await?;
        published += 1;
        max_memory = max_memory.max(server.usage()?.memory);
        sleep(Duration::from_millis(10)).await;
    }
    sleep(Duration::from_millis(500)).await;
    let (disconnected, counted) = (server.disconnected().await?, clients.counts().await?);
    println!(
        "{SLOW} clients that do not read, events of {} KiB: {disconnected} disconnected after {:.1} s, memory grew by at \
         most {:.0} MiB; clients that read received {:.2} % of all events",
        SLOW_BYTES >> 10,
        begin.elapsed().as_secs_f64(),
        max_memory - before.memory,
        counted.delivered as f64 / (published * SLOW) as f64 * 100.0,
    );
    clients.stop().await
}
