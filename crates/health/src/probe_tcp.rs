//! TCP: the connection alone, or a TLS handshake over it.

use std::{num::NonZeroU16, sync::Arc};

use futures::FutureExt;
use rustls::RootCertStore;
use tokio::io::AsyncWriteExt;

use maglev_model::{config::Tls, health::ProbeCode};

use super::{
    connect::connect,
    prober::{Outcome, Target},
    progress::Progress,
    tls::TlsClient,
};

/// A TCP check, made ready.
#[derive(Debug)]
pub struct TcpProbe {
    port: NonZeroU16,
    tls: Option<TlsClient>,
}

impl TcpProbe {
    /// Made ready from its HealthCheck.
    ///
    /// # Errors
    /// A sentence for people, where no such probe can be sent.
    pub fn new(port: NonZeroU16, tls: Option<&Tls>, roots: &Arc<RootCertStore>) -> Result<Self, String> {
        Ok(Self { port, tls: tls.map(|tls| TlsClient::new(tls, None, &[], roots)).transpose()? })
    }

    /// Sends one probe: `L4OK` or `L6OK`, unless it fails on the way.
    ///
    /// # Errors
    /// How it failed.
    pub async fn run(&self, target: &Target, progress: &Progress<'_>) -> Result<Outcome, Outcome> {
        let stream = connect(target, self.port.get(), progress).await?;
        let Some(tls) = &self.tls else {
            // Reset, not closed: nothing lingers, here or there. That it cannot be set costs a port
            // for a minute and says nothing about the backend.
            let _ = stream.set_zero_linger();
            return Ok(Outcome::answer(ProbeCode::L4Ok, "connected"));
        };
        let mut stream = tls.handshake(stream, target.address, progress).await?;
        // Says goodbye if the socket takes it at once, which it does.
        let _ = stream.shutdown().now_or_never();
        Ok(Outcome::answer(ProbeCode::L6Ok, "TLS handshake done"))
    }
}
