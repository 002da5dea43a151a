//! The endpoints of a Service that belong to one port and one address family, without duplicates.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    net::IpAddr,
};

use super::{PoolUse, PortSelector, list};
use crate::object::{AddressType, EndpointSliceObject, EndpointState, SliceContent, SlicePort};
use maglev_model::{Name, vip::Family};

/// The slices of a Service that concern a pool.
pub struct PoolSlices<'a> {
    /// The readable slices of the family.
    readable: Vec<Readable<'a>>,
    /// Those with the port of the pool.
    for_port: Vec<Readable<'a>>,
    /// The first slice of the Service that does not decode and may have endpoints of the pool.
    pub unreadable: Option<&'a Name>,
}

/// A readable slice of the wanted family.
#[derive(Clone, Copy)]
struct Readable<'a> {
    slice: &'a EndpointSliceObject,
    content: &'a SliceContent,
}

/// The endpoints of a pool.
pub struct Endpoints<'a> {
    pub by_address: BTreeMap<IpAddr, Endpoint<'a>>,
    /// True if there may be others, in a slice that does not decode.
    pub incomplete: bool,
}

/// An endpoint. Several slices may have it while the EndpointSlice controller moves endpoints between slices.
#[derive(Clone, Copy)]
pub struct Endpoint<'a> {
    pub node: Option<&'a str>,
    pub state: EndpointState,
    /// The generation of the slice.
    generation: i64,
}

impl<'a> PoolSlices<'a> {
    /// The slices of a pool. Fails with a clause for messages if they have endpoints, and none of them, or none for certain, is
    /// for the port of the pool.
    pub fn new(slices: &[&'a EndpointSliceObject], pool: PoolUse<'_>) -> Result<Self, String> {
        let family = family(slices, Family::from_address(pool.vip));
        let may_have = |slice: &EndpointSliceObject| {
            slice.address_type.is_none_or(|address_type| address_type == AddressType::Ip(family))
        };
        let relevant = || slices.iter().copied().filter(|slice| may_have(slice));
        let readable: Vec<Readable<'a>> =
            relevant().filter_map(|slice| Some(Readable { slice, content: slice.content.as_ref().ok()? })).collect();
        let for_port = select(&readable, pool)?;
        let unreadable = relevant().find(|slice| slice.content.is_err()).map(|slice| &slice.name);
        Ok(Self { readable, for_port, unreadable })
    }

    /// The names of the slices with the port of the pool.
    pub fn names(&self) -> impl Iterator<Item = &'a Name> {
        self.for_port.iter().map(|Readable { slice, .. }| &slice.name)
    }

    /// The addresses that a readable slice of the Service lists as ready, for whatever port.
    pub fn ready_for_any_port(&self) -> HashSet<IpAddr> {
        let endpoints = self.readable.iter().flat_map(|slice| &slice.content.endpoints);
        let ready = endpoints.filter(|endpoint| endpoint.state == EndpointState::Ready);
        ready.map(|endpoint| endpoint.address).collect()
    }
}

impl<'a> Endpoints<'a> {
    /// The endpoints for the port of the pool.
    pub fn new(slices: &PoolSlices<'a>) -> Self {
        let mut endpoints = Self { by_address: BTreeMap::new(), incomplete: slices.unreadable.is_some() };
        for Readable { slice, content } in &slices.for_port {
            for endpoint in &content.endpoints {
                let (node, state, generation) = (endpoint.node.as_deref(), endpoint.state, slice.generation);
                endpoints.add(endpoint.address, Endpoint { node, state, generation });
            }
        }
        endpoints
    }

    /// Adds an endpoint. Of two with one address the one in the newer generation counts, else the one in the better state.
    fn add(&mut self, address: IpAddr, new: Endpoint<'a>) {
        let rank = |endpoint: &Endpoint<'a>| (endpoint.generation, endpoint.state);
        let endpoint = self.by_address.entry(address).or_insert(new);
        if rank(&new) > rank(endpoint) {
            *endpoint = new;
        }
    }

    pub fn any_ready(&self) -> bool {
        self.by_address.values().any(|endpoint| endpoint.state == EndpointState::Ready)
    }
}

/// The family of the pool: that of the VIP, unless the Service has slices of the other family only.
fn family(slices: &[&EndpointSliceObject], wanted: Family) -> Family {
    let has = |family| slices.iter().any(|slice| slice.address_type == Some(AddressType::Ip(family)));
    let other = match wanted {
        Family::V4 => Family::V6,
        Family::V6 => Family::V4,
    };
    if !has(wanted) && has(other) { other } else { wanted }
}

/// The slices with the port of the pool. A Frontend for all traffic needs no port.
fn select<'a>(readable: &[Readable<'a>], pool: PoolUse<'_>) -> Result<Vec<Readable<'a>>, String> {
    if pool.protocol.is_none() && pool.service.port == PortSelector::Only {
        return Ok(readable.to_vec());
    }
    let ports = |slice: &Readable<'a>| {
        let fits = |port: &&SlicePort| pool.protocol.is_none() || port.protocol == pool.protocol;
        slice.content.ports.iter().filter(fits)
    };
    let selects = |slice: &Readable<'a>| ports(slice).any(|port| selects(&pool.service.port, port));
    // Slices of a Service without endpoints have no ports.
    let is_filled = |slice: &Readable<'a>| !slice.content.endpoints.is_empty();
    let filled: Vec<Readable<'a>> = readable.iter().copied().filter(is_filled).collect();
    let names: BTreeSet<&str> = filled.iter().flat_map(ports).map(|port| &*port.name).collect();
    if pool.service.port == PortSelector::Only && names.len() > 1 {
        return Err(format!(
            "which has several ports ({}): set service.port to one of them; until then VPP is left as it is",
            list(&names)
        ));
    }
    if !filled.is_empty() && !filled.iter().any(selects) {
        return Err(format!(
            "whose EndpointSlices do not list {}: their ports are {}; until then VPP is left as it is",
            pool.describe_port(),
            list(&names)
        ));
    }
    Ok(filled.into_iter().filter(selects).collect())
}

fn selects(selector: &PortSelector, port: &SlicePort) -> bool {
    match selector {
        PortSelector::Only => true,
        PortSelector::Name(name) => port.name == *name,
        PortSelector::Number(number) => port.port == Some(*number),
    }
}
