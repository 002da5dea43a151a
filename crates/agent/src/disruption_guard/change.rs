//! The effect of a change of the configuration on the new-flow table of a VIP, with the present health.

use super::Situation;
use maglev_model::{
    actual::ActualVip,
    config::Frontend,
    table_change::{TableChange, TableSpec},
    weights::effective_weights,
};

/// The effect of a change of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct ConfigChange {
    /// The share of the buckets that moves, in percent.
    pub moved_percent: f64,
    /// True if the VIP has a backend that takes traffic only with the new configuration.
    pub is_needed: bool,
}

impl ConfigChange {
    /// The change from `current` to `wanted` of a VIP that VPP has as `vip`.
    pub fn new(current: &Frontend, wanted: &Frontend, vip: &ActualVip, situation: Situation<'_>) -> Self {
        let (before, after) = (table(current, vip, situation), table(wanted, vip, situation));
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

/// The new-flow table that follows from `frontend`.
fn table(frontend: &Frontend, vip: &ActualVip, situation: Situation<'_>) -> TableSpec {
    let weightless = situation.actual.weightless;
    let in_vpp = |address| vip.ases.get(&address).map(|server| server.weight).or(weightless.then_some(0));
    let effective = effective_weights(frontend, situation.health, in_vpp);
    let weight = |server: &maglev_model::weights::DesiredAs, address| {
        let weight = if weightless { server.weight.without_weights(true) } else { server.weight };
        weight.effective(in_vpp(address))
    };
    let servers = effective.ases.iter().map(|(address, server)| (*address, weight(server, *address))).collect();
    TableSpec { length: frontend.table_length.get().into(), servers }
}
