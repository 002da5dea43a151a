//! Reads a HealthCheck.

use serde_json::Value;

use super::{Invalid, Unreadable, decodes_as, unreadable};
use crate::{
    certificates::{HeaderRef, Holder, HolderKind, HolderRefs},
    health_checks::CheckRead,
};
use maglev_crd::{self as crd, CaCertificateKind, CheckType, Count, Grpc, HealthCheckSpec, Interval, Port, Timeout};
use maglev_model::{
    Name,
    body_pattern::{BodyPattern, PatternError},
    config::{HeaderValue, HealthCheck, Http, Kind, Probe, Revision, Tls},
    problem::{Problem, Reason},
};

/// The inputs of reading a HealthCheck besides its object.
pub struct CheckContext<'a> {
    /// The reason for which this node cannot send ICMP probes, if any.
    pub(crate) icmp_missing: Option<&'a str>,
    /// The expression of the object as read before, which is not compiled again.
    pub(crate) compiled: Option<&'a BodyPattern>,
}

/// Reads the HealthCheck `name`.
pub fn health_check(
    name: &Name,
    revision: &Revision,
    spec: Result<&HealthCheckSpec, &Unreadable>,
    context: &CheckContext<'_>,
) -> CheckRead {
    const OUTCOME: &str = "until it is corrected, its backends are not probed and keep their weights";
    match spec {
        Err(found) => {
            let fields: [(_, super::FieldDecoder); 11] = [
                ("type", decodes_as::<CheckType>),
                ("port", decodes_as::<Port>),
                ("interval", decodes_as::<Interval>),
                ("fastInterval", decodes_as::<Interval>),
                ("downInterval", decodes_as::<Interval>),
                ("timeout", decodes_as::<Timeout>),
                ("rise", decodes_as::<Count>),
                ("fall", decodes_as::<Count>),
                ("http", decode_http),
                ("tls", decodes_as::<crd::Tls>),
                ("grpc", decodes_as::<Grpc>),
            ];
            let problem = unreadable(Kind::HealthCheck, name, found, &fields, OUTCOME);
            CheckRead { check: Err(problem), refs: HolderRefs::default(), not_supported: None, literal_secret: None }
        }
        Ok(spec) => match probe_settings(spec, context.compiled) {
            Ok(probe) => {
                let not_supported = missing_capability(name, spec, context.icmp_missing);
                let (refs, literal_secret) = (refs(name, spec), literal_secret(name, spec));
                CheckRead { check: Ok(resolved(name, revision, spec, probe)), refs, not_supported, literal_secret }
            }
            Err(mut invalid) => {
                invalid.what = format!("{}; {OUTCOME}", invalid.what);
                let check = Err(invalid.problem(Kind::HealthCheck, name));
                CheckRead { check, refs: HolderRefs::default(), not_supported: None, literal_secret: None }
            }
        },
    }
}

/// Decodes `spec.http`. Errors never include the value of a header, which may be a secret.
fn decode_http(value: &Value) -> Result<(), serde_json::Error> {
    let mut rest = value.clone();
    let headers = rest.as_object_mut().and_then(|http| http.remove("headers")).unwrap_or_default();
    decodes_as::<crd::Http>(&rest)?;
    decodes_as::<Option<Vec<crd::Header>>>(&headers).map_err(|_| {
        serde::de::Error::custom(
            "headers has an entry without a text as name, and a text as value or a valueFrom.secretKeyRef",
        )
    })
}

fn resolved(name: &Name, revision: &Revision, spec: &HealthCheckSpec, probe: Probe) -> HealthCheck {
    HealthCheck {
        name: name.clone(),
        revision: revision.clone(),
        interval: spec.interval.get(),
        fast_interval: spec.fast_interval.unwrap_or(spec.interval).get(),
        down_interval: spec.down_interval.unwrap_or(spec.interval).get(),
        timeout: spec.timeout.get(),
        rise: spec.rise.into(),
        fall: spec.fall.into(),
        probe,
    }
}

/// The problem of a HealthCheck that this node does not support.
fn missing_capability(name: &Name, spec: &HealthCheckSpec, icmp_missing: Option<&str>) -> Option<Problem> {
    const FIELD: &str = "spec.type";
    let missing = icmp_missing.filter(|_| spec.check_type == CheckType::Icmp)?;
    let message = format!(
        "HealthCheck {name}: {FIELD} is ICMP, but maglevd cannot send ICMP probes on this node: {missing}; until then the \
         health of its backends is unknown on this node"
    );
    Some(Problem::new(Reason::MissingCapability, FIELD, message))
}

/// The problem of a stored HealthCheck with the value of a header for credentials, which the API server refuses by now.
fn literal_secret(name: &Name, spec: &HealthCheckSpec) -> Option<Problem> {
    let headers = spec.http.iter().flat_map(|http| &http.headers);
    let header = headers.filter(|header| header.value.is_some()).find(|header| header.is_for_credentials())?;
    let field = format!("spec.http.headers[{}].value", header.name);
    let message = format!(
        "HealthCheck {name}: {field} can be read by everyone who can read the HealthCheck: put the value into a Secret, and \
         refer to it with valueFrom.secretKeyRef; until then the value is used as before"
    );
    Some(Problem::new(Reason::LiteralSecret, field, message))
}

/// The references to certificates and values of headers, in the namespace of the HealthCheck.
fn refs(name: &Name, spec: &HealthCheckSpec) -> HolderRefs {
    let object = |object: &str| Name::namespaced(name.namespace(), object);
    let certificates = |kind, name: &str| Holder::of_certificates(kind, object(name));
    let tls = spec.tls.as_ref();
    let authorities = tls.and_then(|tls| tls.ca_certificate_ref.as_ref()).map(|reference| {
        let kind = match reference.kind {
            CaCertificateKind::ConfigMap => HolderKind::ConfigMap,
            CaCertificateKind::Secret => HolderKind::Secret,
        };
        certificates(kind, &reference.name)
    });
    let client = tls.and_then(|tls| tls.client_certificate_ref.as_ref());
    let client = client.map(|reference| certificates(HolderKind::Secret, &reference.name));
    let headers = spec.http.iter().flat_map(|http| &http.headers).enumerate();
    let headers = headers.filter_map(|(position, header)| {
        let reference = &header.value_from.as_ref()?.secret_key_ref;
        let holder =
            Holder { kind: HolderKind::Secret, name: object(&reference.name), key: Some(reference.key.clone()) };
        Some(HeaderRef { position, header: header.name.clone(), holder })
    });
    HolderRefs { authorities, client, headers: headers.collect() }
}

fn probe_settings(spec: &HealthCheckSpec, compiled: Option<&BodyPattern>) -> Result<Probe, Invalid> {
    let port = || {
        let absent =
            || Invalid::new("spec.port", format!("is absent, but type {} needs one", spec.check_type.as_str()));
        spec.port.map(Into::into).ok_or_else(absent)
    };
    let host = spec.http.as_ref().and_then(|http| http.host.as_deref());
    let tls = spec.tls.as_ref().map(|given| tls(given, host)).transpose();
    match spec.check_type {
        CheckType::Icmp => Ok(Probe::Icmp),
        CheckType::Tcp => Ok(Probe::Tcp { port: port()?, tls: tls? }),
        CheckType::Http => Ok(Probe::Http { port: port()?, http: http(spec.http.as_ref(), compiled)?, tls: None }),
        CheckType::Https => {
            let tls = match tls? {
                Some(tls) => tls,
                None => self::tls(&crd::Tls::default(), host)?,
            };
            Ok(Probe::Http { port: port()?, http: http(spec.http.as_ref(), compiled)?, tls: Some(tls) })
        }
        CheckType::Grpc => {
            let Grpc { service, connection } = spec.grpc.clone().unwrap_or_default();
            let (service, connection) = (service.unwrap_or_default(), connection.into());
            Ok(Probe::Grpc { port: port()?, service, connection, tls: tls? })
        }
    }
}

fn tls(spec: &crd::Tls, host: Option<&str>) -> Result<Tls, Invalid> {
    let server_name = spec.server_name.as_deref().or(host).map(str::to_owned);
    let has_name = server_name.is_some() || spec.ca_certificate_ref.is_some();
    if !has_name && !spec.insecure_skip_verify {
        let what = "is absent, and so is spec.http.host: TLS needs the name that the certificate must have, or \
                    tls.caCertificateRef for certificates of the backends' addresses, or tls.insecureSkipVerify: true";
        return Err(Invalid::new("spec.tls.serverName", what));
    }
    Ok(Tls { server_name, insecure_skip_verify: spec.insecure_skip_verify, authorities: None, client: None })
}

/// Reads the request, and checks that the prober can build it.
fn http(spec: Option<&crd::Http>, compiled: Option<&BodyPattern>) -> Result<Http, Invalid> {
    let spec = spec.cloned().unwrap_or_default();
    if !spec.path.starts_with('/') || spec.path.parse::<http::uri::PathAndQuery>().is_err() {
        let what = format!("is {:?}, which is not a path that starts with / and has no space", spec.path);
        return Err(Invalid::new("spec.http.path", what));
    }
    if let Some(host) = &spec.host
        && http::HeaderValue::from_str(host).is_err()
    {
        return Err(Invalid::new("spec.http.host", format!("is {host:?}, which is not a host name")));
    }
    if spec.expected_statuses.is_empty() {
        return Err(Invalid::new("spec.http.expectedStatuses", "is empty; it needs a status such as 200 or 200-399"));
    }
    if spec.expected_text.is_some() && spec.expected_body.is_some() {
        return Err(Invalid::new("spec.http.expectedBody", "excludes expectedText: remove one of them"));
    }
    let expected_body = spec.expected_body.as_deref().map(|source| expected_body(source, compiled)).transpose()?;
    if let Some(header) = spec.headers.iter().find(|header| header.value.is_some() == header.value_from.is_some()) {
        let what = format!("has an entry {:?} that needs either value or valueFrom", header.name);
        return Err(Invalid::new("spec.http.headers", what));
    }
    // The message omits the value of the header, which may be a secret.
    if let Some(bad) = spec.headers.iter().find(|header| !is_sendable(header)) {
        let what = format!("has an entry {:?} that is not an HTTP header", bad.name);
        return Err(Invalid::new("spec.http.headers", what));
    }
    Ok(Http {
        path: spec.path,
        host: spec.host,
        method: spec.method.into(),
        connection: spec.connection.into(),
        expected_statuses: spec.expected_statuses.into_iter().map(Into::into).collect(),
        expected_text: spec.expected_text,
        expected_body,
        headers: spec
            .headers
            .into_iter()
            .map(|header| (header.name, HeaderValue::from(header.value.as_deref().unwrap_or_default())))
            .collect(),
    })
}

/// Compiles the expression `source`, unless `compiled` is that of the same text.
fn expected_body(source: &str, compiled: Option<&BodyPattern>) -> Result<BodyPattern, Invalid> {
    let pattern = compiled.filter(|compiled| compiled.source() == source).cloned();
    let pattern = pattern.unwrap_or_else(|| BodyPattern::new(source));
    match pattern.compiled() {
        Ok(_) => Ok(pattern),
        Err(error @ PatternError::TooLarge) => Err(Invalid::new("spec.http.expectedBody", error.to_string())),
        Err(error @ PatternError::Syntax(_)) => {
            let error: String = error.to_string().chars().take(super::LONGEST_ERROR).collect();
            Err(Invalid::new("spec.http.expectedBody", format!("is not a usable regular expression: {error}")))
        }
    }
}

fn is_sendable(header: &crd::Header) -> bool {
    http::HeaderName::from_bytes(header.name.as_bytes()).is_ok()
        && http::HeaderValue::from_str(header.value.as_deref().unwrap_or_default()).is_ok()
}
