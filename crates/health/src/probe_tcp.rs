//! The TCP probe: a connection and, if configured, a TLS handshake.

use std::{num::NonZeroU16, sync::Arc};

use futures::FutureExt;
use rustls::RootCertStore;
use tokio::io::AsyncWriteExt;

use maglev_model::{config::Tls, health::ProbeCode};

use super::{
    connect::connect,
    prober::{ProbeOutcome, ProbeTarget},
    progress::ProbeProgress,
    tls::TlsClient,
};

/// A prepared TCP check.
#[derive(Debug)]
pub struct TcpProbe {
    port: NonZeroU16,
    tls: Option<TlsClient>,
}

impl TcpProbe {
    /// Prepares the probe of a HealthCheck.
    ///
    /// # Errors
    /// Human-readable message if the probe cannot be sent.
    pub fn new(port: NonZeroU16, tls: Option<&Tls>, roots: &Arc<RootCertStore>) -> Result<Self, String> {
        Ok(Self { port, tls: tls.map(|tls| TlsClient::new(tls, None, &[], roots)).transpose()? })
    }

    /// Sends one probe. `Ok` is `L4OK` or `L6OK`.
    ///
    /// # Errors
    /// The outcome of a failed probe.
    pub async fn run(&self, target: &ProbeTarget, progress: &ProbeProgress<'_>) -> Result<ProbeOutcome, ProbeOutcome> {
        let stream = connect(target, self.port.get(), progress).await?;
        let Some(tls) = &self.tls else {
            // The connection ends with a reset: no socket stays in TIME_WAIT on either side. If the option cannot be
            // set, a port stays in use for a minute, which is no failure of the backend.
            let _ = stream.set_zero_linger();
            return Ok(ProbeOutcome::completed(ProbeCode::L4Ok, "connected"));
        };
        let mut stream = tls.handshake(stream, target.address, progress).await?;
        // Sends `close_notify` if the socket accepts it at once, which is the usual case.
        let _ = stream.shutdown().now_or_never();
        Ok(ProbeOutcome::completed(ProbeCode::L6Ok, "TLS handshake done"))
    }
}
