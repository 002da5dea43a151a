//! The Frontend that VPP follows while a change is held.

use std::{net::IpAddr, sync::Arc};

use super::Situation;
use maglev_model::{
    Name,
    actual::ActualVip,
    config::{Config, Frontend, Member, MemberTarget, Pool},
    vip::{Encap, TableLength, Weight},
};

/// The Frontend that VPP follows as far as it can be read from VPP, for an agent that has just started: the servers that
/// VPP has, with its weights where they are above 0.
pub fn from_vpp(wanted: &Frontend, vip: &ActualVip, situation: Situation<'_>) -> Frontend {
    let weightless = situation.actual.weightless;
    let member = |member: &Member| {
        let address = member.target.address();
        // Without weights, an absent server has weight 0; without an address, a server cannot be found.
        let Some(address) = address.filter(|_| !weightless) else { return Some(member.clone()) };
        let in_vpp = vip.ases.get(&address)?;
        let weight = Weight::clamped(in_vpp.weight);
        // Weight 0 follows health, and a lower weight can be a step of a ramp.
        let is_step = wanted.ramp_up.is_some() && weight < member.weight;
        let weight = if weight == Weight::ZERO || is_step { member.weight } else { weight };
        Some(Member { weight, ..member.clone() })
    };
    let pool = |pool: &Pool| Pool { members: pool.members.iter().filter_map(member).collect(), ..pool.clone() };
    let mut pools: Vec<Pool> = wanted.pools.iter().map(pool).collect();
    let is_member = |address: &IpAddr| {
        wanted.pools.iter().flat_map(|pool| &pool.members).any(|m| m.target.address() == Some(*address))
    };
    let others = vip.ases.iter().filter(|(address, _)| !is_member(address));
    let other = |(address, server): (&IpAddr, &maglev_model::actual::ActualAs)| {
        other_member(*address, Weight::clamped(server.weight), situation.config)
    };
    if let Some(first) = pools.first_mut() {
        first.members.extend(others.map(other));
    }
    Frontend {
        pools,
        encap: vip.encap.and_then(|encap| Encap::try_from(encap).ok()).or(wanted.encap),
        sticky: vip.sticky.unwrap_or(wanted.sticky),
        table_length: vip
            .table_length
            .and_then(|length| TableLength::new(length.into()))
            .unwrap_or(wanted.table_length),
        ..wanted.clone()
    }
}

/// A server that no pool has: the Backend with its address, or else one that keeps its weight.
fn other_member(address: IpAddr, weight: Weight, config: Option<&Config>) -> Member {
    let backends = config.into_iter().flat_map(|config| config.backends.values());
    match { backends }.find(|backend| backend.address == address) {
        Some(backend) => {
            Member { backend: backend.name.clone(), weight, target: MemberTarget::Backend(Arc::clone(backend)) }
        }
        None => {
            let target = MemberTarget::Unreadable { address: Some(address) };
            Member { backend: Name::cluster("unknown"), weight, target }
        }
    }
}
