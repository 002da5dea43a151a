//! The Frontend that VPP follows while a change is held.

use std::{net::IpAddr, sync::Arc};

use super::Situation;
use maglev_model::{
    Name,
    actual::ActualVip,
    config::{Backend, Config, Frontend, Member, MemberTarget, Pool},
    vip::{Encap, TableLength, Weight},
};

/// `in_force` with everything of `wanted` that moves no bucket by configuration: its identity, the present Backends with
/// their admin states and health checks, the action on flows, and the path probe.
pub fn refreshed(in_force: &Frontend, wanted: &Frontend, config: Option<&Config>) -> Frontend {
    let present = |name: &Name| {
        let of_wanted = wanted.pools.iter().flat_map(|pool| &pool.members).find(|member| member.backend == *name);
        let stored = || Some(MemberTarget::Backend(Arc::clone(config?.backends.get(name)?)));
        of_wanted.map(|member| member.target.clone()).or_else(stored)
    };
    let member = |member: &Member| {
        let target = present(&member.backend).map_or_else(|| member.target.clone(), |now| target(&member.target, now));
        Member { target, ..member.clone() }
    };
    let pool = |pool: &Pool| Pool { members: pool.members.iter().map(member).collect(), ..pool.clone() };
    Frontend {
        pools: in_force.pools.iter().map(pool).collect(),
        encap: in_force.encap,
        sticky: in_force.sticky,
        table_length: in_force.table_length,
        ..wanted.clone()
    }
}

/// The target of a member in force: `present`, but with the address in force.
fn target(in_force: &MemberTarget, present: MemberTarget) -> MemberTarget {
    let same_address = present.address() == in_force.address();
    match (in_force, present) {
        (_, present) if same_address => present,
        (MemberTarget::Backend(in_force), MemberTarget::Backend(present)) => {
            let admin_state = present.admin_state;
            MemberTarget::Backend(Arc::new(Backend { admin_state, ..(**in_force).clone() }))
        }
        (_, MemberTarget::Unreadable { .. }) => MemberTarget::Unreadable { address: in_force.address() },
        (in_force, _) => in_force.clone(),
    }
}

/// True if both Frontends give the same new-flow table, whatever the health of their backends.
pub fn has_same_tables(one: &Frontend, other: &Frontend) -> bool {
    let tables = |frontend: &Frontend| (frontend.encap, frontend.sticky, frontend.table_length);
    tables(one) == tables(other) && one.pools == other.pools
}

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
