//! What many watchers cost: 200 streams of events over loopback gRPC while 20,000 events happen in a second.
//!
//! `cargo bench --bench watchers`, about half a minute; `-- watchers` among others.
//!
//! ```text
//!  load: 20,000 changes/s ─▶ bus ─▶ gRPC server, on its own thread ─▶ 200 connections ─▶ another process
//!  probes: 1,000/s, on their own thread: how late does each begin?
//! ```
//!
//! The parts are wired as in maglevd. First everything but the watchers runs for ten seconds, then the same with them. A
//! watcher reads bytes and counts events; it runs in a process of its own, at a lower priority, for in a cluster it
//! is on another machine. What is printed:
//!
//! * **resident growth**: from before the watchers came to the most while they were there;
//! * **probe lateness**, median and p99, without watchers and with them. `health::Metrics` measures it, from when a
//!   probe was due to when it began;
//! * **delivered** and **lost**: events that reached watchers, and events that they were told they lost. Together they
//!   are what happened, times the watchers;
//! * **CPU per event**: of the server's thread for each event delivered, and of the whole process, less what it took
//!   without watchers.
//!
//! `benches/README.md` has figures.
#![expect(clippy::print_stdout, reason = "the figures are what this is run for")]

mod figures;
mod load;
mod others;
mod probes;
mod process;

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
    others::Watchers,
    probes::Probes,
};

const WATCHERS: usize = 200;
/// Each of the two phases.
const PHASE: Duration = Duration::from_secs(10);
const SETTLE: Duration = Duration::from_secs(2);

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(result) = others::watch_if_asked(&arguments) {
        return result;
    }
    // `cargo bench -- FILTER` passes the filter to every benchmark.
    let mut filters = arguments.iter().filter(|argument| !argument.starts_with('-')).peekable();
    if filters.peek().is_some() && !filters.any(|filter| "watchers".contains(filter.as_str())) {
        return Ok(());
    }
    // As in maglevd.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let result = runtime.block_on(async { tokio::spawn(bench()).await });
    runtime.shutdown_timeout(Duration::from_secs(1));
    result?
}

async fn bench() -> anyhow::Result<()> {
    println!("{WATCHERS} watchers, {} events/s, {PHASE:?} without and with them", load::PER_SECOND);
    let bus = Bus::new(BusOptions { log_level: Level::Info, clock: Timestamp::now, epoch: 1 });
    let (events, shutdown) = (bus.events(), CancellationToken::new());
    let sources = rpc::sources(&bus);
    let bus = tokio::spawn(bus.run(shutdown.clone()));
    let load = Load::start(events.clone(), shutdown.clone());
    let probes = Probes::start(events, shutdown.clone())?;
    sleep(SETTLE).await;
    let without = phase(&load, &probes, None).await?;

    let server = rpc::server("bench", sources);
    let mut bound = server.bound();
    let server = server.start(shutdown.clone())?;
    let address = bound.wait_for(|bound| !bound.is_empty()).await?[0];
    let before = process::resident()?;
    let mut watchers = Watchers::start(address, WATCHERS).await?;
    sleep(SETTLE).await;
    let with = phase(&load, &probes, Some(&mut watchers)).await?;

    Figures { without, with, before }.print();
    watchers.stop().await?;
    shutdown.cancel();
    bus.await?;
    tokio::task::spawn_blocking(|| server.join()).await?.map_err(|_| anyhow::anyhow!("the server panicked"))?;
    probes.stop()
}

/// Measures for a while.
async fn phase(load: &Load, probes: &Probes, mut watchers: Option<&mut Watchers>) -> anyhow::Result<Phase> {
    let counted = match &mut watchers {
        Some(watchers) => Some(watchers.counted().await?),
        None => None,
    };
    let (begin, emitted, lateness) = (Instant::now(), load.emitted(), probes.lateness());
    let (process, server) = (process::cpu()?, process::cpu_of_thread("rpc")?);
    let mut resident: f64 = 0.0;
    while begin.elapsed() < PHASE {
        sleep(Duration::from_millis(100)).await;
        resident = resident.max(process::resident()?);
    }
    let took = begin.elapsed();
    let (process, server) = (process::cpu()? - process, process::cpu_of_thread("rpc")?.saturating_sub(server));
    let (emitted, lateness) = (load.emitted() - emitted, probes.lateness().since(&lateness));
    ensure!(emitted > 0, "nothing happened");
    let counted = match (watchers, counted) {
        (Some(watchers), Some(before)) => {
            let counted = watchers.counted().await.context("the watchers are gone")?;
            Some(counted.since(&before))
        }
        _ => None,
    };
    Ok(Phase { took, emitted, lateness, process, server, resident, counted })
}
