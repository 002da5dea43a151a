//! The cost of many watchers: 200 streams of events over loopback gRPC at 20,000 events per second.
//!
//! `cargo bench --bench watchers` takes about half a minute.
//!
//! ```text
//!  load: 20,000 changes/s ─▶ bus ─▶ gRPC server, on its own thread ─▶ 200 connections ─▶ counting process
//!  probes: 1,000/s, on their own thread: measures the start delay of each
//! ```
//!
//! The parts are wired as in maglevd. First everything except the watchers runs for ten seconds, then everything. A
//! watcher reads bytes and counts events. All watchers are in a separate process at a lower priority, because in a
//! cluster they are on other machines. The output is:
//!
//! * **resident growth**: from before the watchers connected to the maximum with them;
//! * **probe start delay**, median and p99, without and with watchers: the delay between the due time and the start of a
//!   probe, measured by `maglev_health::ProbeMetrics`;
//! * **delivered** and **lost**: events that reached watchers, and events whose loss was reported to watchers. The sum
//!   is the number of emitted events times the watchers;
//! * **CPU per event** delivered: of the server's thread, and of the whole process minus its CPU time without watchers.
//!
//! `benches/README.md` contains results.
#![expect(clippy::print_stdout, reason = "prints the results")]

mod figures;
mod load;
mod probes;
mod process_usage;
mod watchers;

use std::time::Duration;

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use maglev_benches::rpc;
use maglev_model::event::Level;
use maglev_telemetry::{Bus, BusOptions};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use self::{
    figures::{Figures, Phase},
    load::Load,
    probes::Probes,
    watchers::Watchers,
};

const WATCHERS: usize = 200;
/// Duration of each of the two phases.
const PHASE: Duration = Duration::from_secs(10);
const WARM_UP: Duration = Duration::from_secs(2);

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(result) = watchers::run_if_requested(&arguments) {
        return result;
    }
    // `cargo bench -- FILTER` passes the filter to every benchmark.
    let mut filters = arguments.iter().filter(|argument| !argument.starts_with('-')).peekable();
    if filters.peek().is_some() && !filters.any(|filter| "watchers".contains(filter.as_str())) {
        return Ok(());
    }
    // The same runtime as in maglevd.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let result = runtime.block_on(async { tokio::spawn(bench()).await });
    runtime.shutdown_timeout(Duration::from_secs(1));
    result?
}

async fn bench() -> anyhow::Result<()> {
    println!("{WATCHERS} watchers, {} events/s, {PHASE:?} without and {PHASE:?} with watchers", load::PER_SECOND);
    let bus = Bus::new(BusOptions { log_level: Level::Info, clock: Timestamp::now, epoch: 1 });
    let (events, shutdown) = (bus.events(), CancellationToken::new());
    let sources = rpc::sources(&bus);
    let bus = tokio::spawn(bus.run(shutdown.clone()));
    let load = Load::start(events.clone(), shutdown.clone());
    let probes = Probes::start(events, shutdown.clone())?;
    sleep(WARM_UP).await;
    let without = phase(&load, &probes, None).await?;

    let server = rpc::server("bench", sources);
    let mut bound = server.bound();
    let server = server.start(shutdown.clone())?;
    let address = bound.wait_for(|bound| !bound.is_empty()).await?[0];
    let before = process_usage::resident()?;
    let mut watchers = Watchers::start(address, WATCHERS).await?;
    sleep(WARM_UP).await;
    let with = phase(&load, &probes, Some(&mut watchers)).await?;

    Figures { without, with, before }.print();
    watchers.stop().await?;
    shutdown.cancel();
    bus.await?;
    tokio::task::spawn_blocking(|| server.join()).await?.map_err(|_| anyhow::anyhow!("the server panicked"))?;
    probes.stop()
}

/// Measures one phase.
async fn phase(load: &Load, probes: &Probes, mut watchers: Option<&mut Watchers>) -> anyhow::Result<Phase> {
    let counted = match &mut watchers {
        Some(watchers) => Some(watchers.counts().await?),
        None => None,
    };
    let (begin, emitted, start_delays) = (Instant::now(), load.emitted(), probes.start_delays());
    let (process, server) = (process_usage::cpu()?, process_usage::cpu_of_thread("rpc")?);
    let mut resident: f64 = 0.0;
    while begin.elapsed() < PHASE {
        sleep(Duration::from_millis(100)).await;
        resident = resident.max(process_usage::resident()?);
    }
    let took = begin.elapsed();
    let (process, server) =
        (process_usage::cpu()? - process, process_usage::cpu_of_thread("rpc")?.saturating_sub(server));
    let (emitted, start_delays) = (load.emitted() - emitted, probes.start_delays().since(&start_delays));
    ensure!(emitted > 0, "no event was emitted");
    let counted = match (watchers, counted) {
        (Some(watchers), Some(before)) => {
            let counted = watchers.counts().await.context("the process of the watchers has ended")?;
            Some(counted.since(&before))
        }
        _ => None,
    };
    Ok(Phase { took, emitted, start_delays, process, server, resident, counted })
}
