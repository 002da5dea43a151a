//! `maglev-sandbox pod`: the HTTP server of the demo's pods. It is that of the demo backends, in a process of its own that ends as
//! servers behind a load balancer should.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    pin,
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    DemoBackend, DemoBackendError, Mode, PORT,
    place::Place,
    response::{Peers, respond},
};

/// Response time of a slow backend, which no pod is.
const SLOW: Duration = Duration::from_secs(3);
/// Pause after a failed accept.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

const EXAMPLE: &str = "\
Example: a server that names itself and its clients
  maglev-sandbox pod --name web-1 --port 8080";

/// Serve HTTP in a pod of the demo
///
/// Answers with the pod's name, the client and the pod's address; /stream sends such a line every second. After SIGTERM, it accepts
/// connections for --linger, while load balancers learn that the pod ends, and exits when the last connection has ended.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub struct PodArgs {
    /// Name of the pod
    #[arg(long, value_name = "NAME", env = "HOSTNAME", hide_env_values = true)]
    name: String,

    /// Port to listen on, on all addresses
    #[arg(long, value_name = "PORT", default_value_t = PORT)]
    port: u16,

    /// Time for which connections are accepted after SIGTERM, in milliseconds
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 2000)]
    linger: u64,
}

impl PodArgs {
    /// Serves until all connections have ended after SIGTERM or SIGINT.
    ///
    /// # Errors
    /// [`DemoBackendError::Listen`] or [`DemoBackendError::Signals`].
    pub async fn run(self) -> Result<(), DemoBackendError> {
        let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, self.port));
        let listener = Place { address, namespace: None }.listen().await;
        let failed = |source| DemoBackendError::Listen { name: self.name.clone(), address, source };
        let listener = listener.map_err(failed)?;
        let listen = |kind| signal(kind).map_err(|source| DemoBackendError::Signals { source });
        let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
        let mode = watch::Sender::new(Mode::Ok);
        let backend = DemoBackend { name: self.name, address, slow: SLOW, mode, responses: AtomicU64::new(0) };
        let server =
            PodServer { backend: Arc::new(backend), connections: TaskTracker::new(), ending: CancellationToken::new() };
        tokio::select! {
            () = server.accept(&listener) => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        // Further signals have no effect.
        let _ = tokio::time::timeout(Duration::from_millis(self.linger), server.accept(&listener)).await;
        drop(listener);
        server.ending.cancel();
        server.connections.close();
        server.connections.wait().await;
        Ok(())
    }
}

struct PodServer {
    backend: Arc<DemoBackend>,
    connections: TaskTracker,
    /// Cancelled when connections without a request are to end.
    ending: CancellationToken,
}

impl PodServer {
    /// Accepts connections without end.
    async fn accept(&self, listener: &TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    self.connections.spawn(serve(Arc::clone(&self.backend), stream, self.ending.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection to a pod");
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
        }
    }
}

async fn serve(backend: Arc<DemoBackend>, stream: TcpStream, ending: CancellationToken) {
    let peers = Peers::of_pod(&stream);
    let service = service_fn(|request| {
        let backend = Arc::clone(&backend);
        async move { respond(&backend, &request, peers).await }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    pin!(connection);
    // Health checkers often close connections early, so errors are not logged.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = ending.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}
