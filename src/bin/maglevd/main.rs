//! `maglevd`, the agent of one load-balancer node: flags, telemetry and wiring.

mod flags;

use std::{process::ExitCode, sync::Arc, time::Duration};

use clap::Parser as _;
use jiff::Timestamp;
use maglev::{
    health::{self, HealthOptions},
    k8s::{ClientOptions, Delays, WatchOptions, Watches, client},
    model::event::Events,
    telemetry::{self, Bus, BusOptions, HttpServer, LogOptions, Probe},
};
use prometheus::Registry;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use flags::{COMMIT, Flags, VERSION};

/// How long the parts have to end once asked to; VPP stays as it is either way.
const END_LIMIT: Duration = Duration::from_secs(5);

fn main() -> anyhow::Result<ExitCode> {
    let flags = Flags::parse();
    let _log = telemetry::log::init(LogOptions { format: flags.log_format, level: flags.log_level })?;
    // The work waits far more than it computes, and a node's cores are VPP's.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let bus = Bus::new(BusOptions { log_level: flags.log_level, clock: Timestamp::now });
    let (events, registry, end) = (bus.events(), Registry::new(), CancellationToken::new());
    bus.register(&registry)?;
    let bus = runtime.spawn(bus.run(end.clone()));
    let result = runtime.block_on(run(flags, events, registry));
    // Last, so that what the parts say at their end is told.
    end.cancel();
    runtime.block_on(bus)?;
    runtime.shutdown_timeout(Duration::from_secs(1));
    let Err(err) = result else { return Ok(ExitCode::SUCCESS) };
    tracing::error!(err = format!("{err:#}"), "maglevd-failed");
    Ok(ExitCode::FAILURE)
}

async fn run(flags: Flags, events: Events, registry: Registry) -> anyhow::Result<()> {
    let node_name = flags.node_name()?;
    tracing::info!(version = VERSION, commit = COMMIT, node = node_name, "maglevd-start");
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (shutdown, mut parts) = (CancellationToken::new(), JoinSet::new());
    telemetry::register_build_info(&registry, VERSION, COMMIT)?;

    let client = client::client(ClientOptions { kubeconfig: flags.kubeconfig.clone() }).await?;
    let options = WatchOptions { node_name, allow_loopback: flags.allow_loopback, delays: Delays::default() };
    let (mut watches, config_rx) = Watches::new(client, options, events.clone());
    watches.register(&registry)?;

    let options = HealthOptions::new(VERSION, fastrand::u64(..));
    options.metrics.register(&registry)?;
    let (_health_rx, health) = health::start(options, config_rx.clone(), events, shutdown.clone())?;

    let ready: Probe = Arc::new(move || match &*config_rx.borrow() {
        Some(_) => Ok(()),
        None => Err("waiting for the first complete list of every kind".into()),
    });
    let server = HttpServer::new(flags.metrics_addr(), registry, Arc::new(|| Ok(())), ready);

    parts.spawn(watches.run(shutdown.clone()));
    parts.spawn(server.run(shutdown.clone()));
    parts.spawn_blocking(move || drop(health.join()));
    let result = tokio::select! {
        _ = terminate.recv() => Ok("SIGTERM"),
        _ = interrupt.recv() => Ok("SIGINT"),
        // Blind or deaf it would be of no use: Kubernetes starts it anew, and VPP forwards meanwhile.
        ended = parts.join_next() => Err(anyhow::anyhow!("a part ended by itself: {ended:?}")),
    };
    tracing::info!(signal = result.as_ref().unwrap_or(&"none"), "maglevd-stop");
    shutdown.cancel();
    if tokio::time::timeout(END_LIMIT, async { while parts.join_next().await.is_some() {} }).await.is_err() {
        tracing::warn!(parts = parts.len(), "maglevd-stop-incomplete");
    }
    result.map(drop)
}
