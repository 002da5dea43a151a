//! The members of a pool that follows a Service: a pure function of its EndpointSlices and of the Nodes.
//!
//! A slice that does not decode may have any endpoint. While there is one, nothing leaves the pool and no weight becomes 0
//! because of what the other slices do not say.

mod endpoints;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use self::endpoints::{Endpoint, Endpoints, PoolSlices};
use super::{
    Services, SlicesOf,
    nodes::{NodeServer, Pause},
};
use crate::object::EndpointState;
use maglev_model::{
    Name,
    derived::DerivedName,
    drain::DrainConf,
    problem::{Problem, Reason},
    vip::{Family, Protocol, Weight},
};

/// A pool that follows a Service, as read from the Frontend.
#[derive(Clone, Debug, PartialEq)]
pub struct ServicePool {
    pub service: Name,
    pub targets: Targets,
    pub port: PortSelector,
    pub weight: Weight,
}

/// The receivers of the packets.
#[derive(Clone, Debug, PartialEq)]
pub enum Targets {
    /// Nodes with an endpoint.
    LocalNodes,
    /// Every Node.
    AllNodes,
    Endpoints {
        /// The HealthCheck of the endpoints.
        check: Option<Name>,
    },
}

impl Targets {
    /// True if the members are Nodes.
    pub fn are_nodes(&self) -> bool {
        matches!(self, Self::LocalNodes | Self::AllNodes)
    }
}

/// The port of the Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortSelector {
    /// The only port with the protocol of the Frontend.
    Only,
    Name(Arc<str>),
    /// The port of the endpoints.
    Number(u16),
}

/// A pool, and what a Frontend adds to it.
#[derive(Clone, Copy, Debug)]
pub struct PoolUse<'a> {
    pub frontend: &'a Name,
    /// The name of the pool.
    pub pool: &'a str,
    pub service: &'a ServicePool,
    pub vip: IpAddr,
    /// `None` for all protocols.
    pub protocol: Option<Protocol>,
}

/// A derived Backend.
#[derive(Clone, Debug, PartialEq)]
pub struct DerivedBackend {
    pub name: DerivedName,
    pub address: IpAddr,
    /// The HealthCheck of an endpoint. That of a Node is a setting.
    pub check: Option<Name>,
    /// Set for a server that gets no new flows in any pool.
    pub pause: Option<Arc<Pause>>,
}

/// A derived Backend in a pool. There are as many as Frontends times Nodes.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolMember {
    pub backend: Name,
    /// The weight; `None` if it is not known, so that VPP keeps the one that it has.
    pub weight: Option<Weight>,
}

/// A derived Backend, and its weight in a pool.
type DerivedMember = (DerivedBackend, Option<Weight>);

/// The members of a pool.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Membership {
    /// By name.
    pub members: Arc<[PoolMember]>,
    /// True if there may be other members.
    pub incomplete: bool,
    /// The problem because of which the Frontend is held: nothing is known about the members.
    pub held: Option<Problem>,
    pub problems: Vec<Problem>,
    /// Number of endpoints in the slices of the Service.
    pub endpoints: u64,
}

/// The members of the last pool of a pass, for the next one. The Frontends of a Service follow each other, and mostly have the
/// same members: they share the list.
#[derive(Default)]
pub struct LastDerived<'s> {
    source: Option<MemberSource<'s>>,
    members: Arc<[PoolMember]>,
}

/// All that the members of a pool, and their Backends, follow from during a pass, in which slices and Nodes stay the same.
#[derive(PartialEq)]
struct MemberSource<'s> {
    service: Name,
    targets: Targets,
    weight: Weight,
    /// The family of the VIP.
    family: Family,
    /// The slices with the port of the pool.
    slices: Vec<&'s Name>,
}

impl<'s> MemberSource<'s> {
    fn new(pool: PoolUse<'_>, slices: &PoolSlices<'s>) -> Self {
        let ServicePool { service, targets, weight, port: _ } = pool.service;
        Self {
            service: service.clone(),
            targets: targets.clone(),
            weight: *weight,
            family: Family::from_address(pool.vip),
            slices: slices.names().collect(),
        }
    }
}

impl Services {
    /// The members of a pool. Adds their Backends to `backends`, unless the pool before had the same ones.
    pub fn membership<'s>(
        &'s self,
        pool: PoolUse<'_>,
        last: &mut LastDerived<'s>,
        backends: &mut Vec<DerivedBackend>,
    ) -> Membership {
        let service = &pool.service.service;
        let slices = match self.slices_of(service) {
            SlicesOf::Disabled => return pool.held(Reason::ServicesDisabled, DISABLED),
            SlicesOf::Unknown => return pool.held(Reason::EndpointsUnknown, UNKNOWN),
            SlicesOf::Known(slices) => slices,
        };
        let count: usize = slices.iter().flat_map(|slice| &slice.content).map(|content| content.endpoints.len()).sum();
        let pool_slices = match PoolSlices::new(&slices, pool) {
            Ok(pool_slices) => pool_slices,
            Err(clause) => {
                return Membership { endpoints: count as u64, ..pool.held(Reason::ServicePortNotFound, &clause) };
            }
        };
        let mut problems = Vec::new();
        if slices.is_empty() {
            problems.push(pool.problem(Reason::ServiceNotFound, MISSING));
        }
        if let Some(slice) = pool_slices.unreadable {
            let clause =
                format!("whose EndpointSlice {slice} cannot be read; until then none of its endpoints leaves VPP");
            problems.push(pool.problem(Reason::EndpointSliceUnreadable, &clause));
        }
        let incomplete = pool_slices.unreadable.is_some();
        let source = MemberSource::new(pool, &pool_slices);
        if last.source.as_ref() != Some(&source) {
            let derived = self.derive(&pool_slices, pool);
            let member = |(backend, weight): &(DerivedBackend, _)| PoolMember {
                backend: backend.name.name().clone(),
                weight: *weight,
            };
            let members: Arc<[PoolMember]> = derived.iter().map(member).collect();
            if last.members != members {
                last.members = members;
            }
            last.source = Some(source);
            backends.extend(derived.into_iter().map(|(backend, _)| backend));
        }
        Membership { members: Arc::clone(&last.members), incomplete, held: None, problems, endpoints: count as u64 }
    }

    /// The derived Backends of a pool, by name.
    fn derive(&self, slices: &PoolSlices<'_>, pool: PoolUse<'_>) -> Vec<DerivedMember> {
        let endpoints = Endpoints::new(slices);
        let mut derived = match &pool.service.targets {
            Targets::Endpoints { check } => self.endpoint_members(&endpoints, slices, pool, check.as_ref()),
            Targets::LocalNodes => self.local_nodes(&endpoints, pool),
            Targets::AllNodes => self.all_nodes(&endpoints, pool),
        };
        derived.sort_by(|(this, _), (that, _)| this.name.cmp(&that.name));
        derived
    }

    /// The Nodes with an endpoint, each with the weight of its ready endpoints.
    fn local_nodes(&self, endpoints: &Endpoints<'_>, pool: PoolUse<'_>) -> Vec<DerivedMember> {
        let mut states: BTreeMap<&str, (EndpointState, u64)> = BTreeMap::new();
        for Endpoint { node, state, .. } in endpoints.by_address.values() {
            let Some(node) = *node else { continue };
            let (best, ready) = states.entry(node).or_insert((*state, 0));
            *best = (*best).max(*state);
            *ready += u64::from(*state == EndpointState::Ready);
        }
        let family = Family::from_address(pool.vip);
        let mut servers = Vec::with_capacity(states.len());
        servers.extend(states.into_iter().filter_map(|(node, state)| Some((self.nodes.server(node, family)?, state))));
        let any_ready = servers.iter().any(|(_, (best, _))| *best == EndpointState::Ready);
        let each = u64::from(pool.service.weight.get());
        let members = servers.into_iter().filter_map(|(server, (best, ready))| {
            let if_ready = Weight::clamped(u8::try_from(each * ready).unwrap_or(u8::MAX));
            Some(server.member(endpoints.weight(best, any_ready, if_ready)?))
        });
        members.collect()
    }

    /// Every Node, with equal weights.
    fn all_nodes(&self, endpoints: &Endpoints<'_>, pool: PoolUse<'_>) -> Vec<DerivedMember> {
        let any_ready = endpoints.any_ready();
        let state = if any_ready { EndpointState::Ready } else { EndpointState::NotReady };
        let weight = endpoints.weight(state, any_ready, pool.service.weight).flatten();
        let family = Family::from_address(pool.vip);
        let members = self.nodes.eligible_names().into_iter().filter_map(|node| self.nodes.server(node, family));
        members.map(|server| server.member(weight)).collect()
    }

    /// The endpoints themselves. An endpoint that is ready for no port of the Service, or whose Node is drained, is paused:
    /// its flows stay, and it is not probed.
    fn endpoint_members(
        &self,
        endpoints: &Endpoints<'_>,
        slices: &PoolSlices<'_>,
        pool: PoolUse<'_>,
        check: Option<&Name>,
    ) -> Vec<DerivedMember> {
        let (any_ready, ready_for_any_port) = (endpoints.any_ready(), slices.ready_for_any_port());
        let members = endpoints.by_address.iter().filter_map(|(address, endpoint)| {
            let is_ready = ready_for_any_port.contains(address) || endpoints.incomplete;
            let not_ready =
                (!is_ready).then(|| Arc::new(Pause { cause: NOT_READY.into(), drain: DrainConf::default() }));
            let backend = DerivedBackend {
                name: DerivedName::endpoint(&pool.service.service, *address, check),
                address: *address,
                check: check.cloned(),
                pause: not_ready.or_else(|| self.nodes.pause(endpoint.node?)),
            };
            Some((backend, endpoints.weight(endpoint.state, any_ready, pool.service.weight)?))
        });
        members.collect()
    }
}

impl NodeServer {
    fn member(self, weight: Option<Weight>) -> DerivedMember {
        let Self { name, address, pause } = self;
        (DerivedBackend { name, address, check: None, pause }, weight)
    }
}

impl Endpoints<'_> {
    /// The weight of a server with endpoints of at best `state`; the outer `None` if the server is out. If no endpoint of the
    /// pool is ready, every server stays with weight 0: a Service that is not ready is not a removal.
    fn weight(&self, state: EndpointState, any_ready: bool, if_ready: Weight) -> Option<Option<Weight>> {
        match state {
            EndpointState::Ready => Some(Some(if_ready)),
            _ if self.incomplete => Some(None),
            EndpointState::Draining => Some(Some(Weight::ZERO)),
            EndpointState::NotReady => (!any_ready).then_some(Some(Weight::ZERO)),
        }
    }
}

const NOT_READY: &str = "the endpoint terminates or is not ready";
const DISABLED: &str = "but this program runs without --services (the chart's value services.enabled), so it reads no \
                        EndpointSlices; until then VPP is left as it is";
const UNKNOWN: &str = "whose EndpointSlices have not been read yet, or cannot be listed: the log then has the reason; until \
                       then VPP is left as it is";
const MISSING: &str =
    "which has no EndpointSlice: create the Service in the namespace of the Frontend, or correct the name";

impl PoolUse<'_> {
    fn held(self, reason: Reason, clause: &str) -> Membership {
        Membership { held: Some(self.problem(reason, clause)), incomplete: true, ..Membership::default() }
    }

    /// A problem of the pool. `clause` follows the name of the Service.
    pub fn problem(self, reason: Reason, clause: &str) -> Problem {
        let (field, service) = (format!("spec.pools[{}].service", self.pool), self.service.service.name());
        let message = format!("Frontend {}: {field} refers to Service {service:?}, {clause}", self.frontend);
        Problem::new(reason, field, message)
    }

    /// The port of the pool, for messages.
    fn describe_port(self) -> String {
        match &self.service.port {
            PortSelector::Only => "a port with the protocol of the Frontend".to_owned(),
            PortSelector::Name(name) => format!("the port {name:?}"),
            PortSelector::Number(number) => format!("the target port {number}"),
        }
    }
}

/// A list of names of ports for messages.
fn list(names: &BTreeSet<&str>) -> String {
    let names: Vec<String> =
        names.iter().map(|name| if name.is_empty() { "(no name)".into() } else { (*name).into() }).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
