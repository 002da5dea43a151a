//! HealthChecks for the tests.

use std::{num::NonZeroU16, time::Duration};

use maglev_model::{
    body_pattern::BodyPattern,
    config::{Authorities, ClientCertificate, ConnectionMode, HealthCheck, Http, HttpMethod, Probe, StatusRange, Tls},
};
use maglev_testkit::objects::health_check;

fn check(probe: Probe) -> HealthCheck {
    HealthCheck { timeout: Duration::from_secs(10), probe, ..health_check("shop/check") }
}

fn nonzero(port: u16) -> NonZeroU16 {
    NonZeroU16::new(port).expect("a listener's port is not 0")
}

pub fn tcp(port: u16) -> HealthCheck {
    check(Probe::Tcp { port: nonzero(port), tls: None })
}

pub fn icmp() -> HealthCheck {
    check(Probe::Icmp)
}

pub fn grpc(port: u16, service: &str) -> HealthCheck {
    check(Probe::Grpc { port: nonzero(port), service: service.into(), connection: ConnectionMode::New, tls: None })
}

/// `GET /` that expects a status from 200 to 399.
pub fn http(port: u16) -> HealthCheck {
    let http = Http {
        path: "/".into(),
        host: None,
        method: HttpMethod::Get,
        connection: ConnectionMode::New,
        expected_statuses: vec![StatusRange { from: 200, to: 399 }],
        expected_text: None,
        expected_body: None,
        headers: vec![],
    };
    check(Probe::Http { port: nonzero(port), http, tls: None })
}

pub fn https(port: u16, server_name: &str) -> HealthCheck {
    tls(http(port), server_name)
}

/// The check over TLS.
pub fn tls(check: HealthCheck, server_name: &str) -> HealthCheck {
    with_tls(check, |tls| {
        let server_name = Some(server_name.into());
        *tls = Some(Tls { server_name, insecure_skip_verify: false, authorities: None, client: None });
    })
}

/// The check with the certificates that a HealthCheck refers to.
pub fn certified(
    check: HealthCheck,
    authorities: Option<Authorities>,
    client: Option<ClientCertificate>,
) -> HealthCheck {
    with_tls(check, |tls| {
        let tls = tls.as_mut().unwrap();
        (tls.authorities, tls.client) = (authorities, client);
    })
}

pub fn without_server_name(check: HealthCheck) -> HealthCheck {
    with_tls(check, |tls| tls.as_mut().unwrap().server_name = None)
}

pub fn insecure(check: HealthCheck) -> HealthCheck {
    with_tls(check, |tls| tls.as_mut().unwrap().insecure_skip_verify = true)
}

fn with_tls(mut check: HealthCheck, change: impl FnOnce(&mut Option<Tls>)) -> HealthCheck {
    match &mut check.probe {
        Probe::Tcp { tls, .. } | Probe::Http { tls, .. } | Probe::Grpc { tls, .. } => change(tls),
        Probe::Icmp => panic!("ICMP has no TLS"),
    }
    check
}

pub fn with_http(mut check: HealthCheck, change: impl FnOnce(&mut Http)) -> HealthCheck {
    match &mut check.probe {
        Probe::Http { http, .. } => change(http),
        other => panic!("{} is not HTTP", other.type_name()),
    }
    check
}

pub fn with_body(check: HealthCheck, expected: &str) -> HealthCheck {
    with_http(check, |http| http.expected_body = Some(BodyPattern::new(expected)))
}

/// The check with kept connections.
pub fn reuse(mut check: HealthCheck) -> HealthCheck {
    match &mut check.probe {
        Probe::Http { http, .. } => http.connection = ConnectionMode::Reuse,
        Probe::Grpc { connection, .. } => *connection = ConnectionMode::Reuse,
        other => panic!("{} has no choice of connections", other.type_name()),
    }
    check
}

/// The check with one expected status.
pub fn with_status(check: HealthCheck, status: u16) -> HealthCheck {
    with_http(check, |http| http.expected_statuses = vec![StatusRange { from: status, to: status }])
}
