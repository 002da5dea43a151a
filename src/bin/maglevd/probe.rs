//! `maglevd probe`: sends one probe and explains it.
#![expect(clippy::print_stdout, reason = "the output of the command")]

use std::{
    io::Read as _,
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use maglev_build_info::VERSION;
use maglev_health::{NetworkNamespace, NetworkProber, ProbeOutcome, ProbeTarget, ProbeThread, describe_effect};
use maglev_index::{Holder, HolderContent, Manifest};
use maglev_kube::{ClientOptions, client, read_certificates};
use maglev_model::{config::HealthCheck, printable::escaped};

use crate::flags::{Flags, ProbeArguments};

/// Sends the probe and prints each step and the result.
pub async fn run(flags: &Flags, arguments: &ProbeArguments) -> anyhow::Result<ExitCode> {
    let manifest = Manifest::read(&text(&arguments.manifest)?, arguments.name.as_deref())?;
    let thread = ProbeThread::start(flags.probe_network_namespace.as_deref().map(NetworkNamespace::from))?;
    let icmp_missing = thread.icmp_missing().map(str::to_owned);
    let check = manifest.resolve(icmp_missing, async |holder| read(flags, holder).await).await?;
    print_line(&describe(&check));
    let target = ProbeTarget { address: arguments.address, source: arguments.source, check: Arc::clone(&check) };
    let probe = async move || {
        let begin = Instant::now();
        let trace = move |step| print_line(&format!("{:>9}  {step}", milliseconds(begin.elapsed())));
        let outcome = NetworkProber::new(VERSION).probe_with_trace(target, &trace).await;
        (outcome, begin.elapsed())
    };
    let (outcome, took) = tokio::task::spawn_blocking(|| thread.block_on(probe)).await??;
    let succeeded = match &outcome {
        ProbeOutcome::Completed { code, detail } => {
            print_line(&format!("{:>9}  {code}: {detail}", milliseconds(took)));
            code.is_success()
        }
        ProbeOutcome::NotProbed { detail } => {
            print_line(&format!("{:>9}  not probed: {detail}", milliseconds(took)));
            false
        }
    };
    print_line(&describe_effect(&outcome, &check));
    Ok(if succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints a line, parts of which the server and the manifest choose.
fn print_line(line: &str) {
    println!("{}", escaped(line));
}

fn text(manifest: &Path) -> anyhow::Result<String> {
    if manifest == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("cannot read the manifest from standard input")?;
        return Ok(text);
    }
    std::fs::read_to_string(manifest).with_context(|| format!("cannot read {}", manifest.display()))
}

/// Reads a Secret or ConfigMap that is not in the manifest.
async fn read(flags: &Flags, holder: &Holder) -> HolderContent {
    match client::client(ClientOptions { kubeconfig: flags.kubeconfig.clone(), ..ClientOptions::default() }).await {
        Ok(client) => read_certificates(client, holder).await,
        Err(error) => HolderContent::Failed(format!("not in the manifest, and the API server cannot be used: {error}")),
    }
}

fn describe(check: &HealthCheck) -> String {
    let HealthCheck { name, interval, fast_interval, down_interval, timeout, rise, fall, probe, .. } = check;
    format!(
        "HealthCheck {name}: {}, timeout {timeout:?}, interval {interval:?} (fast {fast_interval:?}, down \
         {down_interval:?}), rise {rise}, fall {fall}",
        probe.type_name()
    )
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}
