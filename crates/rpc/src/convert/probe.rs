//! HealthChecks.

use super::{
    Malformed,
    scalar::{duration, number, port, read_duration},
};
use crate::proto::{self, health_check as wire};
use maglev_model::{
    body_pattern::BodyPattern,
    config::{HeaderValue, HealthCheck, Http, Probe, Revision, StatusRange, Tls},
    name::Name,
};

impl From<&Revision> for proto::Revision {
    fn from(revision: &Revision) -> Self {
        Self { uid: revision.uid.to_string(), generation: revision.generation }
    }
}

impl From<proto::Revision> for Revision {
    fn from(revision: proto::Revision) -> Self {
        Self { uid: revision.uid.into(), generation: revision.generation }
    }
}

impl From<&HealthCheck> for proto::HealthCheck {
    fn from(check: &HealthCheck) -> Self {
        let HealthCheck { name, revision, interval, fast_interval, down_interval, timeout, rise, fall, probe } = check;
        Self {
            name: name.to_string(),
            observed: Some(revision.into()),
            interval: duration(*interval),
            fast_interval: duration(*fast_interval),
            down_interval: duration(*down_interval),
            timeout: duration(*timeout),
            rise: (*rise).into(),
            fall: (*fall).into(),
            probe: Some(probe.into()),
        }
    }
}

impl TryFrom<proto::HealthCheck> for HealthCheck {
    type Error = Malformed;

    fn try_from(check: proto::HealthCheck) -> Result<Self, Malformed> {
        Ok(Self {
            name: Name::from(&*check.name),
            revision: check.observed.unwrap_or_default().into(),
            interval: read_duration(check.interval, "interval")?,
            fast_interval: read_duration(check.fast_interval, "fast_interval")?,
            down_interval: read_duration(check.down_interval, "down_interval")?,
            timeout: read_duration(check.timeout, "timeout")?,
            rise: number(check.rise, "rise")?,
            fall: number(check.fall, "fall")?,
            probe: check.probe.ok_or(Malformed::missing("probe"))?.try_into()?,
        })
    }
}

impl From<&Probe> for wire::Probe {
    fn from(probe: &Probe) -> Self {
        let convert_tls = |tls: &Option<Tls>| tls.as_ref().map(proto::Tls::from);
        match probe {
            Probe::Icmp => Self::Icmp(proto::IcmpProbe {}),
            Probe::Tcp { port, tls } => Self::Tcp(proto::TcpProbe { port: port.get().into(), tls: convert_tls(tls) }),
            Probe::Http { port, http, tls } => Self::Http(proto::HttpProbe {
                port: port.get().into(),
                path: http.path.clone(),
                host: http.host.clone(),
                method: proto::HttpMethod::from(http.method).into(),
                connection: proto::ConnectionMode::from(http.connection).into(),
                expected_statuses: http.expected_statuses.iter().map(|range| (*range).into()).collect(),
                expected_body: http.expected_body.as_ref().map(|pattern| pattern.source().to_owned()),
                expected_text: http.expected_text.clone(),
                header_names: http.headers.iter().map(|(name, _)| name.clone()).collect(),
                tls: convert_tls(tls),
            }),
            Probe::Grpc { port, service, connection, tls } => Self::Grpc(proto::GrpcProbe {
                port: port.get().into(),
                service: service.clone(),
                tls: convert_tls(tls),
                connection: proto::ConnectionMode::from(*connection).into(),
            }),
        }
    }
}

impl TryFrom<wire::Probe> for Probe {
    type Error = Malformed;

    fn try_from(probe: wire::Probe) -> Result<Self, Malformed> {
        Ok(match probe {
            wire::Probe::Icmp(proto::IcmpProbe {}) => Self::Icmp,
            wire::Probe::Tcp(tcp) => Self::Tcp { port: port(tcp.port, "port")?, tls: tcp.tls.map(Tls::from) },
            wire::Probe::Http(http) => read_http(http)?,
            wire::Probe::Grpc(grpc) => {
                let connection = grpc.connection().into();
                let proto::GrpcProbe { port: number, service, tls, connection: _ } = grpc;
                Self::Grpc { port: port(number, "port")?, service, connection, tls: tls.map(Tls::from) }
            }
        })
    }
}

fn read_http(probe: proto::HttpProbe) -> Result<Probe, Malformed> {
    let http = Http {
        method: probe.method().try_into()?,
        connection: probe.connection().into(),
        path: probe.path,
        host: probe.host,
        expected_statuses: probe.expected_statuses.into_iter().map(StatusRange::try_from).collect::<Result<_, _>>()?,
        expected_text: probe.expected_text,
        expected_body: probe.expected_body.as_deref().map(BodyPattern::new),
        headers: probe.header_names.into_iter().map(|name| (name, HeaderValue::default())).collect(),
    };
    Ok(Probe::Http { port: port(probe.port, "port")?, http, tls: probe.tls.map(Tls::from) })
}

impl From<StatusRange> for proto::StatusRange {
    fn from(StatusRange { from, to }: StatusRange) -> Self {
        Self { from: from.into(), to: to.into() }
    }
}

impl TryFrom<proto::StatusRange> for StatusRange {
    type Error = Malformed;

    fn try_from(proto::StatusRange { from, to }: proto::StatusRange) -> Result<Self, Malformed> {
        Ok(Self { from: number(from, "expected_statuses")?, to: number(to, "expected_statuses")? })
    }
}

/// Certificates and keys are never sent.
impl From<&Tls> for proto::Tls {
    fn from(Tls { server_name, insecure_skip_verify, authorities: _, client: _ }: &Tls) -> Self {
        Self { server_name: server_name.clone(), insecure_skip_verify: *insecure_skip_verify }
    }
}

impl From<proto::Tls> for Tls {
    fn from(proto::Tls { server_name, insecure_skip_verify }: proto::Tls) -> Self {
        Self { server_name, insecure_skip_verify, authorities: None, client: None }
    }
}
