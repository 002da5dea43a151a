//! Serves `maglev.v1.Maglev`, reflection and `grpc.health.v1`.
//!
//! ```text
//!  address ─▶ Listener ─▶ connections (bounded) ─▶ Service ─▶ answers from the last Snapshot
//!  address ─▶ …                                       └──────▶ Watcher per stream ◀─ Subscription
//! ```
//!
//! [`Server::start`] puts it on an OS thread of its own that yields to the others, so that any number of watchers
//! takes neither the agent's time nor that of the probes. Nothing here waits for the agent but "sync now".

mod health;
mod listener;
mod metrics;
mod objects;
mod rate;
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
    metrics::Metrics,
    sources::{Identity, InspectProbing, Ready, Sources, SyncNow, SyncRefusal},
};
use super::{encoded, proto, proto::serving::maglev_server::MaglevServer};

/// A request has at most 200 names of at most 500 bytes.
const REQUEST_LIMIT: usize = 256 << 10;

/// How many streams and calls one connection may have under way.
const STREAMS_PER_CONNECTION: u32 = 128;

/// How long connections have to end once the streams were ended.
const END_LIMIT: Duration = Duration::from_secs(1);

/// How much its thread yields to others; of 0 (all are equal) to 19.
const NICENESS: i32 = 5;

/// How the server is set up.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Where it listens.
    pub addresses: Vec<SocketAddr>,
    /// Who it says it is.
    pub identity: Identity,
    /// Streams of events at once.
    pub max_watchers: usize,
    /// Connections at once, over all addresses.
    pub max_connections: usize,
}

impl ServerOptions {
    /// At most 256 watchers and 512 connections.
    pub fn new(addresses: Vec<SocketAddr>, identity: Identity) -> Self {
        Self { addresses, identity, max_watchers: 256, max_connections: 512 }
    }
}

/// The server.
pub struct Server {
    options: ServerOptions,
    sources: Sources,
    metrics: Metrics,
    bound: watch::Sender<Vec<SocketAddr>>,
}

impl Server {
    /// A server that answers from `sources` and counts into `metrics`.
    pub fn new(options: ServerOptions, sources: Sources, metrics: Metrics) -> Self {
        Self { options, sources, metrics, bound: watch::Sender::default() }
    }

    /// Where it listens by now; differs from the addresses asked for only by ports that were 0.
    pub fn bound(&self) -> watch::Receiver<Vec<SocketAddr>> {
        self.bound.subscribe()
    }

    /// Runs it on a thread of its own until `shutdown`.
    ///
    /// # Errors
    /// The operating system refuses a thread or an event loop.
    pub fn start(self, shutdown: CancellationToken) -> io::Result<thread::JoinHandle<()>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name("rpc".into()).spawn(move || {
            yield_to_others();
            runtime.block_on(self.run(shutdown));
        })
    }

    /// Serves until `shutdown`; streams then end, without an error. A port in use is an error in the log and a retry.
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
            // A connection that does not end must not hold up the end of the program.
            let end = async {
                shutdown.cancelled().await;
                tokio::time::sleep(END_LIMIT).await;
            };
            tokio::select! {
                _ = serve => {}
                () = health::follow(ready, reporter) => {}
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
    if let Err(err) = served.await {
        tracing::error!(%address, %err, "grpc-server-failed");
    }
}

/// The builder of reflection. Clients ask for either version of the protocol.
fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

/// Lets the threads of agent and probes go first. Where that is refused, all are equal.
fn yield_to_others() {
    // Of the calling thread alone: so Linux counts niceness.
    let _ = rustix::process::setpriority_process(None, NICENESS);
}
