//! `maglev-frontend`, the live page of all nodes: flags, telemetry, and the exit status.

mod flags;
mod parts;
mod sign_in;

use std::{process::ExitCode, time::Duration};

use clap::Parser as _;
use maglev_build_info::{COMMIT, VERSION};
use maglev_telemetry::{self as telemetry, LogOptions};
use prometheus::Registry;

use flags::Flags;

fn main() -> anyhow::Result<ExitCode> {
    let flags = Flags::parse();
    let _log = telemetry::log::init(LogOptions { format: flags.log_format, level: flags.log_level })?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let registry = Registry::new();
    telemetry::register_build_info(&registry, VERSION, COMMIT)?;
    let result = runtime.block_on(parts::run(flags, registry));
    if let Err(error) = &result {
        tracing::error!(error = format!("{error:#}"), "maglev-frontend-failed");
    }
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
