//! Builds and runs the parts of `maglev-controller`.

use std::{sync::Arc, time::Duration};

use anyhow::anyhow;
use futures::FutureExt as _;
use jiff::Timestamp;
use kube::Client;
use maglev_build_info::{COMMIT, VERSION};
use maglev_controller::{Controller, ControllerMetrics, ControllerOptions, FleetLinks, Progress, WaitsFor};
use maglev_fleet::FleetOptions;
use maglev_kube::{
    AgentCertificates, ClientOptions, ClientPurpose, CrdCheck, Delays, LeaseLoop, LeaseOptions, client,
    lease::{LeaderState, LeaderTask},
    scrape_guard,
};
use maglev_telemetry::HttpServer;
use prometheus::Registry;
use tokio::{
    runtime::Handle,
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinSet,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::flags::Flags;

/// Time limit for stopping all parts, including the release of the Lease.
const END_LIMIT: Duration = Duration::from_secs(8);

type Faults = watch::Receiver<Option<Arc<[String]>>>;

/// Runs until a signal arrives or a part ends.
pub async fn run(flags: Flags, registry: Registry, leases: &Handle) -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let shutdown = CancellationToken::new();
    let mut parts = start(&flags, registry, leases, &shutdown).await?;
    let result = tokio::select! {
        _ = terminate.recv() => Ok("SIGTERM"),
        _ = interrupt.recv() => Ok("SIGINT"),
        ended = parts.join_next() => Err(match ended {
            Some(Err(err)) => err.into(),
            Some(Ok(())) | None => anyhow!("a part ended unexpectedly"),
        }),
    };
    tracing::info!(signal = result.as_ref().unwrap_or(&"none"), "maglev-controller-stop");
    shutdown.cancel();
    if tokio::time::timeout(END_LIMIT, async { while parts.join_next().await.is_some() {} }).await.is_err() {
        tracing::warn!(parts = parts.len(), "maglev-controller-stop-incomplete");
    }
    result.map(drop)
}

async fn start(
    flags: &Flags,
    registry: Registry,
    leases: &Handle,
    stop: &CancellationToken,
) -> anyhow::Result<JoinSet<()>> {
    let (identity, namespace, lease) = (flags.identity(), flags.namespace.as_str(), flags.lease.as_str());
    tracing::info!(version = VERSION, commit = COMMIT, identity, namespace, lease, "maglev-controller-start");
    let options = ClientOptions {
        kubeconfig: flags.kubeconfig.clone(),
        purpose: ClientPurpose::Service,
        ..ClientOptions::default()
    };
    let client = client::client(options.clone()).await?;
    // A client belongs to the runtime that it is created in.
    let lease_client = leases.spawn(client::client(options)).await??;
    let (crds, faults) = CrdCheck::new(client.clone());
    let metrics = ControllerMetrics::new()?;
    metrics.register(&registry)?;
    let security = flags.agent_security(namespace)?;
    security.register(&registry)?;
    let links = FleetLinks::new(client.clone(), namespace, Delays::default(), FleetOptions::direct(security));
    let options = ControllerOptions {
        allow_loopback: flags.allow_loopback,
        services: flags.services,
        ..ControllerOptions::new(namespace, &identity)
    };
    let (guard, keys) = scrape_guard(&client, &flags.metrics_viewer, &registry)?;
    let certificates = flags.agent_certificates.then(|| (client.clone(), namespace.to_owned()));
    let controller = Controller::new(client, options, Arc::new(links), metrics);
    let lease = LeaseLoop::new(lease_client, LeaseOptions::new(namespace, lease, identity));
    let (progress, standing) = (controller.progress(), lease.state());
    let live = {
        let progress = progress.clone();
        Arc::new(move || {
            if progress.alive() {
                Ok(())
            } else {
                Err("the main loop has not completed an iteration for 60 s".to_owned())
            }
        })
    };
    let ready = Arc::new(move || ready(&faults, &standing, &progress));
    let server = HttpServer::new(flags.metrics_addr(), registry, live, ready)?.with_guard(guard);

    let lead = leader_task(controller, certificates);
    let mut parts = JoinSet::new();
    keys.into_iter().for_each(|keys| drop(parts.spawn(keys.run(stop.clone()))));
    parts.spawn(crds.run(stop.clone()));
    parts.spawn(server.run(stop.clone()));
    parts.spawn_on(lease.run(lead, stop.clone()).boxed(), leases);
    Ok(parts)
}

/// The task of a leading replica: the term, and the certificates of agents with this client and in this namespace.
fn leader_task(controller: Controller, certificates: Option<(Client, String)>) -> LeaderTask {
    let runtime = Handle::current();
    Box::new(move |leadership, end| {
        let certificates = certificates.as_ref().map(|(client, namespace)| {
            let certificates = AgentCertificates::new(client.clone(), namespace, Arc::new(Timestamp::now));
            // A client belongs to the runtime that it was created in.
            AbortOnDropHandle::new(runtime.spawn(certificates.run(Arc::clone(&leadership), end.clone())))
        });
        let term = controller.lead(leadership, end);
        async move {
            term.await;
            drop(certificates);
        }
        .boxed()
    })
}

/// Readiness, which includes standing by for the leader.
fn ready(faults: &Faults, standing: &watch::Receiver<LeaderState>, progress: &Progress) -> Result<(), String> {
    let faults = faults.borrow().clone();
    match (faults, &*standing.borrow()) {
        (None, _) => Err("waiting for the API server".to_owned()),
        (Some(faults), _) if !faults.is_empty() => Err(faults.join("\n")),
        (_, LeaderState::Unknown) => Err("waiting for the Lease from the API server".to_owned()),
        (_, LeaderState::Follows(_)) => Ok(()),
        (_, LeaderState::Leads) if progress.waits_for() == Some(WaitsFor::Lists) => {
            Err("waiting for the first complete list of every kind from the API server".to_owned())
        }
        (_, LeaderState::Leads) => Ok(()),
    }
}
