//! Assembles the resolved Frontend from the parts of its entry.

use std::net::IpAddr;

use super::{Body, Entry};
use crate::{claims::Outcome, node_addresses::NodeAddresses};
use maglev_model::{
    Name,
    config::{Frontend, OnBackendDown, Standing},
    problem::{Problem, Reason},
    vip::{TableLength, VipKey},
};

/// The problem of the object itself and of its namespace, independent of its Backends and of other namespaces.
pub fn rejection(entry: &Entry, nodes: &NodeAddresses) -> Option<Problem> {
    let own = match &entry.read.body {
        Body::Readable { rejection: Some(problem), .. } | Body::Unreadable { problem, .. } => Some(problem.clone()),
        Body::Readable { .. } => {
            let address = entry.read.address?;
            nodes.node(address).map(|node| used_by_node(&entry.meta.name, address, node))
        }
    };
    own.or_else(|| entry.entitlement.refusal().cloned())
}

fn used_by_node(name: &Name, address: IpAddr, node: &str) -> Problem {
    let message = format!(
        "Frontend {name}: spec.address {address} is the InternalIP of Node {node:?}, whose own traffic VPP would take; \
         choose an address that no node has; until then VPP is left as it is"
    );
    Problem::new(Reason::AddressUsedByNode, "spec.address", message)
}

/// A Frontend that lost its VIP to another one is withdrawn, since two Frontends cannot share a VIP. One that lost only its
/// address to another namespace is held.
pub fn standing(entry: &Entry, rejection: Option<&Problem>) -> Standing {
    let foreign = match &entry.outcome {
        Outcome::Lost(problem) => return Standing::Withdrawn(problem.clone()),
        Outcome::Foreign(problem) => Some(problem),
        Outcome::Granted => None,
    };
    if let Some(refusal) = entry.entitlement.withdrawal() {
        return Standing::Withdrawn(refusal.clone());
    }
    let resolution = || entry.resolution.as_ref()?.held.as_ref();
    match rejection.or(foreign).or_else(resolution).or(entry.full.as_ref()) {
        Some(problem) => Standing::Held(problem.clone()),
        None => Standing::Serving,
    }
}

/// The resolved Frontend. `before` is the one of the last assembly, which has the pools if they were not resolved again.
pub fn frontend(entry: &mut Entry, vip: VipKey, standing: Standing, before: Option<&Frontend>) -> Frontend {
    let pools = match &mut entry.resolution {
        Some(resolution) => resolution.pools.take().or_else(|| Some(before?.pools.clone())).unwrap_or_default(),
        None => Vec::new(),
    };
    let settings = entry.read.settings();
    let resolution = entry.resolution.as_ref();
    Frontend {
        name: entry.meta.name.clone(),
        revision: entry.meta.revision.clone(),
        vip,
        standing,
        pools,
        encap: resolution.and_then(|resolution| resolution.encap),
        sticky: settings.is_some_and(|settings| settings.sticky),
        on_backend_down: settings.map_or_else(OnBackendDown::default, |settings| settings.on_backend_down),
        table_length: settings.map_or(TableLength::DEFAULT, |settings| settings.table_length),
        path_probe: settings.and_then(|settings| settings.path_probe),
        disruption: settings.and_then(|settings| settings.disruption),
        ramp_up: settings.and_then(|settings| settings.ramp_up),
    }
}
