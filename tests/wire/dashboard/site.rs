//! A dashboard with simulated nodes, each of which has a real bus and a real gRPC server, but no agent.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures::FutureExt as _;
use jiff::Timestamp;
use maglev_dashboard::{Build, Dashboard, DashboardOptions};
use maglev_fleet::{Fleet, FleetHandle, FleetOptions, Source};
use maglev_model::{
    Name,
    change::{Change, ConfigDelta},
    config::{Backend, Check, Frontend, HealthCheck, Probe, Revision},
    event::{Event, Events, FrontendState, Level},
    health::{BackendHealth, BackendState, Transition},
    view::View,
    vip::TableLength,
};
use maglev_net::ConnectionLimits;
use maglev_rpc::{
    Server, ServerOptions,
    server::{GrpcMetrics, Identity, Sources},
};
use maglev_telemetry::{Bus, BusOptions};
use maglev_testkit::{
    objects::{self, name, pool, vip},
    within,
};
use prometheus::{Registry, TextEncoder};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// Interval of pings, short enough for a test to receive several.
pub const PING: Duration = Duration::from_millis(100);

/// A simulated node.
pub struct Node {
    pub events: Events,
    address: SocketAddr,
    shutdown: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Node {
    pub async fn start(name: &str, epoch: u64) -> Self {
        let bus = Bus::new(BusOptions { log_level: Level::Info, clock: Timestamp::now, epoch });
        let sources = Sources {
            events: bus.subscriber(),
            snapshots: bus.snapshots(),
            dumps: watch::Sender::default().subscribe(),
            counters: watch::Sender::default().subscribe(),
            ready: watch::Sender::new(Ok(())).subscribe(),
            probing: Arc::new(|_| None),
            probe_paths: Arc::new(|_| async { Vec::new() }.boxed()),
            sync: Arc::new(|| async { Ok(()) }.boxed()),
        };
        let identity = Identity {
            node: name.into(),
            version: "1.2.3".into(),
            commit: "abc".into(),
            build_date: "2026-11-25".into(),
            started: Timestamp::now(),
        };
        let options = ServerOptions::new(vec![([127, 0, 0, 1], 0).into()], identity);
        let server = Server::new(options, sources, GrpcMetrics::default());
        let (mut bound, shutdown, events) = (server.bound(), CancellationToken::new(), bus.events());
        let tasks = vec![tokio::spawn(bus.run(shutdown.clone())), tokio::spawn(server.run(shutdown.clone()))];
        let address = within(bound.wait_for(|bound| !bound.is_empty())).await.expect("the server runs")[0];
        Self { events, address, shutdown, tasks }
    }

    /// Emits the Frontend shop/web with two Backends that are up.
    pub fn configure(&self) {
        let backends = [backend("shop/web-1", "10.0.0.1"), backend("shop/web-2", "10.0.0.2")];
        let delta = ConfigDelta {
            backends: backends.iter().map(|backend| (backend.name.clone(), Some(Arc::new(backend.clone())))).collect(),
            frontends: vec![(web(), Some(Arc::new(frontend(&backends.each_ref()))))],
            ..ConfigDelta::default()
        };
        self.events.emit_change(Change::Config(Arc::new(delta)));
        self.events.emit_change(Change::Frontend(web(), FrontendState::Up, None));
        for backend in &backends {
            self.health(&backend.name, BackendState::Unknown, BackendState::Up);
        }
    }

    /// Emits a Backend's transition.
    pub fn health(&self, name: &Name, from: BackendState, to: BackendState) {
        let at = Timestamp::now();
        let health = BackendHealth {
            address: if name.name() == "web-1" { [10, 0, 0, 1] } else { [10, 0, 0, 2] }.into(),
            state: to,
            ever_known: true,
            in_doubt: false,
            history: [Transition { from, to, at, code: None }].into(),
        };
        self.events.emit(Event::BackendTransition { name: name.clone(), from, code: None, health });
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        for task in self.tasks {
            within(task).await.expect("the task does not panic");
        }
    }
}

pub fn web() -> Name {
    name("shop/web")
}

pub fn web_1() -> Name {
    name("shop/web-1")
}

fn backend(text: &str, address: &str) -> Backend {
    let check = HealthCheck { probe: Probe::Icmp, ..objects::health_check("shop/check") };
    Backend { check: Check::Probe(Arc::new(check)), ..objects::backend(text, address) }
}

fn frontend(backends: &[&Backend]) -> Frontend {
    Frontend {
        revision: Revision { uid: "u".into(), generation: 3 },
        table_length: TableLength::DEFAULT,
        ..objects::frontend("shop/web", vip("203.0.113.1"), vec![pool("primary", backends)])
    }
}

/// A running dashboard.
pub struct Site {
    pub address: SocketAddr,
    pub fleet: FleetHandle,
    registry: Registry,
    shutdown: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Site {
    pub async fn start(nodes: &[&Node], replica: u64) -> Self {
        Self::start_with(nodes, replica, |_| {}).await
    }

    pub async fn start_with(nodes: &[&Node], replica: u64, change: impl FnOnce(&mut DashboardOptions)) -> Self {
        let addresses = nodes.iter().map(|node| node.address).collect();
        let fleet = Fleet::<View>::new(Source::Addresses(addresses), FleetOptions::default());
        let (handle, registry, shutdown) = (fleet.handle(), Registry::new(), CancellationToken::new());
        let mut options = DashboardOptions {
            addresses: vec![([127, 0, 0, 1], 0).into()],
            connections: ConnectionLimits::DASHBOARD,
            allowed_hosts: ["dashboard", "lb.example"].map(str::to_owned).into(),
            trusted_proxies: Vec::new(),
            build: Build { version: "1.2.3", commit: "abc", build_date: None },
            namespace: None,
            ping: PING,
            buffer: DashboardOptions::DEFAULT_BUFFER,
            replica,
            sign_in: None,
        };
        change(&mut options);
        let dashboard = Dashboard::new(handle.clone(), None, options, &registry).expect("a fresh registry");
        let mut bound = dashboard.bound().remove(0);
        let tasks = vec![tokio::spawn(fleet.run(shutdown.clone())), tokio::spawn(dashboard.run(shutdown.clone()))];
        let address = within(bound.wait_for(Option::is_some)).await.expect("the dashboard runs").expect("waited for");
        Self { address, fleet: handle, registry, shutdown, tasks }
    }

    /// All metrics in Prometheus format.
    pub fn metrics(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).expect("valid metrics")
    }

    /// The value of a metric.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.metrics();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        value.unwrap_or_else(|| panic!("the metric {name} is not in\n{text}"))
    }

    /// Waits until the value of a metric fulfils `matches`.
    pub async fn until_metric(&self, name: &str, matches: impl Fn(f64) -> bool) {
        within(async {
            while !matches(self.metric(name)) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        for task in self.tasks {
            within(task).await.expect("the task does not panic");
        }
    }
}
