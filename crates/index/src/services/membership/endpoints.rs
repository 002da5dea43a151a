//! The endpoints of a Service that belong to one port and one address family, without duplicates.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    net::IpAddr,
};

use super::{PoolUse, PortSelector, list};
use crate::object::{AddressType, EndpointSliceObject, EndpointState, SliceContent, SlicePort};
use maglev_model::{Name, vip::Family};

/// The endpoints of a pool.
pub struct Endpoints<'a> {
    pub by_address: BTreeMap<IpAddr, Endpoint<'a>>,
    /// The addresses that a readable slice of the Service lists as ready, for whatever port.
    pub ready_for_any_port: HashSet<IpAddr>,
    /// The first slice of the Service that does not decode and may have endpoints of the pool.
    pub unreadable: Option<&'a Name>,
}

/// An endpoint. Several slices may have it while the EndpointSlice controller moves endpoints between slices.
#[derive(Clone, Copy)]
pub struct Endpoint<'a> {
    pub node: Option<&'a str>,
    pub state: EndpointState,
    /// The generation of the slice.
    generation: i64,
}

/// A readable slice of the wanted family.
struct Readable<'a> {
    slice: &'a EndpointSliceObject,
    content: &'a SliceContent,
}

impl<'a> Endpoints<'a> {
    /// The endpoints of a pool. Fails with a clause for messages if the slices have endpoints, and none of them, or none for
    /// certain, is for the port of the pool.
    pub fn new(slices: &[&'a EndpointSliceObject], pool: PoolUse<'_>) -> Result<Self, String> {
        let family = family(slices, Family::from_address(pool.vip));
        let may_have = |slice: &EndpointSliceObject| {
            slice.address_type.is_none_or(|address_type| address_type == AddressType::Ip(family))
        };
        let relevant = || slices.iter().copied().filter(|slice| may_have(slice));
        let readable: Vec<Readable<'a>> =
            relevant().filter_map(|slice| Some(Readable { slice, content: slice.content.as_ref().ok()? })).collect();
        let for_port = select(&readable, pool)?;
        let ready = readable.iter().flat_map(|slice| &slice.content.endpoints);
        let ready = ready.filter(|endpoint| endpoint.state == EndpointState::Ready).map(|endpoint| endpoint.address);
        let mut endpoints = Self {
            by_address: BTreeMap::new(),
            ready_for_any_port: ready.collect(),
            unreadable: relevant().find(|slice| slice.content.is_err()).map(|slice| &slice.name),
        };
        for Readable { slice, content } in for_port {
            for endpoint in &content.endpoints {
                let (node, state, generation) = (endpoint.node.as_deref(), endpoint.state, slice.generation);
                endpoints.add(endpoint.address, Endpoint { node, state, generation });
            }
        }
        Ok(endpoints)
    }

    /// Adds an endpoint. Of two with one address the one in the newer generation counts, else the one in the better state.
    fn add(&mut self, address: IpAddr, new: Endpoint<'a>) {
        let rank = |endpoint: &Endpoint<'a>| (endpoint.generation, endpoint.state);
        let is_better = |old: &Endpoint<'a>| rank(&new) > rank(old);
        if self.by_address.get(&address).is_none_or(is_better) {
            self.by_address.insert(address, new);
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
fn select<'r, 'a>(readable: &'r [Readable<'a>], pool: PoolUse<'_>) -> Result<Vec<&'r Readable<'a>>, String> {
    if pool.protocol.is_none() && pool.service.port == PortSelector::Only {
        return Ok(readable.iter().collect());
    }
    let ports = |slice: &&'r Readable<'a>| {
        let fits = |port: &&SlicePort| pool.protocol.is_none() || port.protocol == pool.protocol;
        slice.content.ports.iter().filter(fits)
    };
    let selects = |slice: &&'r Readable<'a>| ports(slice).any(|port| selects(&pool.service.port, port));
    // Slices of a Service without endpoints have no ports.
    let filled: Vec<&Readable<'a>> = readable.iter().filter(|slice| !slice.content.endpoints.is_empty()).collect();
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
