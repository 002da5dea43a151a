//! The expiry of the authorities that a client trusts, as a metric.

use std::path::PathBuf;

use jiff::Timestamp;
use prometheus::{
    Gauge,
    core::{Collector, Desc},
    proto::MetricFamily,
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};

use crate::CertificateInfo;

/// Reads the file with the authorities at each scrape.
pub struct AuthorityMetrics {
    path: PathBuf,
    expiry: Gauge,
}

impl AuthorityMetrics {
    pub fn new(path: PathBuf) -> Self {
        let expiry = Gauge::new(
            "maglev_tls_authority_expiry_timestamp_seconds",
            "Unix time at which the last of the authorities of agents' certificates expires; 0 while there is none.",
        );
        Self { path, expiry: expiry.expect("the name is a valid metric name") }
    }
}

impl Collector for AuthorityMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.expiry.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let last = std::fs::read(&self.path).ok().and_then(|pem| last_expiry(&pem));
        #[expect(clippy::cast_precision_loss, reason = "exact for thousands of years")]
        self.expiry.set(last.map_or(0.0, |last| last.as_second() as f64));
        self.expiry.collect()
    }
}

/// The latest end of a certificate in PEM. While an authority is replaced, there are two.
fn last_expiry(pem: &[u8]) -> Option<Timestamp> {
    let certificates = CertificateDer::pem_slice_iter(pem).filter_map(Result::ok);
    certificates.filter_map(|der| Some(CertificateInfo::from_der(&der).ok()?.not_after)).max()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::issue::Authority;

    #[test]
    fn value_is_the_end_of_the_last_authority_in_the_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("ca.crt");
        let metrics = AuthorityMetrics::new(path.clone());
        let value = || metrics.collect()[0].get_metric()[0].get_gauge().get_value() as i64;
        assert_eq!(value(), 0, "there is no file");
        std::fs::write(&path, "").expect("the directory is writable");
        assert_eq!(value(), 0, "the ConfigMap is empty");

        let start = Timestamp::from_second(1_800_000_000).expect("a valid time");
        let authority = |days: u64| {
            let authority = Authority::create(start + Duration::from_hours(24 * days)).expect("an authority");
            authority.certificate_pem().to_owned()
        };
        let (first, second) = (authority(0), authority(9 * 365));
        let end = |pem: &str| CertificateInfo::from_pem(pem.as_bytes()).expect("a certificate").not_after.as_second();
        std::fs::write(&path, &first).expect("the directory is writable");
        assert_eq!(value(), end(&first));
        for bundle in [format!("{first}{second}"), format!("{second}{first}"), format!("{second}x")] {
            std::fs::write(&path, bundle).expect("the directory is writable");
            assert_eq!(value(), end(&second));
        }
    }
}
