//! The certificate of a server, from files that are replaced while the server runs.
//!
//! A certificate that is missing, malformed or expired never ends the server: the last one stays in use. Without any, the
//! server has a certificate of its own making, which no client trusts.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use maglev_net::{LogThrottle, error_chain};
use parking_lot::RwLock;
use prometheus::{Gauge, Opts, Registry};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
    version::TLS13,
};
use tokio_util::sync::CancellationToken;

use crate::verifier::Clock;
use crate::{CertificateError, CertificateInfo, issue};

/// Interval in which the files are read.
const REREAD: Duration = Duration::from_mins(1);
/// The same interval while there is no certificate that a client could trust.
const REREAD_MISSING: Duration = Duration::from_secs(5);
/// The name in the certificate of own making.
const EPHEMERAL_NAME: &str = "ephemeral.maglev.vpp.io";

/// The certificate in use. Clones share it.
#[derive(Clone)]
pub struct ServerCertificate(Arc<Shared>);

struct Shared {
    dir: PathBuf,
    clock: Clock,
    current: RwLock<Current>,
    metrics: CertificateMetrics,
    throttle: LogThrottle,
}

struct Current {
    key: Arc<CertifiedKey>,
    /// `None` for the certificate of own making.
    info: Option<CertificateInfo>,
}

/// Metrics of a server's certificate.
#[derive(Clone, Debug)]
pub struct CertificateMetrics {
    expiry: Gauge,
}

impl CertificateMetrics {
    /// The metrics with the label `server`.
    pub fn new(server: &str) -> Self {
        let opts = Opts::new(
            "maglev_tls_certificate_expiry_timestamp_seconds",
            "Unix time at which the server's certificate expires; 0 while it has none that a client could trust.",
        );
        let expiry = Gauge::with_opts(opts.const_label("server", server)).expect("the name is a valid metric name");
        Self { expiry }
    }

    /// Registers the metrics.
    ///
    /// # Errors
    /// If a server of this name is already registered.
    pub fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.expiry.clone()))
    }
}

impl fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerCertificate").field("dir", &self.0.dir).finish_non_exhaustive()
    }
}

impl ServerCertificate {
    /// Reads `tls.crt` and `tls.key` in `dir`, which may be missing.
    ///
    /// # Errors
    /// The certificate of own making cannot be made.
    pub fn new(dir: impl Into<PathBuf>, clock: Clock, metrics: CertificateMetrics) -> Result<Self, CertificateError> {
        let issue::Issued { certificate_pem, key_pem } = issue::self_signed(EPHEMERAL_NAME, (clock)())?;
        let (key, _) = certified_key(certificate_pem.as_bytes(), key_pem.as_bytes())?;
        let current = RwLock::new(Current { key: Arc::new(key), info: None });
        let this =
            Self(Arc::new(Shared { dir: dir.into(), clock, current, metrics, throttle: LogThrottle::default() }));
        this.read();
        Ok(this)
    }

    /// Reads the files every minute until `shutdown`, and every few seconds while none could be used.
    pub async fn run(self, shutdown: CancellationToken) {
        loop {
            let interval = if self.info().is_some() { REREAD } else { REREAD_MISSING };
            tokio::select! {
                () = tokio::time::sleep(interval) => self.read(),
                () = shutdown.cancelled() => return,
            }
        }
    }

    /// Uses the certificate in the files, unless it cannot be used.
    pub fn read(&self) {
        let now = (self.0.clock)();
        let problem = match self.read_files() {
            Ok((key, info)) if info.not_after > now => {
                self.replace(key, info);
                None
            }
            Ok((_, info)) => Some(format!("the certificate expired at {:.0}", info.not_after)),
            Err(error) => Some(error_chain(&error)),
        };
        let Some(problem) = problem else { return };
        if let Some(suppressed) = self.0.throttle.admit(&problem) {
            let (dir, trusted) = (self.0.dir.display(), self.info().is_some());
            tracing::warn!(%dir, error = problem, trusted, suppressed, "the certificate of gRPC is not renewed");
        }
    }

    /// Facts about the certificate in use; `None` for the one of own making.
    pub fn info(&self) -> Option<CertificateInfo> {
        self.0.current.read().info.clone()
    }

    fn replace(&self, key: CertifiedKey, info: CertificateInfo) {
        let mut current = self.0.current.write();
        if current.key.cert == key.cert {
            return;
        }
        #[expect(clippy::cast_precision_loss, reason = "exact for thousands of years")]
        self.0.metrics.expiry.set(info.not_after.as_second() as f64);
        tracing::info!(expires = %format_args!("{:.0}", info.not_after), names = ?info.names, "certificate of gRPC read");
        *current = Current { key: Arc::new(key), info: Some(info) };
        self.0.throttle.reset();
    }

    fn read_files(&self) -> Result<(CertifiedKey, CertificateInfo), CertificateError> {
        let read = |name: &str| {
            let path = self.0.dir.join(name);
            std::fs::read(&path).map_err(|source| CertificateError::File { path: path.display().to_string(), source })
        };
        certified_key(&read("tls.crt")?, &read("tls.key")?)
    }

    /// The TLS settings of a server with this certificate, for HTTP/2.
    pub fn config(&self) -> Arc<ServerConfig> {
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_protocol_versions(&[&TLS13]).expect("ring supports TLS 1.3");
        let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(self.clone()));
        config.alpn_protocols = vec![b"h2".to_vec()];
        // A resumed session would not see a renewed certificate, and connections are few.
        config.send_tls13_tickets = 0;
        Arc::new(config)
    }
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.current.read().key))
    }
}

fn certified_key(certificate: &[u8], key: &[u8]) -> Result<(CertifiedKey, CertificateInfo), CertificateError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate).filter_map(Result::ok).collect();
    let info = CertificateInfo::from_der(chain.first().ok_or(CertificateError::NoCertificate)?)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| CertificateError::NoKey)?;
    let key = CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(CertificateError::Unusable)?;
    Ok((key, info))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::issue::{Authority, Issued};

    const DAY: Duration = Duration::from_hours(24);

    fn clock(now: &Arc<RwLock<Timestamp>>) -> Clock {
        let now = Arc::clone(now);
        Arc::new(move || *now.read())
    }

    fn write(dir: &std::path::Path, Issued { certificate_pem, key_pem }: &Issued) {
        std::fs::write(dir.join("tls.crt"), certificate_pem).expect("the directory is writable");
        std::fs::write(dir.join("tls.key"), key_pem).expect("the directory is writable");
    }

    #[test]
    fn last_usable_certificate_stays_in_use() {
        let dir = tempfile::tempdir().expect("a directory");
        let now = Arc::new(RwLock::new(Timestamp::from_second(1_800_000_000).expect("a valid time")));
        let metrics = CertificateMetrics::new("grpc");
        let server = ServerCertificate::new(dir.path(), clock(&now), metrics.clone()).expect("a certificate");
        assert_eq!((server.info(), metrics.expiry.get()), (None, 0.0), "there is none yet");

        let start = *now.read();
        let authority = Authority::create(start).expect("an authority");
        let leaf = |at| authority.issue("maglevd.lb.maglev.vpp.io", at).expect("a certificate");
        write(dir.path(), &leaf(start));
        server.read();
        let first = server.info().expect("the certificate is used");
        assert_eq!(first.names, ["maglevd.lb.maglev.vpp.io"]);
        assert_eq!(metrics.expiry.get() as i64, first.not_after.as_second());

        for (certificate, key) in [("", ""), ("x", "x"), (leaf(start).certificate_pem.as_str(), "x")] {
            std::fs::write(dir.path().join("tls.crt"), certificate).expect("the directory is writable");
            std::fs::write(dir.path().join("tls.key"), key).expect("the directory is writable");
            server.read();
            assert_eq!(server.info().as_ref(), Some(&first), "{certificate:.20}");
        }
        write(dir.path(), &Issued { key_pem: leaf(start).key_pem, ..leaf(start) });
        server.read();
        assert_eq!(server.info().as_ref(), Some(&first), "the key belongs to another certificate");
        std::fs::remove_file(dir.path().join("tls.crt")).expect("the file exists");
        server.read();
        assert_eq!(server.info().as_ref(), Some(&first), "the Secret was deleted");

        *now.write() = start + 91 * DAY;
        write(dir.path(), &leaf(start + DAY / 2));
        server.read();
        assert_eq!(server.info().as_ref(), Some(&first), "expired");
        write(dir.path(), &leaf(start + 60 * DAY));
        server.read();
        assert_ne!(server.info(), Some(first), "renewed");
    }
}
