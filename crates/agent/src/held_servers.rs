//! Application servers whose removal is held. No Frontend references them any more, so they only fill the gap until the
//! VIP's present Frontend serves: each follows its Backend, and rests at weight 0 while the Frontend serves.

use std::{collections::BTreeMap, net::IpAddr};

use maglev_model::{
    Name,
    actual::ActualVip,
    config::OnBackendDown,
    desired::DesiredVip,
    flushes::Flushes,
    plan::{AddressPlan, Step, keys_on_address},
    vip::{VipKey, Weight},
    weights::{BackendCondition, DesiredAs, DesiredWeight},
};

/// The held application servers by VIP.
#[derive(Debug, Default)]
pub struct HeldServers {
    vips: BTreeMap<VipKey, BTreeMap<IpAddr, HeldServer>>,
    flushes: Flushes,
}

/// An application server whose removal is held.
#[derive(Debug)]
struct HeldServer {
    /// The weight at the start of the hold.
    weight: Weight,
    backend: Name,
}

/// The present Backend of a held application server.
#[derive(Clone, Debug)]
pub struct HeldBackend {
    pub name: Name,
    /// `None` if the Backend was deleted or has another address.
    pub condition: Option<BackendCondition>,
}

/// A VIP with held application servers.
pub struct HeldVip<'a> {
    pub key: VipKey,
    pub backends: BTreeMap<IpAddr, HeldBackend>,
    pub on_backend_down: OnBackendDown,
    pub desired: &'a DesiredVip,
    pub actual: &'a ActualVip,
    /// True if VPP has no weights.
    pub weightless: bool,
}

impl HeldServers {
    /// Adds the weights of the VIP's held servers to `plan`.
    pub fn plan(&mut self, plan: &mut AddressPlan, vip: HeldVip<'_>) {
        let HeldVip { key, backends, on_backend_down, desired, actual, weightless } = vip;
        let serves = serves(desired, actual);
        let servers = self.vips.entry(key).or_default();
        servers.retain(|address, _| backends.contains_key(address));
        let mut ases = BTreeMap::new();
        for (address, HeldBackend { name, condition }) in backends {
            let Some(in_vpp) = actual.ases.get(&address) else { continue };
            let weight = Weight::clamped(in_vpp.weight);
            let server = servers.entry(address).or_insert(HeldServer { weight, backend: name.clone() });
            server.backend.clone_from(&name);
            let weight = held_weight(condition, serves, server.weight);
            let weight = if weightless { weight.without_weights(true) } else { weight };
            let condition = condition.unwrap_or(BackendCondition::Unreadable);
            ases.insert(address, DesiredAs { backend: name, condition, weight });
        }
        let in_vpp = |address| actual.ases.get(&address).map(|server| server.weight);
        self.flushes.observe(key, &ases, on_backend_down, in_vpp);
        plan.set_held_weights(key, &ases, actual, &self.flushes.due(key.address));
    }

    /// Drops the VIPs of `address` that do not match `is_held`.
    pub fn retain(&mut self, address: IpAddr, is_held: impl Fn(&VipKey) -> bool) {
        let ended: Vec<VipKey> =
            self.vips.range(keys_on_address(address)).map(|(key, _)| *key).filter(|key| !is_held(key)).collect();
        for key in ended {
            self.vips.remove(&key);
            self.flushes.forget(key);
        }
    }

    /// The addresses of VIPs with a held server whose Backend matches `is_changed`.
    pub fn addresses(&self, is_changed: impl Fn(&Name) -> bool) -> impl Iterator<Item = IpAddr> {
        let has_changed =
            move |servers: &BTreeMap<IpAddr, HeldServer>| servers.values().any(|server| is_changed(&server.backend));
        self.vips.iter().filter(move |(_, servers)| has_changed(servers)).map(|(key, _)| key.address)
    }

    /// Records a step that VPP replied to with 0.
    pub fn record_step(&mut self, step: &Step) {
        self.flushes.record_step(step);
    }

    /// Drops all pending flushes.
    pub fn clear_flushes(&mut self) {
        self.flushes.clear();
    }
}

/// True if VPP sends new flows to a server of the VIP's present Frontend that is up. A server that is not yet in VPP
/// does not count: the table must not become empty.
fn serves(desired: &DesiredVip, actual: &ActualVip) -> bool {
    let DesiredVip::Exactly(spec) = desired else { return false };
    spec.ases.iter().any(|(address, server)| {
        let in_vpp = actual.ases.get(address).map(|server| server.weight);
        server.condition == BackendCondition::Up && in_vpp > Some(0) && server.weight.effective(in_vpp) > 0
    })
}

/// The weight of a held server. `serves` is true if the VIP's present Frontend serves, `before` is the weight at the
/// start of the hold. Nothing but known health takes the weight from a server without which the VIP may not serve.
fn held_weight(condition: Option<BackendCondition>, serves: bool, before: Weight) -> DesiredWeight {
    match condition {
        _ if serves => DesiredWeight::Set(Weight::ZERO),
        Some(BackendCondition::Up) | None => DesiredWeight::Set(before),
        Some(
            BackendCondition::Down
            | BackendCondition::PathDown
            | BackendCondition::Unknown
            | BackendCondition::Paused
            | BackendCondition::Disabled,
        ) => DesiredWeight::Set(Weight::ZERO),
        Some(
            BackendCondition::Suspect
            | BackendCondition::PathSuspect
            | BackendCondition::NeverKnown
            | BackendCondition::PathUnknown
            | BackendCondition::CheckMissing
            | BackendCondition::Unreadable,
        ) => DesiredWeight::Keep { if_absent: None },
    }
}
