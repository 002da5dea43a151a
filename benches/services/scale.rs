//! An agent with 1,000 Services of 3 ports, each with a pod on all of 100 Nodes: 3,000 Frontends whose pools have the same
//! 100 derived Backends, and 5,000 EndpointSlices with 20 endpoints.
//!
//! ```text
//!  API server with pages of lists, and watches ─▶ maglevd on core 0 ─▶ one simulated VPP: 3,000 VIPs, 300,000 servers
//!                                                       └─ GET /livez of 100 Nodes ─▶ a server that counts
//! ```
//!
//! * **start**: from the start of the process until it has reported each Frontend as Programmed.
//! * **memory**: resident, after the start and at the end, and the peaks until and since then: VPP's state is read every 30 s.
//! * **changed slice**: one endpoint starts or ends to terminate, one slice after the other; each changes a weight in the 3
//!   VIPs of the Service. CPU is the time of all threads from /proc, without that of as long a time before, in which only
//!   probes ran. The time until VPP has the last of the 3 weights is printed, too.
//! * **checks**: requests that the server received meanwhile, and the number of Nodes that they were for.
//!
//! The tables have 1,024 buckets, so that all of them fit into the default limit of a node, and the simulated VPP does not
//! compute them. `benches/README.md` contains results.

mod agent;
mod api;
mod health;
mod objects;

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use maglev_vpp_simulator::{Recompute, Simulator, SimulatorOptions};
use tokio::time::{sleep, timeout};

use self::{agent::Agent, api::Api, health::HealthServer};

const SERVICES: usize = 1_000;
const PORTS: usize = 3;
const NODES: usize = 100;
const SLICES_PER_SERVICE: usize = 5;
const FRONTENDS: usize = SERVICES * PORTS;
/// Number of changed slices.
const CHANGES: usize = 2_000;
/// Time in which only probes run, and one full pass: the interval of passes. The changes take about as long.
const IDLE: Duration = Duration::from_secs(30);
/// Delay of the first reading of the memory.
const SETTLED: Duration = Duration::from_secs(10);
/// Longest time that the benchmark waits for the start.
const START_LIMIT: Duration = Duration::from_secs(300);
const CHANGE_LIMIT: Duration = Duration::from_secs(30);

/// Runs the benchmark.
pub fn run() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let result = runtime.block_on(measure());
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

async fn measure() -> anyhow::Result<()> {
    println!("{SERVICES} Services x {PORTS} ports x {NODES} Nodes, {} slices", SERVICES * SLICES_PER_SERVICE);
    let directory = tempfile::tempdir()?;
    let health = HealthServer::start().await?;
    let options = SimulatorOptions {
        recompute: Recompute::Lazy,
        stats_socket: Some(directory.path().join("stats.sock")),
        ..SimulatorOptions::new(directory.path().join("api.sock"))
    };
    let vpp = Simulator::start(options).await?;
    let api = Api::start(directory.path(), health.port()).await?;

    let start = Instant::now();
    let mut agent = Agent::start(directory.path(), &api)?;
    agent.until_programmed(FRONTENDS, START_LIMIT).await?;
    print("start to Programmed", start.elapsed().as_secs_f64(), "s", 30.0);
    let servers: usize = vpp.snapshot().vips.values().map(|vip| vip.ases.len()).sum();
    ensure!(servers == FRONTENDS * NODES, "VPP has {servers} servers");
    print("  CPU of it", agent.cpu()?.as_secs_f64(), "s", f64::NAN);
    sleep(SETTLED).await;
    print("resident memory after the start", agent.memory()?, "MiB", 150.0);
    print("  peak of the start", agent.peak_memory()?, "MiB", f64::NAN);
    agent.forget_peak_memory()?;

    let (idle_start, requests) = (agent.cpu()?, health.requests());
    sleep(IDLE).await;
    let idle = (agent.cpu()? - idle_start).as_secs_f64() / IDLE.as_secs_f64();
    let rate = (health.requests() - requests) as f64 / IDLE.as_secs_f64();
    print("Nodes that are probed", health.nodes() as f64, "", NODES as f64);
    print("probes per second (interval 2 s)", rate, "", NODES as f64 / 2.0);
    print("CPU per second while idle", idle * 1e3, "ms", f64::NAN);

    let (start, before) = (Instant::now(), agent.cpu()?);
    let mut latencies = Vec::with_capacity(CHANGES);
    for number in 0..CHANGES {
        latencies.push(change(&api, &vpp, number).await?);
    }
    let idle = idle * start.elapsed().as_secs_f64();
    let each = ((agent.cpu()? - before).as_secs_f64() - idle) / CHANGES as f64;
    print("CPU per changed slice", each * 1e3, "ms", 2.0);
    latencies.sort_unstable();
    print("  until VPP has the weights, median", latencies[CHANGES / 2].as_secs_f64() * 1e3, "ms", f64::NAN);
    print("  p99", latencies[CHANGES * 99 / 100].as_secs_f64() * 1e3, "ms", f64::NAN);
    print("resident memory at the end", agent.memory()?, "MiB", 150.0);
    print("  peak since the start", agent.peak_memory()?, "MiB", 150.0);
    Ok(())
}

/// Prints a value with its goal, if there is one.
fn print(name: &str, value: f64, unit: &str, goal: f64) {
    let goal = if goal.is_nan() { String::new() } else { format!("goal {goal} {unit}") };
    println!("  {name:<40} {value:>9.2} {unit:<4} {goal}");
}

/// Changes one slice, and waits until VPP has the weights of its Service. Returns the time that took.
async fn change(api: &Api, vpp: &Simulator, number: usize) -> anyhow::Result<Duration> {
    let (writes, start) = (vpp.writes(), Instant::now());
    api.change_slice(number);
    let written = async {
        while vpp.writes() < writes + PORTS as u64 {
            sleep(Duration::from_micros(500)).await;
        }
    };
    timeout(CHANGE_LIMIT, written)
        .await
        .with_context(|| format!("VPP does not have the weights of change {number}"))?;
    Ok(start.elapsed())
}
