//! Connections with TLS over any stream.

use std::sync::Arc;

use hyper_util::rt::TokioIo;
use maglev_auth::{ClientTls, TlsFailure};
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::transport::{Channel, Endpoint, Error};
use tower::service_fn;

/// Connects to an agent with TLS over the streams that `open` opens: one now, and others when the channel reconnects.
///
/// # Errors
/// The stream or TLS failed; [`TlsFailure::find`] finds the latter.
pub async fn connect_tls<S, F>(
    endpoint: Endpoint,
    tls: Arc<ClientTls>,
    open: impl Fn() -> F + Send + Sync + Clone + 'static,
) -> Result<Channel, Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = std::io::Result<S>> + Send + 'static,
{
    let connect = move |_: http::Uri| {
        let (tls, open) = (Arc::clone(&tls), open.clone());
        async move {
            let stream = open().await.map_err(TlsFailure::Broken)?;
            Ok::<_, TlsFailure>(TokioIo::new(tls.connect(stream).await?))
        }
    };
    endpoint.connect_with_connector(service_fn(connect)).await
}
