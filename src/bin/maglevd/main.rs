//! `maglevd`, the agent of one load-balancer node: flags, telemetry, and the exit status.

mod auth;
mod flags;
mod grpc;
mod parts;
mod probe;
mod withdraw;

use std::{process::ExitCode, time::Duration};

use clap::Parser as _;
use jiff::Timestamp;
use maglev_build_info::{COMMIT, VERSION};
use maglev_telemetry::{self as telemetry, Bus, BusOptions, LogOptions};
use prometheus::Registry;
use tikv_jemallocator::Jemalloc;
use tokio_util::sync::CancellationToken;

use flags::{Command, Flags};
use parts::Telemetry;

/// Returns freed memory to the system, and wastes less of it than the C library between the objects of a large cluster.
/// `.cargo/config.toml` has its settings.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> anyhow::Result<ExitCode> {
    let flags = Flags::parse();
    let _log = telemetry::log::init(LogOptions { format: flags.log_format, level: flags.log_level })?;
    // The agent is mostly idle, and the node's cores belong to VPP.
    // With one CPU, a second thread would only cost switches between both.
    let workers = std::thread::available_parallelism().map_or(2, |cpus| cpus.get().min(2));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()?;
    let registry = Registry::new();
    telemetry::register_build_info(&registry, VERSION, COMMIT)?;
    let options = BusOptions { log_level: flags.log_level, clock: Timestamp::now, epoch: fastrand::u64(..) };
    let bus = Bus::new(options);
    bus.register(&registry)?;
    let (events, end) = (bus.events(), CancellationToken::new());
    let telemetry = Telemetry { events: bus.events(), follow: bus.subscriber(), snapshots: bus.snapshots(), registry };
    let bus = runtime.spawn(bus.run(end.clone()));
    let success = |()| ExitCode::SUCCESS;
    let result = match &flags.command {
        Some(Command::Withdraw) => runtime.block_on(withdraw::run(&flags, events)).map(success),
        Some(Command::Probe(arguments)) => runtime.block_on(probe::run(&flags, arguments)),
        None => runtime.block_on(parts::run(flags, telemetry)).map(success),
    };
    if let Err(error) = &result {
        tracing::error!(error = format!("{error:#}"), "maglevd-failed");
    }
    // The event bus stops last, so that the final events of the other parts are published.
    end.cancel();
    runtime.block_on(bus)?;
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(result.unwrap_or(ExitCode::FAILURE))
}
