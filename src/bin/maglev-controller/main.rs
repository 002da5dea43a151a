//! `maglev-controller`, which writes the status of all objects: flags, telemetry, and the exit status.

mod flags;
mod parts;

use std::{io::Write as _, path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser as _;
use maglev_build_info::{COMMIT, VERSION};
use maglev_crd as crd;
use maglev_fleet::check::Check;
use maglev_kube::{ClientOptions, client};
use maglev_telemetry::{self as telemetry, LogOptions};
use prometheus::Registry;

use flags::{Command, Flags};

fn main() -> anyhow::Result<ExitCode> {
    let flags = Flags::parse();
    match &flags.command {
        Some(Command::Crds) => return print_crds(),
        Some(Command::Check(arguments)) => {
            let security = flags.agent_security(&arguments.namespace)?;
            return check(&arguments.check(security), flags.kubeconfig.clone());
        }
        None => {}
    }
    let _log = telemetry::log::init(LogOptions { format: flags.log_format, level: flags.log_level })?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    // On its own thread, so that the Lease is renewed in time under load.
    let leases = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let registry = Registry::new();
    telemetry::register_build_info(&registry, VERSION, COMMIT)?;
    let result = runtime.block_on(parts::run(flags, registry, leases.handle()));
    if let Err(error) = &result {
        tracing::error!(error = format!("{error:#}"), "maglev-controller-failed");
    }
    leases.shutdown_timeout(Duration::from_secs(1));
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn check(check: &Check, kubeconfig: Option<PathBuf>) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(async {
        let client = client::client(ClientOptions { kubeconfig, ..ClientOptions::default() }).await?;
        anyhow::Ok(check.run(&client).await)
    })?;
    write!(std::io::stdout().lock(), "{report}")?;
    Ok(if report.is_fine() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print_crds() -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    for crd in crd::all() {
        write!(out, "---\n{}", crd::yaml(&crd)?)?;
    }
    Ok(ExitCode::SUCCESS)
}
