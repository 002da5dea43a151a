//! Serves `maglev.v1.Maglev`, reflection and `grpc.health.v1`.
//!
//! ```text
//!  address ─▶ Listener ─▶ connections (limits of maglev-net, TLS) ─▶ CallGuard ─▶ Service ─▶ responses from the last snapshot
//!  address ─▶ …                                   token, permission ┘  LargeCalls: few at a time ┤
//!                                                                                        └──────▶ Watcher per stream
//! ```
//!
//! The addresses with TLS and those without are servers of one limit. A token is required by [`Guard`], only over TLS.
//! [`Server::start`] runs the server on an OS thread of its own with low priority, so that no number of watchers slows
//! down the agent or the probes. Only ProbePaths and SyncVppLbState wait for the agent.

mod call_guard;
mod health;
mod large_calls;
mod listener;
mod metrics;
mod objects;
mod selection;
mod service;
mod sources;
mod watcher;

use std::{io, net::SocketAddr, thread, time::Duration};

use futures::{FutureExt as _, future::BoxFuture, future::join_all};
use maglev_auth::{Guard, ServerCertificate};
use maglev_net::{ConnectionLimits, Connections, Listener};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::{service::Routes, transport};
use tower::layer::layer_fn;

use self::{call_guard::CallGuard, large_calls::LargeCalls, listener::Encryption, service::Service};
pub use self::{
    metrics::GrpcMetrics,
    sources::{Identity, InspectProbing, Ready, Sources, SyncNow, SyncRefusal},
};
use super::{encoded, proto, proto::serving::maglev_server::MaglevServer};

/// Name of the server in logs and metrics.
const SERVER: &str = "grpc";

/// Limit of a request in bytes: 200 names of at most 500 bytes fit.
const REQUEST_LIMIT: usize = 256 << 10;

/// Limit of concurrent calls of one connection.
const STREAMS_PER_CONNECTION: u32 = 128;

/// Time for connections to end at shutdown, after their streams.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// Niceness of the server's thread, from 0 (normal priority) to 19 (lowest).
const NICENESS: i32 = 5;

/// Settings of the server.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Addresses to listen on without TLS.
    pub addresses: Vec<SocketAddr>,
    /// Addresses to listen on with TLS, and the certificate.
    pub tls: Option<(Vec<SocketAddr>, ServerCertificate)>,
    /// The decision on each call except those of `grpc.health.v1`. By default every call is answered.
    pub guard: Guard,
    /// Identity of the agent, for GetVersion.
    pub identity: Identity,
    /// Limit of concurrent event streams.
    pub max_watchers: usize,
    /// Limits of connections, over all addresses.
    pub connections: ConnectionLimits,
}

impl ServerOptions {
    /// No TLS, no tokens, at most 256 watchers, and the usual limits of connections.
    pub fn new(addresses: Vec<SocketAddr>, identity: Identity) -> Self {
        Self {
            addresses,
            tls: None,
            guard: Guard::default(),
            identity,
            max_watchers: 256,
            connections: ConnectionLimits::GRPC,
        }
    }
}

/// The server before it runs.
pub struct Server {
    options: ServerOptions,
    sources: Sources,
    metrics: GrpcMetrics,
    bound: watch::Sender<Vec<SocketAddr>>,
    bound_tls: watch::Sender<Vec<SocketAddr>>,
}

impl Server {
    /// A server of the state in `sources`.
    pub fn new(options: ServerOptions, sources: Sources, metrics: GrpcMetrics) -> Self {
        Self { options, sources, metrics, bound: watch::Sender::default(), bound_tls: watch::Sender::default() }
    }

    /// The bound addresses without TLS, with the assigned ports in place of 0.
    pub fn bound(&self) -> watch::Receiver<Vec<SocketAddr>> {
        self.bound.subscribe()
    }

    /// The bound addresses with TLS.
    pub fn bound_tls(&self) -> watch::Receiver<Vec<SocketAddr>> {
        self.bound_tls.subscribe()
    }

    /// Runs on a thread of its own until `shutdown`.
    ///
    /// # Errors
    /// If the operating system refuses a thread or an event loop.
    pub fn start(self, shutdown: CancellationToken) -> io::Result<thread::JoinHandle<()>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name("rpc".into()).spawn(move || {
            maglev_net::lower_thread_priority(NICENESS);
            runtime.block_on(self.run(shutdown));
        })
    }

    /// Serves until `shutdown`; streams then end without an error. A port in use is logged and retried.
    pub fn run(self, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        async move {
            let Self { options, sources, metrics, bound, bound_tls } = self;
            let ServerOptions { addresses, tls, guard, identity, max_watchers, connections } = options;
            let connections = Connections::new(SERVER, connections, metrics.connections.clone());
            let ready = sources.ready.clone();
            let (reporter, health) = tonic_health::server::health_reporter();
            let service = Service::new(identity, sources, metrics.clone(), max_watchers, &shutdown);
            let service = MaglevServer::new(service).max_decoding_message_size(REQUEST_LIMIT);
            let routes = Routes::new(LargeCalls::new(service, metrics.clone()))
                .add_service(health)
                .add_service(reflection().build_v1().expect("the descriptors are those of the build"))
                .add_service(reflection().build_v1alpha().expect("the descriptors are those of the build"));
            let plain = addresses.into_iter().map(|address| (address, Encryption::None, &bound));
            let encrypted = tls.into_iter().flat_map(|(addresses, certificate)| {
                let config = certificate.config();
                addresses.into_iter().map(move |address| (address, Encryption::Tls(config.clone())))
            });
            let encrypted = encrypted.map(|(address, encryption)| (address, encryption, &bound_tls));
            let serve = join_all(plain.chain(encrypted).map(|(address, encryption, bound)| {
                let (connections, shutdown) = (connections.clone(), shutdown.clone());
                let is_encrypted = matches!(encryption, Encryption::Tls(_));
                let guard = CallGuard { guard: guard.clone(), is_encrypted, metrics: metrics.clone() };
                let routes = routes.clone();
                async move {
                    let listener = tokio::select! {
                        listener = Listener::bind(address, connections) => listener,
                        () = shutdown.cancelled() => return,
                    };
                    bound.send_modify(|bound| bound.extend(listener.local_addr()));
                    serve(listener, encryption, guard, routes, shutdown).await;
                }
            }));
            // A connection that does not end must not delay the end of the program.
            let end = async {
                shutdown.cancelled().await;
                tokio::time::sleep(SHUTDOWN_TIMEOUT).await;
            };
            tokio::select! {
                _ = serve => {}
                () = health::publish_readiness(ready, reporter) => {}
                () = end => {}
            }
        }
        .boxed()
    }
}

async fn serve(
    listener: Listener,
    encryption: Encryption,
    guard: CallGuard,
    routes: Routes,
    shutdown: CancellationToken,
) {
    let (address, limits) = (listener.local_addr(), listener.connections().limits().clone());
    let header_bytes = u32::try_from(limits.max_header_bytes).unwrap_or(u32::MAX);
    let served = transport::Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .http2_max_header_list_size(header_bytes)
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .max_connection_age(limits.max_age)
        .max_connection_age_grace(limits.age_grace)
        .layer(layer_fn(move |routes: Routes| guard.around(routes)))
        .add_routes(routes)
        .serve_with_incoming_shutdown(listener::connections(listener, encryption), shutdown.cancelled_owned());
    if let Err(error) = served.await {
        tracing::error!(?address, %error, "grpc server failed");
    }
}

/// The builder of reflection, whose protocol has two versions in use.
fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}
