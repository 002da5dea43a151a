//! Services of type LoadBalancer on two nodes: the time until VPP has the servers of a new Service, and the latency from a
//! change of an EndpointSlice to VPP.
//!
//! ```text
//!  this program ─writes─▶ API server ─watch─▶ maglevd (2 processes) ─▶ simulated VPP
//!       │                     │                                             │
//!       │                     ├──watch──▶ the controller, in this program   │
//!       └◀──────watch─────────┘                                             └─▶ read every 0.2 ms
//! ```
//!
//! The API server is a real one, without Kubernetes' controllers: this program writes Services and EndpointSlices. The nodes
//! are servers (`targets: Nodes`) and not probed.
//!
//! * `services/apply`: a Service and its EndpointSlice are created, one after another. The clock runs from before the first request
//!   until both VPPs have the servers with their weights; meanwhile the controller gives the Service an address and a Frontend.
//! * `services/changes`: an EndpointSlice is replaced by one with other numbers of ready endpoints on both nodes. Two clocks run until
//!   a VPP has the weights: from before the request, and from the event that this program's own watch receives. The latter is
//!   0 for an agent that is faster than that. With a controller, and after its end.
//!
//! `benches/README.md` contains results.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a benchmark that cannot continue has no result")]

mod cluster;

use std::time::Duration;

use self::cluster::{Cluster, Latency};

/// Services that are created one after another.
const SERVICES: usize = 50;
/// Changes with a controller, and as many without.
const CHANGES: usize = 300;
/// Milliseconds between changes.
const PAUSE: std::ops::Range<u64> = 20..60;
/// The goals for the servers of a new Service, and for the 99th percentile of changes.
const APPLY_GOAL: Duration = Duration::from_secs(2);
const CHANGE_GOAL: Duration = Duration::from_millis(50);

/// Measures the selected parts.
pub fn run(apply: bool, changes: bool) {
    maglev_kube::client::install_tls_provider();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    // VPP serves its API with one thread.
    let vpps = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(measure(apply, changes, vpps.handle()));
    for runtime in [vpps, runtime] {
        runtime.shutdown_timeout(Duration::from_secs(1));
    }
}

async fn measure(apply: bool, changes: bool, vpps: &tokio::runtime::Handle) {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(dir.path(), vpps).await;
    // Without figures: the first Service waits for the controller's first term.
    cluster.create(0).await;
    if apply {
        let mut times = Vec::new();
        for number in 1..=SERVICES {
            times.push(cluster.create(number).await);
        }
        let line = figures(&mut times, APPLY_GOAL, 100);
        println!("services/apply: {SERVICES} Services, from the first request to the servers in both VPPs: {line}");
    }
    if changes {
        print_changes("with a controller", change(&mut cluster).await);
        cluster.stop_controller().await;
        print_changes("without a controller", change(&mut cluster).await);
    }
    cluster.stop().await;
}

/// The latencies of all changes on both nodes.
async fn change(cluster: &mut Cluster) -> Vec<Latency> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut latencies = Vec::new();
    let mut ready = [0; 2];
    for _ in 0..CHANGES {
        let before = ready;
        while ready == before || ready[0] == before[0] || ready[1] == before[1] {
            ready = [random.u8(1..=5), random.u8(1..=5)];
        }
        latencies.extend(cluster.change(ready).await);
        tokio::time::sleep(Duration::from_millis(random.u64(PAUSE))).await;
    }
    latencies
}

fn print_changes(label: &str, latencies: Vec<Latency>) {
    let (mut from_request, mut from_event): (Vec<_>, Vec<_>) =
        latencies.into_iter().map(|latency| (latency.from_request, latency.from_event)).unzip();
    println!("services/changes, {label}: {CHANGES} changes on 2 nodes, until VPP has the weights");
    println!("  from the request: {}", figures(&mut from_request, CHANGE_GOAL, 99));
    println!("  from the event:   {}", figures(&mut from_event, CHANGE_GOAL, 99));
}

/// Percentiles in ms, and the comparison of one of them with the goal.
fn figures(times: &mut [Duration], goal: Duration, percent: usize) -> String {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() * percent).div_ceil(100).clamp(1, times.len()) - 1];
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    let verdict = if at(percent) <= goal { "yes" } else { "NO" };
    format!(
        "p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms; p{percent} at most {goal:?}: {verdict}",
        ms(at(50)),
        ms(at(99)),
        ms(at(100))
    )
}
