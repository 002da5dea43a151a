//! Serves `maglev.v1.Maglev`, reflection and `grpc.health.v1`.
//!
//! ```text
//!  address ─▶ Listener ─▶ connections (bounded) ─▶ Service ─▶ responses from the last snapshot
//!  address ─▶ …                                       └──────▶ Watcher per stream ◀─ Subscription
//! ```
//!
//! [`Server::start`] runs the server on an OS thread of its own with low priority, so that no number of watchers slows
//! down the agent or the probes. Only SyncVppLbState waits for the agent.

mod health;
mod listener;
mod metrics;
mod objects;
mod selection;
mod service;
mod sources;
mod watcher;

use std::{io, net::SocketAddr, sync::Arc, thread, time::Duration};

use futures::{FutureExt as _, future::BoxFuture, future::join_all};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tonic::{service::Routes, transport};

use self::{listener::Listener, service::Service};
pub use self::{
    metrics::GrpcMetrics,
    sources::{Identity, InspectProbing, Ready, Sources, SyncNow, SyncRefusal},
};
use super::{encoded, proto, proto::serving::maglev_server::MaglevServer};

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
    /// Addresses to listen on.
    pub addresses: Vec<SocketAddr>,
    /// Identity of the agent, for GetVersion.
    pub identity: Identity,
    /// Limit of concurrent event streams.
    pub max_watchers: usize,
    /// Limit of concurrent connections, over all addresses.
    pub max_connections: usize,
}

impl ServerOptions {
    /// At most 256 watchers and 512 connections.
    pub fn new(addresses: Vec<SocketAddr>, identity: Identity) -> Self {
        Self { addresses, identity, max_watchers: 256, max_connections: 512 }
    }
}

/// The server before it runs.
pub struct Server {
    options: ServerOptions,
    sources: Sources,
    metrics: GrpcMetrics,
    bound: watch::Sender<Vec<SocketAddr>>,
}

impl Server {
    /// A server of the state in `sources`.
    pub fn new(options: ServerOptions, sources: Sources, metrics: GrpcMetrics) -> Self {
        Self { options, sources, metrics, bound: watch::Sender::default() }
    }

    /// The bound addresses, with the assigned ports in place of 0.
    pub fn bound(&self) -> watch::Receiver<Vec<SocketAddr>> {
        self.bound.subscribe()
    }

    /// Runs on a thread of its own until `shutdown`.
    ///
    /// # Errors
    /// If the operating system refuses a thread or an event loop.
    pub fn start(self, shutdown: CancellationToken) -> io::Result<thread::JoinHandle<()>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name("rpc".into()).spawn(move || {
            lower_priority();
            runtime.block_on(self.run(shutdown));
        })
    }

    /// Serves until `shutdown`; streams then end without an error. A port in use is logged and retried.
    pub fn run(self, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        async move {
            let Self { options, sources, metrics, bound } = self;
            let (slots, bound) = (Arc::new(Semaphore::new(options.max_connections)), Arc::new(bound));
            let ready = sources.ready.clone();
            let (reporter, health) = tonic_health::server::health_reporter();
            let service = Service::new(options.identity, sources, metrics.clone(), options.max_watchers, &shutdown);
            let service = MaglevServer::new(service).max_decoding_message_size(REQUEST_LIMIT);
            let routes = Routes::new(service)
                .add_service(health)
                .add_service(reflection().build_v1().expect("the descriptors are those of the build"))
                .add_service(reflection().build_v1alpha().expect("the descriptors are those of the build"));
            let serve = join_all(options.addresses.iter().map(|address| {
                let listener = Listener::new(*address, Arc::clone(&slots), metrics.clone(), Arc::clone(&bound));
                serve(listener, routes.clone(), shutdown.clone())
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

async fn serve(listener: Listener, routes: Routes, shutdown: CancellationToken) {
    let address = listener.address();
    let connections = tokio::select! {
        connections = listener.listen() => connections,
        () = shutdown.cancelled() => return,
    };
    let served = transport::Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .http2_max_header_list_size(16 << 10)
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .add_routes(routes)
        .serve_with_incoming_shutdown(connections, shutdown.cancelled_owned());
    if let Err(error) = served.await {
        tracing::error!(%address, %error, "grpc server failed");
    }
}

/// The builder of reflection, whose protocol has two versions in use.
fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

/// Gives precedence to the threads of agent and probes. Ignored if the operating system refuses.
fn lower_priority() {
    // Linux applies niceness to the calling thread only.
    let _ = rustix::process::setpriority_process(None, NICENESS);
}
