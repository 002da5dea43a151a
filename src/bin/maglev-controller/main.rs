//! `maglev-controller`, which writes the status of everything: telemetry, and the end of the process.

mod flags;
mod parts;

use std::{io::Write as _, process::ExitCode, time::Duration};

use clap::Parser as _;
use maglev::{
    crd,
    telemetry::{self, LogOptions},
};
use prometheus::Registry;

use flags::{COMMIT, Command, Flags, VERSION};

fn main() -> anyhow::Result<ExitCode> {
    let flags = Flags::parse();
    if let Some(Command::Crds) = flags.command {
        return print_crds();
    }
    let _log = telemetry::log::init(LogOptions { format: flags.log_format, level: flags.log_level })?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    // A thread of its own: whatever there is to fold, the Lease is renewed in time.
    let leases = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let registry = Registry::new();
    telemetry::register_build_info(&registry, VERSION, COMMIT)?;
    let result = runtime.block_on(parts::run(flags, registry, leases.handle()));
    if let Err(err) = &result {
        tracing::error!(err = format!("{err:#}"), "maglev-controller-failed");
    }
    leases.shutdown_timeout(Duration::from_secs(1));
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print_crds() -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    for crd in crd::all() {
        write!(out, "---\n{}", crd::yaml(&crd)?)?;
    }
    Ok(ExitCode::SUCCESS)
}
