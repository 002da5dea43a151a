//! Backends and Frontends. References are names in messages.

use std::{collections::HashMap, sync::Arc};

use super::{
    Malformed,
    drain::{drain_conf, read_drain_conf},
    enums::read_reason,
    scalar::{duration, number, port, read_address, read_duration, read_optional_address, text},
};
use crate::proto::{self, backend as wire};
use maglev_model::{
    config::{
        Backend, Check, DisruptionBudget, Frontend, HealthCheck, Member, MemberTarget, OnBackendDown, Pool, RampUp,
        Standing,
    },
    derived::Origin,
    name::Name,
    path::PathProbe,
    problem::Problem,
    vip::{Dscp, Encap, Protocol, Service, TableLength, VipKey, Weight},
};

/// Resolves the names in one message.
#[derive(Debug, Default)]
pub struct Resolver {
    checks: HashMap<Name, Arc<HealthCheck>>,
    backends: HashMap<Name, Arc<Backend>>,
}

impl Resolver {
    /// A resolver with the referenced objects of a message.
    pub fn new(referenced: Option<proto::Referenced>) -> Result<Self, Malformed> {
        let mut resolver = Self::default();
        let proto::Referenced { health_checks, backends } = referenced.unwrap_or_default();
        for check in health_checks {
            resolver.health_check(check)?;
        }
        for backend in backends {
            resolver.backend(backend)?;
        }
        Ok(resolver)
    }

    /// Reads a HealthCheck. Backends read afterwards can refer to it.
    pub fn health_check(&mut self, check: proto::HealthCheck) -> Result<Arc<HealthCheck>, Malformed> {
        let check = Arc::new(HealthCheck::try_from(check)?);
        self.checks.insert(check.name.clone(), Arc::clone(&check));
        Ok(check)
    }

    /// Reads a Backend. Frontends read afterwards can refer to it.
    pub fn backend(&mut self, backend: proto::Backend) -> Result<Arc<Backend>, Malformed> {
        let admin_state = backend.admin_state().try_into()?;
        let check = match backend.check {
            None => Check::None,
            Some(wire::Check::Missing(problem)) => Check::Missing(problem.into()),
            Some(wire::Check::NotSupported(problem)) => Check::NotSupported(problem.into()),
            Some(wire::Check::HealthCheck(name)) => match self.checks.get(&Name::from(&*name)) {
                Some(check) => Check::Probe(Arc::clone(check)),
                None => return Err(Malformed::new("health_check", name)),
            },
        };
        let backend = Arc::new(Backend {
            name: Name::from(&*backend.name),
            revision: backend.observed.unwrap_or_default().into(),
            address: read_address(&backend.address, "address")?,
            admin_state,
            pause_cause: Some(backend.pause_cause).filter(|cause| !cause.is_empty()).map(Arc::from),
            drain: read_drain_conf(backend.drain)?,
            check,
        });
        self.backends.insert(backend.name.clone(), Arc::clone(&backend));
        Ok(backend)
    }

    pub fn frontend(&self, frontend: proto::Frontend) -> Result<Arc<Frontend>, Malformed> {
        let problem = frontend.problem.clone().unwrap_or_default().into();
        let standing = match frontend.standing() {
            proto::Standing::Serving => Standing::Serving,
            proto::Standing::Held => Standing::Held(problem),
            proto::Standing::Withdrawn => Standing::Withdrawn(problem),
            proto::Standing::Unspecified => return Err(Malformed::missing("standing")),
        };
        let keep = frontend.keep_flows_on_backend_down;
        let length = frontend.table_length;
        Ok(Arc::new(Frontend {
            name: Name::from(&*frontend.name),
            revision: frontend.observed.unwrap_or_default().into(),
            vip: VipKey {
                address: read_address(&frontend.address, "address")?,
                service: frontend.service.ok_or(Malformed::missing("service"))?.try_into()?,
            },
            standing,
            pools: frontend.pools.into_iter().map(|pool| self.pool(pool)).collect::<Result<_, _>>()?,
            encap: frontend.encap.filter(|encap| !is_nat(encap)).map(Encap::try_from).transpose()?,
            sticky: frontend.sticky,
            on_backend_down: if keep { OnBackendDown::Keep } else { OnBackendDown::Flush },
            table_length: TableLength::new(length).ok_or_else(|| Malformed::new("table_length", length.to_string()))?,
            path_probe: frontend.path_probe.map(PathProbe::try_from).transpose()?,
            disruption: frontend.disruption.map(DisruptionBudget::try_from).transpose()?,
            ramp_up: frontend.ramp_up.map(RampUp::try_from).transpose()?,
        }))
    }

    fn pool(&self, pool: proto::Pool) -> Result<Pool, Malformed> {
        let members = pool.members.into_iter().map(|member| self.member(member)).collect::<Result<_, _>>()?;
        Ok(Pool { name: pool.name.into(), members })
    }

    fn member(&self, member: proto::Member) -> Result<Member, Malformed> {
        let backend = Name::from(&*member.backend);
        let target = match (member.unreadable, self.backends.get(&backend)) {
            (true, _) => MemberTarget::Unreadable { address: read_optional_address(&member.address, "address")? },
            (false, Some(backend)) => MemberTarget::Backend(Arc::clone(backend)),
            (false, None) => return Err(Malformed::new("backend", member.backend)),
        };
        let weight = Weight::new(number(member.weight, "weight")?);
        let weight = weight.ok_or_else(|| Malformed::new("weight", member.weight.to_string()))?;
        Ok(Member { backend, weight, target })
    }
}

impl From<&Backend> for proto::Backend {
    fn from(Backend { name, revision, address, admin_state, pause_cause, drain, check }: &Backend) -> Self {
        Self {
            name: name.to_string(),
            observed: Some(revision.into()),
            address: address.to_string(),
            admin_state: proto::AdminState::from(*admin_state).into(),
            drain: drain_conf(*drain),
            origin: text(Origin::parse(name)),
            pause_cause: text(pause_cause.as_ref()),
            check: match check {
                Check::None => None,
                Check::Probe(check) => Some(wire::Check::HealthCheck(check.name.to_string())),
                Check::Missing(problem) => Some(wire::Check::Missing(problem.into())),
                Check::NotSupported(problem) => Some(wire::Check::NotSupported(problem.into())),
            },
        }
    }
}

impl From<&Frontend> for proto::Frontend {
    fn from(frontend: &Frontend) -> Self {
        let Frontend { name, revision, vip, standing, pools, encap, sticky, .. } = frontend;
        let Frontend { on_backend_down, table_length, path_probe, disruption, ramp_up, .. } = frontend;
        let (standing, problem) = match standing {
            Standing::Serving => (proto::Standing::Serving, None),
            Standing::Held(problem) => (proto::Standing::Held, Some(problem.into())),
            Standing::Withdrawn(problem) => (proto::Standing::Withdrawn, Some(problem.into())),
        };
        Self {
            name: name.to_string(),
            observed: Some(revision.into()),
            address: vip.address.to_string(),
            service: Some(vip.service.into()),
            standing: standing.into(),
            problem,
            pools: pools.iter().map(proto::Pool::from).collect(),
            encap: encap.map(proto::Encap::from),
            sticky: *sticky,
            keep_flows_on_backend_down: *on_backend_down == OnBackendDown::Keep,
            table_length: table_length.get().into(),
            path_probe: path_probe.map(Into::into),
            disruption: disruption.map(Into::into),
            ramp_up: ramp_up.map(Into::into),
        }
    }
}

impl From<DisruptionBudget> for proto::DisruptionBudget {
    fn from(DisruptionBudget { max_moved_percent, window }: DisruptionBudget) -> Self {
        Self { max_moved_percent: max_moved_percent.into(), window: duration(window) }
    }
}

impl TryFrom<proto::DisruptionBudget> for DisruptionBudget {
    type Error = Malformed;

    fn try_from(budget: proto::DisruptionBudget) -> Result<Self, Malformed> {
        let max_moved_percent = number(budget.max_moved_percent, "max_moved_percent")?;
        Ok(Self { max_moved_percent, window: read_duration(budget.window, "window")? })
    }
}

impl From<&Pool> for proto::Pool {
    fn from(Pool { name, members }: &Pool) -> Self {
        Self { name: name.to_string(), members: members.iter().map(proto::Member::from).collect() }
    }
}

impl From<&Member> for proto::Member {
    fn from(Member { backend, weight, target }: &Member) -> Self {
        Self {
            backend: backend.to_string(),
            weight: weight.get().into(),
            address: text(target.address()),
            unreadable: matches!(target, MemberTarget::Unreadable { .. }),
            effective_weight: None,
            why: proto::WeightReason::Unspecified.into(),
        }
    }
}

impl From<&Problem> for proto::Problem {
    fn from(Problem { reason, field, message }: &Problem) -> Self {
        Self { reason: reason.to_string(), field: field.clone(), message: message.clone() }
    }
}

impl From<proto::Problem> for Problem {
    fn from(proto::Problem { reason, field, message }: proto::Problem) -> Self {
        Self { reason: read_reason(&reason), field, message }
    }
}

impl From<Service> for proto::Service {
    fn from(service: Service) -> Self {
        let protocol = match service {
            Service::AllPorts => proto::Protocol::Any,
            Service::Port { protocol: Protocol::Tcp, .. } => proto::Protocol::Tcp,
            Service::Port { protocol: Protocol::Udp, .. } => proto::Protocol::Udp,
        };
        Self { protocol: protocol.into(), port: service.port().into() }
    }
}

impl TryFrom<proto::Service> for Service {
    type Error = Malformed;

    fn try_from(service: proto::Service) -> Result<Self, Malformed> {
        let with_port = |protocol| Ok(Self::Port { protocol, port: port(service.port, "port")? });
        match service.protocol() {
            proto::Protocol::Any => Ok(Self::AllPorts),
            proto::Protocol::Tcp => with_port(Protocol::Tcp),
            proto::Protocol::Udp => with_port(Protocol::Udp),
            proto::Protocol::Unspecified => Err(Malformed::missing("protocol")),
        }
    }
}

impl From<Encap> for proto::Encap {
    fn from(encap: Encap) -> Self {
        let (encap_type, parameter) = match encap {
            Encap::Gre4 => (proto::EncapType::Gre4, 0),
            Encap::Gre6 => (proto::EncapType::Gre6, 0),
            Encap::L3dsr(dscp) => (proto::EncapType::L3dsr, dscp.get().into()),
        };
        Self { r#type: encap_type.into(), parameter }
    }
}

/// True for NAT, which agents of version 0.1.0 report. It is read as no encap.
fn is_nat(encap: &proto::Encap) -> bool {
    matches!(encap.r#type, 4 | 5)
}

impl TryFrom<proto::Encap> for Encap {
    type Error = Malformed;

    fn try_from(encap: proto::Encap) -> Result<Self, Malformed> {
        let parameter = encap.parameter;
        Ok(match encap.r#type() {
            proto::EncapType::Gre4 => Self::Gre4,
            proto::EncapType::Gre6 => Self::Gre6,
            proto::EncapType::L3dsr => {
                let dscp = Dscp::new(number(parameter, "parameter")?);
                Self::L3dsr(dscp.ok_or_else(|| Malformed::new("parameter", parameter.to_string()))?)
            }
            proto::EncapType::Unspecified => return Err(Malformed::missing("type")),
        })
    }
}
