//! The controller's limits of status writes at scale: 500 agents and 1,000 Frontends, with a real API server.
//!
//! `cargo bench --bench status` takes about five minutes; `MAGLEV_BENCH_NODES` and `MAGLEV_BENCH_FRONTENDS` make it
//! smaller. The agents are simulated at the end of their links: the controller receives decoded reports, without gRPC.
//! All else is real: the API server, the Lease and every write. The benchmark's own watch counts the writes.
//!
//! 1. All Frontends are programmed on all nodes, and no status changes any more.
//! 2. Every Backend of every agent changes its state every 5 s, and every Frontend with it. Measures the status writes
//!    per second. Meanwhile one Frontend is edited: measures the time until its conditions are correct.
//! 3. Flapping ends with everything up. Measures the time until every condition is correct; the limit is 10 s plus the
//!    number of differing objects / 5.
//! 4. Every agent restarts, one after the other. Counts the written Frontends and Backends.
#![expect(clippy::print_stdout, reason = "prints the results")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a benchmark that cannot continue has no result")]

mod agents;
mod cluster;

use std::sync::Arc;
use std::time::Duration;

use maglev_controller::{Controller, ControllerMetrics, ControllerOptions};
use maglev_kube::lease::LeaderState;
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
    // `cargo bench -- FILTER` passes the filter to every benchmark; `cargo test --benches` only has to build them.
    let args: Vec<String> = std::env::args().skip(1).collect();
    let filter = args.iter().find(|arg| !arg.starts_with('-'));
    if args.iter().any(|arg| arg == "--test") || filter.is_some_and(|filter| !"status".contains(filter.as_str())) {
        return;
    }
    maglev_kube::client::install_tls_provider();
    let threads =
        |count| tokio::runtime::Builder::new_multi_thread().worker_threads(count).enable_all().build().unwrap();
    // As in maglev-controller. The agents would be on other machines.
    let (runtime, leases, agents) = (threads(2), threads(1), threads(1));
    let (nodes, frontends) = (number("MAGLEV_BENCH_NODES", 500), number("MAGLEV_BENCH_FRONTENDS", 1000));
    runtime.block_on(measure(nodes, frontends, leases.handle(), agents.handle()));
    for runtime in [leases, agents, runtime] {
        runtime.shutdown_timeout(Duration::from_secs(1));
    }
}

async fn measure(nodes: usize, frontends: usize, leases: &Handle, agent_runtime: &Handle) {
    let dir = tempfile::tempdir().unwrap();
    let (plane, _processes) = cluster::start(dir.path()).await;
    let client = plane.client().await.unwrap();
    println!("{nodes} agents, {frontends} Frontends with a Backend each");
    let objects = cluster::fill(&client, nodes, frontends).await;
    let agents = Agents::new(objects.nodes.clone(), agent_runtime.clone());
    agents.follow_specs(&objects);

    let metrics = ControllerMetrics::new().unwrap();
    let options = ControllerOptions::new("default", "bench");
    let controller = Controller::new(client.clone(), options, Arc::new(agents.clone()), metrics);
    let config = plane.config().await.unwrap();
    let lease_client = leases.spawn(async { kube::Client::try_from(config).unwrap() }).await.unwrap();
    let lease = LeaseLoop::new(lease_client, LeaseOptions::new("default", "bench", "bench".to_owned()));
    let end = CancellationToken::new();
    let lead = Box::new(move |leadership, end| controller.lead(leadership, end));
    let start = Instant::now();
    let leader_state = lease.state();
    let task = leases.spawn(lease.run(lead, end.clone()));
    agents.all_programmed();
    objects.until("every status is correct", 1200, Objects::all_as_expected).await;
    println!("1. every status correct {:.0} s after the start; {}", start.elapsed().as_secs_f64(), memory());
    objects.until_quiet().await;

    flapping(&objects, &agents).await;
    recovery(&objects, &agents).await;
    restarts(&objects, &agents).await;
    assert_eq!(*leader_state.borrow(), LeaderState::Leads);
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
    let (total, max) = (seconds.iter().sum::<usize>(), seconds.iter().max().copied().unwrap_or(0));
    println!(
        "2. flapping: {:.2} status writes/s ({total} in {} s; at most {max} in a second), {} changes/s received; the \
         conditions of an edited Frontend were correct after {:.1} s (limit 10); {}",
        total as f64 / seconds.len().max(1) as f64,
        seconds.len(),
        agents.rate(),
        edited.as_secs_f64(),
        memory(),
    );
    flap.cancel();
}

async fn recovery(objects: &Objects, agents: &Agents) {
    sleep(Duration::from_secs(1)).await;
    let start = Instant::now();
    agents.all_up();
    let differ = objects.mismatches();
    objects.until("every condition is correct again", 1200, Objects::all_as_expected).await;
    let limit = 10.0 + differ as f64 / 5.0;
    println!(
        "3. recovery: {differ} objects differed; every condition correct after {:.0} s (limit {limit:.0})",
        start.elapsed().as_secs_f64()
    );
    objects.until_quiet().await;
}

async fn restarts(objects: &Objects, agents: &Agents) {
    let (before, start) = (objects.writes(), Instant::now());
    agents.restart_all().await;
    sleep(Duration::from_secs(10)).await;
    let written = objects.writes() - before;
    println!(
        "4. rolling restart of all agents in {:.0} s: {written} Frontends and Backends written",
        start.elapsed().as_secs_f64()
    );
}

/// The memory of this process, including the simulated agents.
fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mebibytes = |key: &str| {
        let line = status.lines().find(|line| line.starts_with(key)).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
    };
    format!("{} MiB resident, {} at most", mebibytes("VmRSS:"), mebibytes("VmHWM:"))
}
