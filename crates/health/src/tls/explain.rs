//! Failures of TLS in plain words, with the remedy.

use std::time::Duration;

use jiff::Timestamp;
use rustls::{AlertDescription, CertificateError, Error, pki_types::UnixTime};

/// The maximum number of names of a certificate in a message.
const MAX_NAMES: usize = 4;

/// The message of `error`.
pub fn explain(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(fault) => certificate(fault),
        Error::AlertReceived(alert) => alert_received(*alert),
        Error::NoCertificatesPresented => "the server presents no certificate".to_owned(),
        other => other.to_string(),
    }
}

fn certificate(fault: &CertificateError) -> String {
    let clause = match fault {
        CertificateError::UnknownIssuer => {
            "is issued by no trusted CA: put the certificate of its CA, and the server's chain in order, into the object \
             of tls.caCertificateRef"
                .to_owned()
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names = names(presented);
            format!("is valid for {names}, not for {:?}: set tls.serverName to a name of the certificate", expected.to_str())
        }
        CertificateError::Expired => "has expired: renew it".to_owned(),
        CertificateError::ExpiredContext { not_after, .. } => format!("expired on {}: renew it", date(*not_after)),
        CertificateError::NotValidYet => "is not valid yet: check the clock of this node".to_owned(),
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("is not valid before {}: check the clock of this node", date(*not_before))
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => format!(
            "or its chain has a key or signature that probes cannot verify: use {SUPPORTED_KEYS}, or set \
             tls.insecureSkipVerify: true"
        ),
        CertificateError::BadSignature => "has a signature that does not verify".to_owned(),
        CertificateError::BadEncoding => "cannot be decoded: issue it anew".to_owned(),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "is not for servers: issue it with the extended key usage serverAuth".to_owned()
        }
        other => return other_certificate_fault(other),
    };
    format!("the certificate of the server {clause}")
}

const SUPPORTED_KEYS: &str =
    "keys of ECDSA P-256 or P-384, Ed25519, or RSA of 2048 to 8192 bits (P-521 is not supported)";

/// Errors that rustls passes on from its verifier, known by name only.
fn other_certificate_fault(fault: &CertificateError) -> String {
    let name = match fault {
        CertificateError::Other(other) => other.0.to_string(),
        other => format!("{other:?}"),
    };
    match name.as_str() {
        "CaUsedAsEndEntity" => {
            "the certificate of the server is a CA certificate (CA:TRUE), which is not accepted for a \
                                server: issue a server certificate with CA:FALSE, signed by that CA, or set \
                                tls.insecureSkipVerify: true"
                .to_owned()
        }
        "EndEntityUsedAsCa" => {
            "the issuer of the server's certificate is not a CA certificate: issue it with CA:TRUE".to_owned()
        }
        "UnsupportedCertVersion" => {
            "the certificate of the server has not X.509 version 3: issue it with the extension \
                                     subjectAltName"
                .to_owned()
        }
        _ => format!("the certificate of the server is not valid ({name})"),
    }
}

fn alert_received(alert: AlertDescription) -> String {
    let cause = match alert {
        AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => {
            format!(
                "no TLS version, cipher suite or kind of key in common, or no client certificate: probes use TLS 1.2 or 1.3 \
                 and {SUPPORTED_KEYS}"
            )
        }
        AlertDescription::ProtocolVersion => "it supports neither TLS 1.2 nor 1.3".to_owned(),
        AlertDescription::UnrecognisedName => "it does not serve this name: set tls.serverName".to_owned(),
        AlertDescription::NoApplicationProtocol => "it speaks neither HTTP/2 nor HTTP/1.1".to_owned(),
        AlertDescription::CertificateRequired => {
            "it requires a client certificate: set tls.clientCertificateRef".to_owned()
        }
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::AccessDenied => "it refuses the client certificate of tls.clientCertificateRef".to_owned(),
        _ => return format!("the server ended the connection with the TLS alert {alert:?}"),
    };
    format!("the server ended the connection with the TLS alert {alert:?}: {cause}")
}

/// The names of a certificate, which rustls presents as `DnsName("web.example")` and `IpAddress(192.0.2.1)`.
fn names(presented: &[String]) -> String {
    if presented.is_empty() {
        return "no name (it has no subjectAltName)".to_owned();
    }
    let plain = |name: &String| name.split(['"', '(', ')']).rfind(|part| !part.is_empty()).unwrap_or(name).to_owned();
    let mut names: Vec<String> = presented.iter().take(MAX_NAMES).map(plain).collect();
    if presented.len() > MAX_NAMES {
        names.push(format!("{} more", presented.len() - MAX_NAMES));
    }
    names.join(", ")
}

fn date(time: UnixTime) -> String {
    let seconds = Duration::from_secs(time.as_secs());
    Timestamp::UNIX_EPOCH.checked_add(seconds).map_or_else(|_| "an invalid date".to_owned(), |time| time.to_string())
}
