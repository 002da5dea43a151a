//! Reads a Frontend. If the object does not decode, its claim and its encap are read as far as possible.

use std::num::NonZeroU16;

use serde::Deserialize;
use serde_json::Value;

use super::{Invalid, Unreadable, check_loopback, decodes_as, field, raw_address, unreadable};
use crate::{
    claims::{ClaimedEncap, EncapType},
    frontends::{Body, FrontendRead},
    members::{FrontendSettings, MemberRead, PoolRead},
    services::{PortSelector, ServicePool, Targets},
};
use maglev_crd::{
    Address, Disruption, Encap, EncapType as Type, ExternalTrafficPolicy, FrontendSpec, OnBackendDown, PathProbe,
    PathProbeMode, Pool, PoolBackend, PoolService, Port, Protocol, RampUp, ServiceTargets, SessionAffinity,
    TableLength,
};
use maglev_model::{
    Name,
    config::{self, DisruptionBudget, Kind},
    path,
    problem::{Problem, Reason},
    vip::{Service, Weight},
};

/// The consequence of an unreadable Frontend.
const HELD: &str = "until it is corrected, its VIP stays in VPP as it is";

/// Reads the Frontend `name`.
pub fn frontend(name: &Name, spec: Result<&FrontendSpec, &Unreadable>, allow_loopback: bool) -> FrontendRead {
    let spec = match spec {
        Ok(spec) => spec,
        Err(undecoded) => return raw(name, undecoded),
    };
    let service = service(spec.protocol, spec.port);
    let body = match settings(name, spec) {
        Err(invalid) => Body::Unreadable { problem: held(name, invalid), encap: claimed_encap(&spec.encap) },
        Ok(settings) => {
            let rejection = check_loopback(spec.address.get(), allow_loopback).err();
            Body::Readable { settings, rejection: rejection.map(|invalid| held(name, invalid)) }
        }
    };
    FrontendRead { address: Some(spec.address.get()), service, body }
}

fn held(name: &Name, mut invalid: Invalid) -> Problem {
    invalid.what = format!("{}; {HELD}", invalid.what);
    invalid.problem(Kind::Frontend, name)
}

/// Protocol and port go together.
fn service(protocol: Option<Protocol>, port: Option<Port>) -> Option<Service> {
    match (protocol, port) {
        (None, None) => Some(Service::AllPorts),
        (Some(protocol), Some(port)) => Some(Service::Port { protocol: protocol.into(), port: port.into() }),
        _ => None,
    }
}

fn settings(name: &Name, spec: &FrontendSpec) -> Result<FrontendSettings, Invalid> {
    if spec.protocol.is_some() != spec.port.is_some() {
        return Err(Invalid::new("spec.port", "and spec.protocol go together: one is set, the other is absent"));
    }
    let encap = encap(&spec.encap)?;
    let table_length = maglev_model::vip::TableLength::new(spec.table_length.get())
        .ok_or_else(|| Invalid::new("spec.tableLength", "is not a power of two from 256 to 32768"))?;
    Ok(FrontendSettings {
        encap,
        pools: spec
            .pools
            .iter()
            .map(|pool| Ok((pool.name.as_str().into(), read_pool(name, pool)?)))
            .collect::<Result<_, _>>()?,
        sticky: spec.session_affinity == SessionAffinity::ClientIP,
        on_backend_down: spec.on_backend_down.into(),
        table_length,
        path_probe: path_probe(spec)?,
        disruption: spec.disruption.map(disruption),
        ramp_up: spec.ramp_up.map(ramp_up),
    })
}

fn disruption(spec: Disruption) -> DisruptionBudget {
    DisruptionBudget { max_moved_percent: spec.max_moved_percent.into(), window: spec.window.get() }
}

fn ramp_up(spec: RampUp) -> config::RampUp {
    config::RampUp { duration: spec.duration.get(), steps: spec.steps.into() }
}

/// The path can be probed where a SYN in a tunnel is answered: with a TCP port and GRE.
fn path_probe(spec: &FrontendSpec) -> Result<Option<path::PathProbe>, Invalid> {
    let is_possible = spec.protocol == Some(Protocol::Tcp) && spec.encap.encap_type == Type::Gre;
    match spec.path_probe {
        Some(PathProbe { mode: PathProbeMode::Off, .. }) => Ok(None),
        None if !is_possible => Ok(None),
        Some(_) if !is_possible => Err(Invalid::new(
            "spec.pathProbe.mode",
            "is not Off, but the path can be probed only with protocol TCP and encap type GRE",
        )),
        probe => {
            let PathProbe { mode, interval, packet_size } = probe.unwrap_or_default();
            let mode = match mode {
                PathProbeMode::Require => path::PathMode::Require,
                PathProbeMode::Report | PathProbeMode::Off => path::PathMode::Report,
            };
            Ok(Some(path::PathProbe { mode, interval: interval.get(), packet_size: packet_size.into() }))
        }
    }
}

fn read_pool(name: &Name, pool: &Pool) -> Result<PoolRead, Invalid> {
    match (&pool.backends, &pool.service) {
        (Some(backends), None) => Ok(PoolRead::Backends(entries(name, backends))),
        (None, Some(service)) => Ok(PoolRead::Service(service_pool(name, service))),
        _ => Err(Invalid::new("spec.pools", "has a pool with both backends and service, or with neither of them")),
    }
}

fn entries(name: &Name, backends: &[PoolBackend]) -> Vec<MemberRead> {
    backends
        .iter()
        .map(|entry| MemberRead {
            backend: name.sibling(&entry.name),
            weight: entry.weight.map_or(Weight::DEFAULT, Into::into),
        })
        .collect()
}

fn service_pool(name: &Name, service: &PoolService) -> ServicePool {
    let check = service.health_check_ref.as_ref().map(|check| name.sibling(&check.name));
    ServicePool {
        service: name.sibling(&service.name),
        targets: match (service.targets, service.external_traffic_policy.unwrap_or_default()) {
            (ServiceTargets::Nodes, ExternalTrafficPolicy::Local) => Targets::LocalNodes,
            (ServiceTargets::Nodes, ExternalTrafficPolicy::Cluster) => Targets::AllNodes,
            (ServiceTargets::Endpoints, _) => Targets::Endpoints { check },
        },
        port: match (&service.port, service.target_port) {
            (Some(port), _) => PortSelector::Name(port.as_str().into()),
            (None, Some(port)) => PortSelector::Number(NonZeroU16::from(port).get()),
            (None, None) => PortSelector::Only,
        },
        weight: service.weight.map_or(Weight::DEFAULT, Into::into),
    }
}

fn encap(encap: &Encap) -> Result<EncapType, Invalid> {
    match (encap.encap_type, &encap.l3dsr) {
        (Type::Gre, _) => Ok(EncapType::Gre),
        (Type::L3dsr, Some(l3dsr)) => Ok(EncapType::L3dsr(l3dsr.dscp.into())),
        (Type::L3dsr, None) => {
            Err(Invalid::new("spec.encap.l3dsr", "is absent, but encap type L3DSR needs l3dsr.dscp"))
        }
    }
}

fn claimed_encap(spec: &Encap) -> ClaimedEncap {
    encap(spec).map_or(ClaimedEncap::Unknown, |encap| ClaimedEncap::Known(encap, None))
}

/// Reads the readable fields of a Frontend that does not decode.
fn raw(name: &Name, undecoded: &Unreadable) -> FrontendRead {
    let spec = &undecoded.spec;
    let address = raw_address(spec);
    let service = raw_service(spec).filter(|_| spec.is_object());
    let fields: [(_, super::FieldDecoder); 11] = [
        ("address", decodes_as::<Address>),
        ("protocol", decodes_as::<Protocol>),
        ("port", decodes_as::<Port>),
        ("encap", decodes_as::<Encap>),
        ("sessionAffinity", decodes_as::<SessionAffinity>),
        ("onBackendDown", decodes_as::<OnBackendDown>),
        ("tableLength", decodes_as::<TableLength>),
        ("pathProbe", decodes_as::<PathProbe>),
        ("disruption", decodes_as::<Disruption>),
        ("rampUp", decodes_as::<RampUp>),
        ("pools", decodes_as::<Vec<Pool>>),
    ];
    let outcome = if address.is_some() && service.is_some() {
        HELD
    } else {
        "its VIP is unknown, so until it is corrected, unclaimed VIPs are not removed"
    };
    let problem = if has_nat(spec) {
        nat_unsupported(name, outcome)
    } else {
        unreadable(Kind::Frontend, name, undecoded, &fields, outcome)
    };
    FrontendRead { address, service, body: Body::Unreadable { problem, encap: raw_encap(spec) } }
}

/// True for a Frontend with NAT, which the schema of earlier versions allowed.
fn has_nat(spec: &Value) -> bool {
    field(spec, "encap").and_then(|encap| field(encap, "type")) == Some(&Value::from("NAT"))
}

fn nat_unsupported(name: &Name, outcome: &str) -> Problem {
    let message = format!(
        "Frontend {name}: spec.encap.type NAT is not supported, because VPP drops the TCP packets of a NAT VIP, sends UDP \
         packets with a wrong checksum, and can abort; use GRE or L3DSR; {outcome}"
    );
    Problem::new(Reason::EncapUnsupported, "spec.encap.type", message)
}

fn raw_service(spec: &Value) -> Option<Service> {
    let protocol = field(spec, "protocol").map(Protocol::deserialize).transpose().ok()?;
    let port = field(spec, "port").map(Port::deserialize).transpose().ok()?;
    service(protocol, port)
}

fn raw_encap(spec: &Value) -> ClaimedEncap {
    match field(spec, "encap").map(Encap::deserialize).transpose() {
        Ok(encap) => claimed_encap(&encap.unwrap_or_default()),
        Err(_) => ClaimedEncap::Unknown,
    }
}
