//! Removals that wait: the mass removal guard applied to a plan, and the weights of the servers that it holds.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::AgentState;
use crate::{
    disruption_guard::NewHold,
    held_servers::{HeldBackend, HeldVip},
    inputs::{Inputs, in_vpp},
    mass_removal_guard::{EndedHold, HeldRemovals, Totals},
    owned_vips::OwnedVips,
};
use maglev_model::{
    Name,
    actual::{Actual, VppVip},
    change::SyncHold,
    config::Standing,
    desired::{Desired, DesiredVip},
    event::Event,
    health::HealthSnapshot,
    plan::{AddressPlan, DueFlushes, Removal},
    vip::VipKey,
};

/// VIPs with removals that a plan must not execute yet.
#[derive(Debug)]
pub struct Deferred {
    /// VIPs with application servers whose removal is held.
    pub held_servers: BTreeSet<VipKey>,
    /// VIPs that VPP would not add or recreate beside another VIP of their address, because the removal of that VIP is held.
    pub blocked: BTreeSet<VipKey>,
    /// VIPs that VPP would not add or recreate beside a VIP that is not to be removed.
    pub excluded: BTreeSet<VipKey>,
}

impl AgentState {
    /// Takes removals that must wait out of the plan, and adds the weights of servers that stay. Also takes out what VPP would
    /// refuse beside VIPs that stay.
    pub fn defer_removals(
        &mut self,
        plan: &mut AddressPlan,
        address: IpAddr,
        desired: &Desired,
        actual: &Actual,
        due: &DueFlushes,
        now: Instant,
    ) -> Deferred {
        let hold_for = self.sync_conf().mass_removal_hold;
        let mut requested = plan.removals();
        requested.retain(|removal| removal.server.is_some() || self.is_owned(&removal.vip));
        let (owned_vips, inputs) = (&self.owned_vips, &self.inputs);
        let totals = || totals(actual, |vip| is_owned(owned_vips, inputs, vip));
        self.mass_removals.forget_restored(|removal| removal.vip.address == address && is_desired(removal, desired));
        let removals = self.mass_removals.check(now, address, &requested, hold_for, totals);
        plan.withhold(&removals);
        let is_held = |vip: &VppVip| removals.contains(&Removal { vip: *vip, server: None });
        let (held_back, excluded): (BTreeMap<_, _>, BTreeMap<_, _>) =
            plan.keep_blocked(desired, actual, due).into_iter().partition(|(_, other)| is_held(other));
        let mut held: BTreeMap<VipKey, BTreeSet<IpAddr>> = BTreeMap::new();
        for removal in removals {
            if let (Some(key), Some(server)) = (removal.vip.key(), removal.server) {
                held.entry(key).or_default().insert(server);
            }
        }
        self.held_servers.retain(address, |key| held.contains_key(key));
        for (key, servers) in &held {
            self.plan_held_servers(plan, *key, servers, desired, actual);
        }
        Deferred {
            held_servers: held.into_keys().collect(),
            blocked: held_back.into_keys().collect(),
            excluded: excluded.into_keys().collect(),
        }
    }

    fn plan_held_servers(
        &mut self,
        plan: &mut AddressPlan,
        key: VipKey,
        servers: &BTreeSet<IpAddr>,
        desired: &Desired,
        actual: &Actual,
    ) {
        let backends = self.held_backends(key, servers);
        let served = |standing: &Standing| !matches!(standing, Standing::Withdrawn(_));
        let frontend = self.inputs.claimants(&key).find(|frontend| served(&frontend.standing)).cloned();
        if let (Some(frontend), Some(entry), Some(vip)) = (frontend, desired.get(&key), in_vpp(Some(actual), key)) {
            let (on_backend_down, weightless) = (frontend.on_backend_down, actual.weightless);
            let vip = HeldVip { key, backends, on_backend_down, desired: &entry.vip, actual: vip, weightless };
            self.held_servers.plan(plan, vip);
        }
    }

    /// The Backends of application servers that no Frontend references, by address.
    fn held_backends(&self, key: VipKey, servers: &BTreeSet<IpAddr>) -> BTreeMap<IpAddr, HeldBackend> {
        let last_name = |address: &IpAddr| self.backend_names.get(key, *address);
        let without_backend = |address: &IpAddr| {
            let name = last_name(address).cloned().unwrap_or_else(|| Name::cluster("unknown"));
            (*address, HeldBackend { name, condition: None })
        };
        let mut held: BTreeMap<IpAddr, HeldBackend> = servers.iter().map(without_backend).collect();
        for backend in self.inputs.config().into_iter().flat_map(|config| config.backends.values()) {
            let Some(server) = held.get_mut(&backend.address) else { continue };
            if server.condition.is_none() || last_name(&backend.address) == Some(&backend.name) {
                let condition = Some(self.inputs.condition(backend));
                *server = HeldBackend { name: backend.name.clone(), condition };
            }
        }
        held
    }

    /// Addresses with held servers, which a new configuration may concern.
    pub fn held_addresses(&self) -> BTreeSet<IpAddr> {
        self.held_servers.addresses(|_| true).collect()
    }

    /// Addresses with held servers whose Backends' health differs from `before`.
    pub fn held_addresses_changed(&self, before: &HealthSnapshot) -> BTreeSet<IpAddr> {
        let now = self.inputs.health();
        self.held_servers.addresses(|name| before.backends.get(name) != now.backends.get(name)).collect()
    }

    fn is_owned(&self, vip: &VppVip) -> bool {
        is_owned(&self.owned_vips, &self.inputs, vip)
    }

    /// Releases the removed VIPs on the `verified` addresses that `actual` does not have.
    pub fn release_removed_vips(&mut self, verified: &BTreeSet<IpAddr>, actual: &Actual) {
        let removed: Vec<VipKey> = self.removed_vips.extract_if(.., |key| verified.contains(&key.address)).collect();
        for key in removed {
            if !self.claims(&key) && in_vpp(Some(actual), key).is_none() {
                self.owned_vips.release(&key);
            }
        }
    }

    /// Addresses with held changes that have become due.
    pub fn holds_due(&mut self, now: Instant) -> BTreeSet<IpAddr> {
        let hold_for = self.sync_conf().mass_removal_hold;
        let mut due = self.mass_removals.tick(now, hold_for);
        due.extend(self.disruption.tick(now));
        due
    }

    fn time_of_day(&self, now: Instant, at: Instant) -> Timestamp {
        let left = SignedDuration::try_from(at.saturating_duration_since(now)).unwrap_or(SignedDuration::MAX);
        (self.clock)().checked_add(left).unwrap_or(Timestamp::MAX)
    }

    /// Publishes new or grown holds, and holds that have ended.
    pub fn publish_holds(&mut self, now: Instant) {
        for HeldRemovals { id, removals, until } in self.mass_removals.take_new_holds() {
            let until = self.time_of_day(now, until);
            let removals = u32::try_from(removals).unwrap_or(u32::MAX);
            let hold = SyncHold { id: id.as_str().into(), removals, change: None, until };
            self.events.emit(Event::SyncHeld { hold });
        }
        for NewHold { id, change, until } in self.disruption.take_new_holds() {
            let until = self.time_of_day(now, until);
            let hold = SyncHold { id: id.as_str().into(), removals: 0, change: Some(change), until };
            self.events.emit(Event::SyncHeld { hold });
        }
        let ended = self.mass_removals.take_ended_holds().into_iter().chain(self.disruption.take_ended_holds());
        for EndedHold { id, by } in ended {
            self.events.emit(Event::SyncReleased { hold: id.as_str().into(), by });
        }
    }
}

/// True if a Frontend desires what `removal` removes.
fn is_desired(removal: &Removal, desired: &Desired) -> bool {
    let entry = removal.vip.key().and_then(|key| desired.get(&key));
    entry.is_some_and(|entry| {
        removal.server.is_none_or(|server| match &entry.vip {
            DesiredVip::Exactly(spec) => spec.ases.contains_key(&server),
            DesiredVip::Hold { weights, .. } => weights.contains_key(&server),
        })
    })
}

/// True if `vip` is recorded as owned or claimed by a Frontend.
fn is_owned(owned_vips: &OwnedVips, inputs: &Inputs, vip: &VppVip) -> bool {
    vip.key().is_some_and(|key| owned_vips.vips().contains_key(&key) || inputs.claimants(&key).next().is_some())
}

/// Counts the owned VIPs in VPP, and their application servers.
fn totals(actual: &Actual, is_owned: impl Fn(&VppVip) -> bool) -> Totals {
    let owned = actual.vips.iter().filter(|(vip, _)| is_owned(vip));
    owned.fold(Totals { vips: 0, servers: 0 }, |totals, (_, vip)| Totals {
        vips: totals.vips + 1,
        servers: totals.servers + vip.ases.len(),
    })
}
