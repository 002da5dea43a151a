//! Builds and runs the parts of `maglev-frontend`.

use std::{sync::Arc, time::Duration};

use anyhow::bail;
use maglev_auth::Guard;
use maglev_build_info::{BUILD_DATE, COMMIT, VERSION};
use maglev_dashboard::{Build, Dashboard, DashboardOptions};
use maglev_fleet::{Fleet, FleetOptions, Source};
use maglev_kube::{ClientOptions, ClientPurpose, Delays, client, objects::ObjectsWatch, scrape_guard};
use maglev_model::view::View;
use maglev_net::ConnectionLimits;
use maglev_telemetry::{EndpointCheck, HttpServer, TaskGroup};
use prometheus::Registry;

use crate::{flags::Flags, sign_in};

/// Interval of heartbeats on a stream: proxies close idle streams after about a minute.
const PING: Duration = Duration::from_secs(15);

/// Runs until a signal arrives or a part ends.
pub async fn run(flags: Flags, registry: Registry) -> anyhow::Result<()> {
    let mut parts = TaskGroup::new()?;
    start(&flags, registry, &mut parts).await?;
    Ok(parts.run("maglev-frontend").await?)
}

async fn start(flags: &Flags, registry: Registry, parts: &mut TaskGroup) -> anyhow::Result<()> {
    let stop = parts.shutdown();
    tracing::info!(version = VERSION, commit = COMMIT, "maglev-frontend-start");
    let (source, namespace, objects_rx, sign_in, guard) = if flags.server.is_empty() {
        let options = ClientOptions {
            kubeconfig: flags.kubeconfig.clone(),
            purpose: ClientPurpose::Service,
            ..ClientOptions::default()
        };
        let client = client::client(options.clone()).await?;
        let sign_in = sign_in::options(flags, &client, options).await?;
        let (guard, keys) = scrape_guard(&client, &flags.metrics_viewer, &registry)?;
        keys.into_iter().for_each(|keys| parts.spawn(keys.run(stop.clone())));
        let namespace = flags.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
        let (objects, objects_rx) = ObjectsWatch::new(client.clone(), Delays::default());
        parts.spawn(objects.run(stop.clone()));
        let source = Source::Pods { client, namespace: namespace.clone(), delays: Delays::default() };
        (source, Some(namespace), Some(objects_rx), sign_in, guard)
    } else {
        if !flags.metrics_viewer.is_empty() {
            bail!("--metrics-viewer cannot be used with --server: the keys of tokens are those of the API server");
        }
        sign_in::refuse_without_kubernetes(flags)?;
        (Source::Addresses(flags.server.clone()), None, None, None, Guard::default())
    };
    let security = flags.agent_security(namespace.as_deref().unwrap_or("default"))?;
    security.register(&registry)?;
    let fleet = Fleet::<View>::new(source, FleetOptions::direct(security));
    fleet.register(&registry)?;
    let discovered = fleet.handle().discovered();
    let build_date = Some(BUILD_DATE).filter(|date| *date != "unknown");
    let options = DashboardOptions {
        addresses: flags.http_addrs(),
        connections: ConnectionLimits::DASHBOARD,
        allowed_hosts: flags.allowed_hosts.clone(),
        trusted_proxies: flags.trusted_proxies.clone(),
        build: Build { version: VERSION, commit: COMMIT, build_date },
        namespace,
        ping: PING,
        buffer: DashboardOptions::DEFAULT_BUFFER,
        replica: fastrand::u64(..),
        sign_in,
    };
    let dashboard = Dashboard::new(fleet.handle(), objects_rx, options, &registry)?;
    // Until the first list of pods, the page would show no nodes.
    let ready: EndpointCheck = Arc::new(move || match *discovered.borrow() {
        true => Ok(()),
        false => Err("waiting for the first list of pods".to_owned()),
    });
    let server = HttpServer::new(flags.metrics_addr(), registry, Arc::new(|| Ok(())), ready)?.with_guard(guard);
    parts.spawn(fleet.run(stop.clone()));
    parts.spawn(dashboard.run(stop.clone()));
    parts.spawn(server.run(stop));
    Ok(())
}
