//! Disruption budget of a Frontend: the share of the new-flow table that a change of its configuration moves.

use super::{
    actual::ActualVip,
    config::{Backend, Frontend, Member, MemberTarget, Pool},
    health::HealthSnapshot,
    name::Name,
    table_change::{TableChange, TableSpec},
    weights::{DesiredAs, effective_weights},
};
use std::{net::IpAddr, sync::Arc};

/// The effect of a change of the configuration on the new-flow table of a VIP, with the present health.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConfigChange {
    /// The share of the buckets that moves, in percent.
    pub moved_percent: f64,
    /// True if the VIP has a backend that takes traffic only with the new configuration.
    pub is_needed: bool,
}

/// The state that the new-flow table of a VIP follows from, besides its Frontend.
#[derive(Clone, Copy, Debug)]
pub struct TableInputs<'a> {
    /// The health of the backends.
    pub health: &'a HealthSnapshot,
    /// The VIP in VPP.
    pub vip: &'a ActualVip,
    /// True for a VPP without weights.
    pub weightless: bool,
}

impl ConfigChange {
    /// The change from `current` to `wanted`.
    pub fn new(current: &Frontend, wanted: &Frontend, inputs: TableInputs<'_>) -> Self {
        let (before, after) = (inputs.table(current), inputs.table(wanted));
        let serves = |table: &TableSpec| table.servers.iter().any(|(_, weight)| *weight > 0);
        let is_recreate = current.sticky != wanted.sticky
            || current.table_length != wanted.table_length
            || current.encap.zip(wanted.encap).is_some_and(|(current, wanted)| current != wanted);
        let moved_percent = match is_recreate {
            true => 100.0,
            false => TableChange::between(Some(&before), Some(&after)).moved_percent(),
        };
        Self { moved_percent, is_needed: !serves(&before) && serves(&after) }
    }
}

impl TableInputs<'_> {
    /// The new-flow table that follows from `frontend`.
    fn table(&self, frontend: &Frontend) -> TableSpec {
        let in_vpp =
            |address: IpAddr| self.vip.ases.get(&address).map(|server| server.weight).or(self.weightless.then_some(0));
        let weight = |server: &DesiredAs, address| {
            let weight = if self.weightless { server.weight.without_weights(true) } else { server.weight };
            weight.effective(in_vpp(address))
        };
        let effective = effective_weights(frontend, self.health, in_vpp);
        let servers = effective.ases.iter().map(|(address, server)| (*address, weight(server, *address))).collect();
        TableSpec { length: frontend.table_length.get().into(), servers }
    }
}

/// `in_force` with everything of `wanted` that moves no bucket by configuration: its identity, the present Backends with
/// their admin states and health checks, the action on flows, and the path probe. `stored` returns a present Backend that
/// `wanted` does not name.
pub fn refreshed(in_force: &Frontend, wanted: &Frontend, stored: impl Fn(&Name) -> Option<Arc<Backend>>) -> Frontend {
    let present = |name: &Name| {
        let of_wanted = wanted.pools.iter().flat_map(|pool| &pool.members).find(|member| member.backend == *name);
        of_wanted.map(|member| member.target.clone()).or_else(|| stored(name).map(MemberTarget::Backend))
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
