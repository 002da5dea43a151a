//! Whether the controller keeps its promises about writing at scale: 500 agents and 1,000 Frontends, against a real
//! API server.
//!
//! `cargo bench --bench status` takes about five minutes; `MAGLEV_BENCH_NODES` and `MAGLEV_BENCH_FRONTENDS` make it
//! smaller. The agents are simulated where their links end: what they say goes straight into the controller, decoded
//! (gRPC is not in it). Everything else is real: the API server, the Lease, every write. Writes are counted by a watch of
//! its own and not by the controller.
//!
//! 1. All Frontends are programmed on all nodes, and every status has come to rest.
//! 2. Every backend of every agent changes its state every 5 s, and every Frontend with it. How many statuses are
//!    written a second; in the middle one Frontend is edited, and how long it takes until its conditions are right.
//! 3. Flapping stops with everything up. How long until every condition is right, beside 10 s + objects that differ / 5.
//! 4. Every agent restarts, one after the other. How many Frontends and Backends are written.
#![expect(clippy::print_stdout, reason = "the figures are what this is run for")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a benchmark that cannot go on has nothing to say")]

mod agents;
mod cluster;

use std::sync::Arc;
use std::time::Duration;

use maglev_controller::{Controller, ControllerMetrics, ControllerOptions};
use maglev_kube::lease::Standing;
use maglev_kube::{LeaseLoop, LeaseOptions};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use self::agents::Agents;
use self::cluster::Objects;

fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn main() {
    // `cargo bench -- FILTER` asks every benchmark; `cargo test --benches` only wants to know that it builds.
    let args: Vec<String> = std::env::args().skip(1).collect();
    let filter = args.iter().find(|arg| !arg.starts_with('-'));
    if args.iter().any(|arg| arg == "--test") || filter.is_some_and(|filter| !"status".contains(filter.as_str())) {
        return;
    }
    maglev_kube::client::install_tls_provider();
    let threads =
        |count| tokio::runtime::Builder::new_multi_thread().worker_threads(count).enable_all().build().unwrap();
    // As maglev-controller has them; the agents would be on other machines.
    let (runtime, leases, others) = (threads(2), threads(1), threads(1));
    let (nodes, frontends) = (number("MAGLEV_BENCH_NODES", 500), number("MAGLEV_BENCH_FRONTENDS", 1000));
    runtime.block_on(measure(nodes, frontends, leases.handle(), others.handle()));
    for runtime in [leases, others, runtime] {
        runtime.shutdown_timeout(Duration::from_secs(1));
    }
}

async fn measure(nodes: usize, frontends: usize, leases: &Handle, others: &Handle) {
    let dir = tempfile::tempdir().unwrap();
    let (plane, _processes) = cluster::start(dir.path()).await;
    let client = plane.client().await.unwrap();
    println!("{nodes} agents, {frontends} Frontends with a Backend each");
    let objects = cluster::fill(&client, nodes, frontends).await;
    let agents = Agents::new(objects.nodes.clone(), others.clone());
    agents.follow_specs(&objects);

    let metrics = ControllerMetrics::new().unwrap();
    let options = ControllerOptions::new("default", "bench");
    let controller = Controller::new(client.clone(), options, Arc::new(agents.clone()), metrics);
    let config = plane.config().await.unwrap();
    let lease_client = leases.spawn(async { kube::Client::try_from(config).unwrap() }).await.unwrap();
    let lease = LeaseLoop::new(lease_client, LeaseOptions::new("default", "bench", "bench".to_owned()));
    let end = CancellationToken::new();
    let lead = Box::new(move |leadership, end| controller.lead(leadership, end));
    let began = Instant::now();
    let standing = lease.standing();
    let task = leases.spawn(lease.run(lead, end.clone()));
    agents.all_programmed();
    objects.until("every status is right", 1200, Objects::all_right).await;
    println!("1. every status right {:.0} s after the start; {}", began.elapsed().as_secs_f64(), memory());
    objects.until_quiet().await;

    flapping(&objects, &agents).await;
    still(&objects, &agents).await;
    restarts(&objects, &agents).await;
    assert_eq!(*standing.borrow(), Standing::Leads);
    end.cancel();
    task.await.unwrap();
    objects.end.cancel();
    plane.stop().await;
}

async fn flapping(objects: &Objects, agents: &Agents) {
    const FLAP: Duration = Duration::from_secs(60);
    let flap = agents.flap();
    sleep(Duration::from_secs(10)).await;
    let before = objects.writes();
    let half = FLAP / 2;
    sleep(half).await;
    let edited = objects.edit_one(agents).await;
    sleep(half.saturating_sub(edited)).await;
    let seconds = objects.writes_per_second(before);
    let (all, most) = (seconds.iter().sum::<usize>(), seconds.iter().max().copied().unwrap_or(0));
    println!(
        "2. flapping: {:.2} statuses written a second ({all} in {} s; {most} in the worst second), {} changes heard a \
         second; an edited Frontend's conditions were right after {:.1} s (limit 10); {}",
        all as f64 / seconds.len().max(1) as f64,
        seconds.len(),
        agents.rate(),
        edited.as_secs_f64(),
        memory(),
    );
    flap.cancel();
}

async fn still(objects: &Objects, agents: &Agents) {
    sleep(Duration::from_secs(1)).await;
    let began = Instant::now();
    agents.all_up();
    let differ = objects.wrong();
    objects.until("every condition is right again", 1200, Objects::all_right).await;
    let limit = 10.0 + differ as f64 / 5.0;
    println!(
        "3. still: {differ} objects differed; every condition right after {:.0} s (limit {limit:.0})",
        began.elapsed().as_secs_f64()
    );
    objects.until_quiet().await;
}

async fn restarts(objects: &Objects, agents: &Agents) {
    let (before, began) = (objects.writes(), Instant::now());
    agents.restart_all().await;
    sleep(Duration::from_secs(10)).await;
    let written = objects.writes() - before;
    println!(
        "4. rolling restart of all agents in {:.0} s: {written} Frontends and Backends written",
        began.elapsed().as_secs_f64()
    );
}

/// What this process takes, simulated agents included.
fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let of = |key: &str| {
        let line = status.lines().find(|line| line.starts_with(key)).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
    };
    format!("{} MiB resident, {} at most", of("VmRSS:"), of("VmHWM:"))
}
