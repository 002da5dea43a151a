//! The TCP probe: a connection and, if configured, a TLS handshake.

use std::{num::NonZeroU16, sync::Arc, time::Duration};

use futures::FutureExt;
use rustls::RootCertStore;
use tokio::{io::AsyncWriteExt, net::TcpStream, sync::Semaphore, time::timeout};

use maglev_model::{config::Tls, health::ProbeCode};

use super::{
    connect::{Acknowledgement, connect},
    prober::{ProbeOutcome, ProbeTarget},
    progress::ProbeProgress,
    tls::TlsClient,
};

/// The time that a server has to send its greeting after the probe has succeeded.
const GREETING_WAIT: Duration = Duration::from_millis(100);
/// The maximum number of connections of one HealthCheck that wait for a greeting. Bounds descriptors.
const MAX_WAITING: usize = 64;
/// The maximum size of a greeting in bytes, and of one read of it.
const GREETING_LIMIT: usize = 16 * 1024;
const READ_SIZE: usize = 1024;

/// A prepared TCP check.
#[derive(Debug)]
pub struct TcpProbe {
    port: NonZeroU16,
    tls: Option<TlsClient>,
    /// Permits of connections that wait for a greeting.
    waiting: Arc<Semaphore>,
}

impl TcpProbe {
    /// Prepares the probe of a HealthCheck.
    ///
    /// # Errors
    /// Human-readable message if the probe cannot be sent.
    pub fn new(port: NonZeroU16, tls: Option<&Tls>, roots: &Arc<RootCertStore>) -> Result<Self, String> {
        let tls = tls.map(|tls| TlsClient::new(tls, None, &[], roots)).transpose()?;
        Ok(Self { port, tls, waiting: Arc::new(Semaphore::new(MAX_WAITING)) })
    }

    /// Sends one probe. `Ok` is `L4OK` or `L6OK`.
    ///
    /// # Errors
    /// The outcome of a failed probe.
    pub async fn run(&self, target: &ProbeTarget, progress: &ProbeProgress<'_>) -> Result<ProbeOutcome, ProbeOutcome> {
        let acknowledgement = if self.tls.is_some() { Acknowledgement::WithData } else { Acknowledgement::Immediate };
        let stream = connect(target, self.port.get(), acknowledgement, progress).await?;
        let Some(tls) = &self.tls else {
            self.close(stream);
            return Ok(ProbeOutcome::completed(ProbeCode::L4Ok, "connected"));
        };
        let mut stream = tls.handshake(stream, target.address, progress).await?;
        // Sends `close_notify` if the socket accepts it at once, which is the usual case.
        let _ = stream.shutdown().now_or_never();
        Ok(ProbeOutcome::completed(ProbeCode::L6Ok, "TLS handshake done"))
    }

    /// Ends a connection without TLS.
    ///
    /// If the server sends a greeting, as databases and mail servers do, the connection ends with FIN: MySQL, for example,
    /// blocks a client after many resets. Otherwise it ends with a reset, so that no socket stays in TIME_WAIT on either
    /// side. The result of the probe does not wait for the greeting.
    fn close(&self, stream: TcpStream) {
        // If the option cannot be set, a port stays in use for a minute, which is no failure of the backend.
        let _ = stream.set_zero_linger();
        if let Ok(permit) = Arc::clone(&self.waiting).try_acquire_owned() {
            tokio::spawn(async move {
                let _ = timeout(GREETING_WAIT, close_after_greeting(stream)).await;
                drop(permit);
            });
        }
    }
}

/// Reads the greeting of the server, then closes with FIN. Unread data would turn FIN into a reset.
async fn close_after_greeting(mut stream: TcpStream) {
    if stream.readable().await.is_err() {
        return;
    }
    let (mut buffer, mut length) = ([0; READ_SIZE], 0);
    while length < GREETING_LIMIT {
        match stream.try_read(&mut buffer) {
            Ok(more) if more > 0 => length += more,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
            _ => return,
        }
    }
    let _ = socket2::SockRef::from(&stream).set_linger(None);
    let _ = stream.shutdown().await;
}
