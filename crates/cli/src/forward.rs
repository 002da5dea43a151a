//! Connections to agents through the API server, like `kubectl port-forward`, for use outside of the cluster.
//!
//! ```text
//!  AgentClient ── HTTP/2 ──▶ WebSocket ──▶ API server ──▶ kubelet ──▶ the pod's own 127.0.0.1:9090
//! ```
//!
//! A channel that loses its stream reconnects on its own.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::{FutureExt as _, future::BoxFuture};
use http::Uri;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tonic::transport::Channel;
use tower::service_fn;

use maglev_fleet::{AgentTarget, Connect, ConnectError};
use maglev_model::Name;
use maglev_rpc::client::AgentClient;

#[derive(Clone)]
pub struct PortForward {
    client: Client,
}

impl PortForward {
    /// The client's user needs `get` and `create` on `pods/portforward`.
    pub fn new(client: Client) -> Self {
        Self { client }
    }
}

impl Connect for PortForward {
    fn connect<'a>(&'a self, target: &'a AgentTarget) -> BoxFuture<'a, Result<Channel, ConnectError>> {
        async move {
            let pod = target.pod.clone().ok_or("no pod to forward a port to")?;
            let (client, port) = (self.client.clone(), target.address.port());
            let endpoint = AgentClient::endpoint(format!("http://{}", target.address))?;
            let open = move |_: Uri| open(client.clone(), pod.clone(), port).boxed();
            Ok(endpoint.connect_with_connector(service_fn(open)).await?)
        }
        .boxed()
    }
}

async fn open(client: Client, pod: Name, port: u16) -> io::Result<TokioIo<Forwarded>> {
    let api: Api<Pod> = Api::namespaced(client, pod.namespace());
    let refused = |error: kube::Error| io::Error::other(format!("cannot forward port {port} of pod {pod}: {error}"));
    let mut forwarder = api.portforward(pod.name(), &[port]).await.map_err(refused)?;
    let (stream, error) = (forwarder.take_stream(port), forwarder.take_error(port));
    let (Some(stream), Some(error)) = (stream, error) else {
        return Err(io::Error::other("the API server did not forward the port"));
    };
    Ok(TokioIo::new(Forwarded { stream, error: Some(error.boxed()) }))
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
