//! What many pages cost: 2,000 streams of Server-Sent Events while 100 events happen in a second, by maglev-frontend
//! and by nginx with nchan, one after the other.
//!
//! `cargo bench --bench dashboard`, about three minutes; `-- dashboard/streams` or `-- dashboard/page` a part. nchan is
//! installed with apt where it is missing and one is root; without it the dashboard is measured alone.
//!
//! ```text
//!  agent: 100 events/s ─ gRPC ─▶ maglev-frontend ─▶ 2,000 streams ─▶ another process, which counts
//!  publisher: 100 POSTs/s ─────▶ nginx with nchan ─▶ 2,000 streams ─▶ the same
//! ```
//!
//! Both send the same text, of some 300 bytes, to each stream. maglev-frontend is the program itself, in front of one
//! agent: the real bus and the real gRPC server in this process. nginx has as many workers as there are cores. The
//! process that counts runs at a lower priority, for in a cluster it is on other machines. What is printed:
//!
//! * **delivered**: events that reached clients, in a second, and as a share of what happened times the clients;
//! * **CPU per event delivered** of the server's processes, user and system, from /proc;
//! * **latency**: from when the event was made to when a client had read it;
//! * **resident**: memory of the server's processes at the end, and before the clients came.
//!
//! Then a hundred clients of maglev-frontend cease to read, while events of 32 KiB happen, until they are all
//! disconnected: how many were, what memory grew by, and whether the others still got everything.
//!
//! The second part is one page in Chromium, of maglev-frontend in front of ten agents with the same 1,000 Frontends and
//! 10,000 Backends, while ten Backends change their state in a second on each: how soon All nodes and a node's tab show
//! their first line, how soon what is typed into the filter is painted, and for how long the page's thread is away. It is
//! `hack/web/measure`, which prints its own figures.
#![expect(clippy::print_stdout, reason = "the figures are what this is run for")]

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
const MEASURED: Duration = Duration::from_secs(15);
/// Before it counts.
const SETTLE: Duration = Duration::from_secs(3);
/// The text of an event, with its time.
const BYTES: usize = 160;
const SLOW: usize = 100;
const SLOW_BYTES: usize = 32 << 10;
/// In which slow clients have to be gone.
const SLOW_WITHIN: Duration = Duration::from_secs(30);

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(result) = clients::read_if_asked(&arguments) {
        return result;
    }
    // `cargo bench -- FILTER` passes the filter to every benchmark.
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    let asked = |part: &str| filter.is_none_or(|filter| part.contains(filter.as_str()));
    server::raise_limit()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if asked("dashboard/streams") {
        runtime.block_on(streams())?;
    }
    if asked("dashboard/page") {
        runtime.block_on(page())?;
    }
    Ok(())
}

async fn streams() -> anyhow::Result<()> {
    println!("dashboard/streams: {CLIENTS} clients, {EVENTS_PER_SECOND} events/s, {MEASURED:?}");
    let agent = Agent::start("bench").await?;
    let server = Server::dashboard(&[agent.address()]).await?;
    let ours = measure(&server, Publisher::Agent(&agent)).await?;
    ours.print("maglev-frontend");
    slow(&server, &agent).await?;
    drop(server);
    match nchan::install() {
        Err(why) => println!("nchan is not measured: {why}"),
        Ok(()) => {
            let nchan = Nchan::start().await?;
            let theirs = measure(nchan.server(), Publisher::Nchan(&nchan)).await?;
            theirs.print("nginx + nchan");
            ours.compare(&theirs);
        }
    }
    agent.stop().await
}

/// The page at full size.
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
    let began = Instant::now();
    let server = Server::dashboard(&addresses).await?;
    println!("  maglev-frontend knew all nodes {:.1} s after its start", began.elapsed().as_secs_f64());
    let end = CancellationToken::new();
    let script = maglev_testkit::checkout().join("hack/web/measure");
    let mut measure = Command::new(script);
    measure.env("MAGLEV_DASHBOARD_URL", format!("http://{}/view/", server.address())).kill_on_drop(true);
    let measured = async {
        let status = measure.status().await.context("hack/web/measure")?;
        end.cancel();
        ensure!(status.success(), "hack/web/measure: {status}");
        anyhow::Ok(())
    };
    let (before, began) = (server.usage()?, Instant::now());
    let ((), measured) = tokio::join!(fleet.live(end.clone()), measured);
    measured?;
    let after = server.usage()?;
    println!(
        "  maglev-frontend: {:.2} cores meanwhile, {:.0} MiB resident",
        (after.cpu - before.cpu).as_secs_f64() / began.elapsed().as_secs_f64(),
        after.memory
    );
    drop(server);
    fleet.stop().await
}

/// Who makes events happen.
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

    /// For so long, at the rate; how many that were.
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

/// One server with all clients.
async fn measure(server: &Server, publisher: Publisher<'_>) -> anyhow::Result<Figures> {
    let before = server.usage()?;
    let mut clients = Clients::start(server.address(), server.path(), CLIENTS, 0).await?;
    publisher.publish_for(SETTLE).await?;
    clients.begin().await?;
    let (begin, used) = (Instant::now(), server.usage()?);
    let published = publisher.publish_for(MEASURED).await?;
    // What is under way arrives.
    sleep(Duration::from_millis(500)).await;
    let (after, took) = (server.usage()?, begin.elapsed());
    let counted = clients.counted().await?;
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
        println!("{name}: delivered {:.0} events/s, {share:.2} % of all", self.delivered_per_second());
        println!("  CPU per event delivered {:.2} us", self.microseconds_per_event());
        println!("  latency p50 {p50:.1} ms, p99 {p99:.1} ms, max {max:.1} ms");
        println!("  resident {:.0} MiB, {:.0} MiB before the clients came", self.after.memory, self.before.memory);
    }

    fn compare(&self, theirs: &Self) {
        println!(
            "ours / theirs: delivered {:.2}, CPU per event {:.2}, p99 latency {:.2}",
            self.delivered_per_second() / theirs.delivered_per_second(),
            self.microseconds_per_event() / theirs.microseconds_per_event(),
            self.counted.p99 / theirs.counted.p99,
        );
    }
}

/// Clients that do not read beside as many that do.
async fn slow(server: &Server, agent: &Agent) -> anyhow::Result<()> {
    let before = server.usage()?;
    let mut clients = Clients::start(server.address(), server.path(), SLOW, SLOW).await?;
    clients.begin().await?;
    let (begin, mut published, mut most) = (Instant::now(), 0, before.memory);
    while server.dropped().await? < SLOW && begin.elapsed() < SLOW_WITHIN {
        Publisher::Agent(agent).publish(SLOW_BYTES).await?;
        published += 1;
        most = most.max(server.usage()?.memory);
        sleep(Duration::from_millis(10)).await;
    }
    sleep(Duration::from_millis(500)).await;
    let (dropped, counted) = (server.dropped().await?, clients.counted().await?);
    println!(
        "{SLOW} clients that do not read, events of {} KiB: {dropped} disconnected after {:.1} s, memory grew by {:.0} MiB \
         at most; who reads got {:.2} % of all",
        SLOW_BYTES >> 10,
        begin.elapsed().as_secs_f64(),
        most - before.memory,
        counted.delivered as f64 / (published * SLOW) as f64 * 100.0,
    );
    clients.stop().await
}
