//! Connections to agents through the API server, like `kubectl port-forward`, for use outside of the cluster.
//!
//! ```text
//!  AgentClient ── HTTP/2 ──▶ TLS ──▶ WebSocket ──▶ API server ──▶ kubelet ──▶ the pod's own 127.0.0.1:9094
//! ```
//!
//! Agents of version 0.1 have no TLS, on port 9090. A channel that loses its stream reconnects on its own.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures::{FutureExt as _, future::BoxFuture};
use http::Uri;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tower::service_fn;

use super::agent_access::{AgentCredentials, Role};
use maglev_auth::TokenSource;
use maglev_fleet::{AgentTarget, Connect, ConnectError};
use maglev_model::Name;
use maglev_rpc::client::{AgentClient, connect_tls};

/// Connects through the API server.
pub struct PortForward {
    credentials: Arc<AgentCredentials>,
    role: Role,
}

impl PortForward {
    /// The client's user needs `get` and `create` on `pods/portforward`.
    pub fn new(credentials: Arc<AgentCredentials>, role: Role) -> Self {
        Self { credentials, role }
    }

    async fn connect_agent(&self, target: &AgentTarget) -> Result<AgentClient, ConnectError> {
        let pod = target.pod.clone().ok_or("no pod to forward a port to")?;
        let endpoint = AgentClient::endpoint(format!("http://{}", target.address))?;
        let open = |port| {
            let client = self.credentials.client().clone();
            move || open(client.clone(), pod.clone(), port)
        };
        let mut token = TokenSource::default();
        if let Some(address) = target.tls_address {
            match self.credentials.get(self.role).await {
                (Ok(tls), token) => {
                    let channel = connect_tls(endpoint, tls, open(address.port())).await?;
                    return Ok(AgentClient::with_token(channel, token));
                }
                // Without TLS the agent gets no token. The reason is shown if it requires one.
                (Err(problem), _) => token = TokenSource::missing(problem),
            }
        }
        let open = open(target.address.port());
        let connect = service_fn(move |_: Uri| open().map(|stream| stream.map(TokioIo::new)).boxed());
        Ok(AgentClient::with_token(endpoint.connect_with_connector(connect).await?, token))
    }
}

impl Connect for PortForward {
    fn connect<'a>(&'a self, target: &'a AgentTarget) -> BoxFuture<'a, Result<AgentClient, ConnectError>> {
        self.connect_agent(target).boxed()
    }
}

async fn open(client: Client, pod: Name, port: u16) -> io::Result<Forwarded> {
    let api: Api<Pod> = Api::namespaced(client, pod.namespace());
    let refused = |error: kube::Error| io::Error::other(format!("cannot forward port {port} of pod {pod}: {error}"));
    let mut forwarder = api.portforward(pod.name(), &[port]).await.map_err(refused)?;
    let (stream, error) = (forwarder.take_stream(port), forwarder.take_error(port));
    let (Some(stream), Some(error)) = (stream, error) else {
        return Err(io::Error::other("the API server did not forward the port"));
    };
    Ok(Forwarded { stream, error: Some(error.boxed()) })
}

/// A forwarded port. Reading fails with the error that the node reports, if any.
struct Forwarded {
    stream: DuplexStream,
    /// The node's error message if the port cannot be used.
    error: Option<BoxFuture<'static, Option<String>>>,
}

impl AsyncRead for Forwarded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if buf.filled().len() == before
            && buf.remaining() > 0
            && let Some(mut error) = self.error.take()
            && let Poll::Ready(Some(message)) = error.poll_unpin(cx)
        {
            return Poll::Ready(Err(io::Error::other(message)));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Forwarded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
