//! The servers, each with a normal client.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use maglev_auth::AuthMode;
use maglev_model::change::{Change, ConfigDelta};
use maglev_net::ConnectionLimits;
use maglev_rpc::client::AgentClient;
use maglev_telemetry::{BusLimits, HttpServer};
use maglev_testkit::{AgentServer, Credentials, credentials::VIEWER, objects, within};
use prometheus::{IntGaugeVec, Opts, Registry, TextEncoder};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::dashboard::{
    browser::get,
    site::{Node, Site},
};

/// A kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Grpc,
    Metrics,
    Dashboard,
    /// gRPC with TLS.
    GrpcTls,
}

impl Kind {
    /// Kinds whose connections begin with a handshake or header.
    pub const WITH_TLS: [Self; 4] = [Self::Grpc, Self::Metrics, Self::Dashboard, Self::GrpcTls];
    pub const ALL: [Self; 3] = [Self::Grpc, Self::Metrics, Self::Dashboard];
}

/// Limits that no test reaches unless it lowers them.
pub const HIGH: ConnectionLimits = ConnectionLimits {
    max_connections: 400,
    max_per_peer: 200,
    header_timeout: Duration::from_hours(1),
    idle_timeout: Duration::from_hours(1),
    write_timeout: Duration::from_hours(1),
    ..ConnectionLimits::DASHBOARD
};

/// A running server.
pub struct Running {
    pub kind: Kind,
    pub address: SocketAddr,
    server: Server,
}

enum Server {
    Grpc(Box<AgentServer>, Option<Box<Credentials>>),
    Metrics { registry: Registry, shutdown: CancellationToken, task: JoinHandle<()> },
    Dashboard(Box<(Node, Site)>),
}

impl Running {
    pub async fn start(kind: Kind, limits: ConnectionLimits) -> Self {
        let (address, server) = match kind {
            Kind::Grpc => {
                let set = |options: &mut maglev_rpc::ServerOptions| options.connections = limits;
                let server = AgentServer::start_with(1, BusLimits::default(), |options, _| set(options)).await;
                (server.address, Server::Grpc(Box::new(server), None))
            }
            Kind::GrpcTls => {
                let credentials = Credentials::new();
                let change = |options: &mut maglev_rpc::ServerOptions| {
                    options.connections = limits;
                    credentials.apply(options, AuthMode::Required);
                };
                let server = AgentServer::start_with(1, BusLimits::default(), |options, _| change(options)).await;
                let address = server.tls_address.unwrap();
                (address, Server::Grpc(Box::new(server), Some(Box::new(credentials))))
            }
            Kind::Metrics => {
                let (registry, shutdown) = (Registry::new(), CancellationToken::new());
                let (address, ok) = (([127, 0, 0, 1], 0).into(), Arc::new(|| Ok(())));
                let server = HttpServer::new(address, registry.clone(), ok.clone(), ok).unwrap().with_limits(limits);
                let mut bound = server.bound();
                let task = tokio::spawn(server.run(shutdown.clone()));
                let address = within(bound.wait_for(Option::is_some)).await.unwrap().unwrap();
                (address, Server::Metrics { registry, shutdown, task })
            }
            Kind::Dashboard => {
                let node = Node::start("node-a", 1).await;
                let site = Site::start_with(&[&node], 0xabc, |options| options.connections = limits).await;
                (site.address, Server::Dashboard(Box::new((node, site))))
            }
        };
        Self { kind, address, server }
    }

    /// Panics unless a client with a connection of its own is served.
    pub async fn serves(&self) {
        let path = match &self.server {
            Server::Grpc(_, Some(credentials)) => {
                let client = credentials.client(self.address, &credentials.token(VIEWER)).await.unwrap();
                within(client.version()).await.unwrap();
                return;
            }
            Server::Grpc(_, None) => {
                let endpoint = AgentClient::endpoint(format!("http://{}", self.address)).unwrap();
                let client = AgentClient::new(within(endpoint.connect()).await.unwrap());
                within(client.version()).await.unwrap();
                return;
            }
            Server::Metrics { .. } => "/healthz",
            Server::Dashboard(_) => "/view/api/version",
        };
        assert_eq!(get(self.address, path, &[]).await.status, 200, "{:?}", self.kind);
    }

    /// Makes the largest response of the server larger than the kernel's buffers.
    pub async fn enlarge(&self) {
        match &self.server {
            Server::Grpc(server, _) => {
                server.events.emit_change(many_backends());
                server.settled(1).await;
            }
            Server::Metrics { registry, .. } => {
                let gauge = IntGaugeVec::new(Opts::new("test_series", "Many series."), &["number"]).unwrap();
                (0..20_000).for_each(|number: u32| gauge.with_label_values(&[&*number.to_string()]).set(1));
                registry.register(Box::new(gauge)).unwrap();
            }
            Server::Dashboard(server) => server.0.events.emit_change(many_backends()),
        }
        within(async { while self.large_response().await.is_none() {} }).await;
    }

    /// The path of the largest response.
    pub fn large_path(&self) -> &'static str {
        match &self.server {
            Server::Grpc(..) => "/maglev.v1.Maglev/GetState",
            Server::Metrics { .. } => "/metrics",
            Server::Dashboard(_) => "/view/api/state",
        }
    }

    /// The size of the largest response for a client that reads; `None` if the client is refused.
    pub async fn large_response(&self) -> Option<usize> {
        if let Server::Grpc(..) = &self.server {
            let endpoint = AgentClient::endpoint(format!("http://{}", self.address)).unwrap();
            let client = AgentClient::new(within(endpoint.connect()).await.unwrap());
            return Some(within(client.state()).await.ok()?.view.backends.len()).filter(|count| *count == BACKENDS);
        }
        let answer = get(self.address, self.large_path(), &[]).await;
        Some(answer.body.len()).filter(|length| *length > 400_000)
    }

    /// The value of `maglev_server_connections_closed_total` or `…_refused_total`, by reason.
    pub fn count(&self, what: &str, reason: &str) -> u64 {
        let (text, server) = match &self.server {
            Server::Grpc(server, _) => (server.metrics(), "grpc"),
            Server::Metrics { registry, .. } => (encode(registry), "metrics"),
            Server::Dashboard(server) => (server.1.metrics(), "dashboard"),
        };
        let series = format!("maglev_server_connections_{what}_total{{reason=\"{reason}\",server=\"{server}\"}} ");
        let value = text.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok());
        value.unwrap_or_else(|| panic!("{series} is not in\n{text}"))
    }

    /// Waits until the counter is at least `count`.
    pub async fn until_counted(&self, what: &str, reason: &str, count: u64) {
        within(async {
            while self.count(what, reason) < count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }

    pub async fn stop(self) {
        match self.server {
            Server::Grpc(server, _) => server.stop().await,
            Server::Metrics { shutdown, task, .. } => {
                shutdown.cancel();
                within(task).await.unwrap();
            }
            Server::Dashboard(server) => {
                server.1.stop().await;
                server.0.stop().await;
            }
        }
    }
}

const BACKENDS: usize = 2000;

/// A configuration with many Backends.
fn many_backends() -> Change {
    let backend = |number: usize| {
        let name = format!("shop/a-backend-with-a-rather-long-name-{number}");
        let backend = objects::backend(&name, &format!("10.0.{}.{}", number / 200, number % 200));
        (backend.name.clone(), Some(Arc::new(backend)))
    };
    let delta = ConfigDelta { backends: (0..BACKENDS).map(backend).collect(), ..ConfigDelta::default() };
    Change::Config(Arc::new(delta))
}

fn encode(registry: &Registry) -> String {
    TextEncoder::new().encode_to_string(&registry.gather()).unwrap()
}
