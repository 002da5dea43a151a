//! Plans: the steps from the actual state of VPP to the desired state.
//!
//! A plan covers one address: VPP's rules about encaps and all-port VIPs apply per prefix, so obsolete VIPs are removed
//! before any VIP is added. A plan is a value: applying it to the actual state gives the desired state, and planning
//! again gives an empty plan.

mod apply;
mod flow_changes;
mod kept;
mod removals;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    mem::discriminant,
    net::IpAddr,
    ops::RangeInclusive,
};

pub use self::{
    flow_changes::{FlowChange, VipChange, flow_changes},
    removals::{MASS_REMOVAL_AT_LEAST, MASS_REMOVAL_PERIOD, Removal, is_mass_removal},
};
use super::{
    actual::{Actual, ActualAs, ActualEncap, ActualVip, VppVip},
    config::ForeignVips,
    desired::{Desired, DesiredVip, Mismatch, VipSpec},
    name::Name,
    vip::{Encap, TableLength, VipKey, Weight},
    weights::{DesiredAs, DesiredWeight},
};

/// One request to VPP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Adds a VIP.
    AddVip {
        /// The VIP.
        vip: VipKey,
        /// The encapsulation.
        encap: Encap,
        /// Session affinity by client address.
        sticky: bool,
        /// Number of buckets in the new-flow table.
        table_length: TableLength,
    },
    /// Removes a VIP that has no application servers any more.
    RemoveVip {
        /// The VIP; may be foreign.
        vip: VppVip,
        /// The encapsulation that VPP reported.
        encap: Option<ActualEncap>,
    },
    /// Adds an application server. If VPP still has it as removed, flows pinned to it earlier are flushed.
    AddAs {
        /// The VIP.
        vip: VipKey,
        /// The address of the application server.
        address: IpAddr,
        /// The Backend.
        backend: Name,
        /// The weight.
        weight: Weight,
    },
    /// Removes an application server.
    RemoveAs {
        /// The VIP; may be foreign.
        vip: VppVip,
        /// The address of the application server.
        address: IpAddr,
        /// The weight that VPP has.
        weight: u8,
        /// True to flush the flows pinned to the application server. Otherwise they stay until they end, which is the
        /// equivalent of weight 0 for a VPP without weights.
        flush: bool,
    },
    /// Sets the weight of an application server.
    SetWeight {
        /// The VIP.
        vip: VipKey,
        /// The address of the application server.
        address: IpAddr,
        /// The Backend.
        backend: Name,
        /// The weight that VPP has.
        from: u8,
        /// The new weight.
        to: Weight,
        /// True to flush the flows pinned to the application server.
        flush: bool,
    },
}

impl Step {
    /// The name of the step in events and errors.
    pub fn name(&self) -> &'static str {
        match self {
            Self::AddVip { .. } => "add-vip",
            Self::RemoveVip { .. } => "remove-vip",
            Self::AddAs { .. } => "add-as",
            Self::RemoveAs { .. } => "remove-as",
            Self::SetWeight { .. } => "set-weight",
        }
    }

    /// The application server that the step changes; `None` for a step that changes the VIP itself.
    pub fn server(&self) -> Option<IpAddr> {
        match self {
            Self::AddAs { address, .. } | Self::RemoveAs { address, .. } | Self::SetWeight { address, .. } => {
                Some(*address)
            }
            Self::AddVip { .. } | Self::RemoveVip { .. } => None,
        }
    }

    /// The VIP that the step changes.
    pub fn vip(&self) -> VppVip {
        match self {
            Self::AddVip { vip, .. } | Self::AddAs { vip, .. } | Self::SetWeight { vip, .. } => (*vip).into(),
            Self::RemoveVip { vip, .. } | Self::RemoveAs { vip, .. } => *vip,
        }
    }
}

/// Application servers whose pinned flows still have to be flushed. A flush leaves no trace in the state of VPP, so
/// pending flushes are an input of the plan.
pub type DueFlushes = BTreeSet<(VipKey, IpAddr)>;

/// The rule for VIPs in VPP that no Frontend claims. It does not apply to NAT VIPs, which are never removed.
#[derive(Clone, Copy, Debug)]
pub struct RemovalPolicy<'a> {
    /// VIPs that the agent added, with their Frontends.
    pub owned_vips: &'a BTreeMap<VipKey, Name>,
    /// The action on all other VIPs.
    pub foreign: ForeignVips,
    /// True while the claim of some Frontend is unreadable: no VIP is removed then, since it may be claimed.
    pub claims_unknown: bool,
}

impl RemovalPolicy<'_> {
    /// True if `vip`, which no Frontend claims, is to be removed.
    pub fn removes(&self, vip: &VppVip) -> bool {
        !self.claims_unknown && (self.foreign == ForeignVips::Remove || !self.is_foreign(vip))
    }

    /// True if the agent did not add `vip`.
    pub fn is_foreign(&self, vip: &VppVip) -> bool {
        vip.key().is_none_or(|key| !self.owned_vips.contains_key(&key))
    }
}

/// The steps for one address in three phases. The steps of a phase are sent at once; the next phase starts after VPP
/// has replied to all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressPlan {
    /// First phase: removals of VIPs, each preceded by the removals of its application servers.
    pub removes: Vec<Step>,
    /// Second phase: added VIPs.
    pub adds: Vec<Step>,
    /// Third phase: application servers and weights. Steps that add capacity precede steps that take capacity away, so
    /// that no new-flow table is empty in between.
    pub changes: Vec<Step>,
    /// VIPs that are both removed and added, with the reason.
    pub recreates: BTreeMap<VipKey, Mismatch>,
    /// Application servers that `changes` removes only because their weight is 0, for a VPP without weights. They are
    /// still desired.
    pub resting: BTreeSet<(VppVip, IpAddr)>,
}

impl AddressPlan {
    /// True if the plan has no steps.
    pub fn is_empty(&self) -> bool {
        self.removes.is_empty() && self.adds.is_empty() && self.changes.is_empty()
    }

    /// All steps in order.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.removes.iter().chain(&self.adds).chain(&self.changes)
    }

    /// The number of steps.
    pub fn len(&self) -> usize {
        self.removes.len() + self.adds.len() + self.changes.len()
    }
}

/// Plans one address. Other addresses in `desired` and `actual` are ignored.
///
/// NAT VIPs are not changed, whatever `desired` and `policy` say ([`ActualEncap::is_nat`]).
pub fn plan_address(
    address: IpAddr,
    desired: &Desired,
    actual: &Actual,
    due: &DueFlushes,
    policy: RemovalPolicy<'_>,
) -> AddressPlan {
    let mut plan = AddressPlan::default();
    for (vip, actual_vip) in actual.vips.range(vips_on_address(address)).filter(|(_, vip)| !vip.is_nat()) {
        match vip.key().and_then(|key| Some((key, &desired.get(&key)?.vip))) {
            Some((key, DesiredVip::Exactly(spec))) => match (spec.mismatch(actual_vip), spec.encap) {
                (Some(mismatch), Some(encap)) => plan.recreate(key, spec, encap, actual_vip, mismatch),
                (Some(mismatch), None) => {
                    if let Some(encap) = encap_without_backends(address, desired, actual_vip) {
                        plan.recreate(key, spec, encap, actual_vip, mismatch);
                    }
                }
                (None, _) => plan.change(key, spec, actual_vip, due),
            },
            Some((key, DesiredVip::Hold { weights, .. })) => plan.set_weights(key, weights, actual_vip, due),
            None if policy.removes(vip) => plan.remove(*vip, actual_vip),
            None => {}
        }
    }
    if actual.has_nat_vip(address) {
        return plan;
    }
    for (key, entry) in desired.range(keys_on_address(address)) {
        if let DesiredVip::Exactly(spec @ VipSpec { encap: Some(encap), .. }) = &entry.vip
            && !actual.vips.contains_key(&VppVip::from(*key))
        {
            plan.add(*key, spec, *encap);
        }
    }
    plan
}

/// All addresses with a VIP in `desired` or `actual`, in order.
pub fn addresses(desired: &Desired, actual: &Actual) -> BTreeSet<IpAddr> {
    desired.keys().map(|key| key.address).chain(actual.vips.keys().map(|vip| vip.address)).collect()
}

/// The range of all VIPs in VPP whose prefix has `address`.
pub fn vips_on_address(address: IpAddr) -> RangeInclusive<VppVip> {
    let least = VppVip { address, length: 0, protocol: 0, port: 0 };
    least..=VppVip { address, length: u8::MAX, protocol: u8::MAX, port: u16::MAX }
}

/// The range of all VIP keys on `address`.
pub fn keys_on_address(address: IpAddr) -> RangeInclusive<VipKey> {
    use super::vip::{Protocol, Service};
    let last = Service::Port { protocol: Protocol::Udp, port: std::num::NonZeroU16::MAX };
    VipKey { address, service: Service::AllPorts }..=VipKey { address, service: last }
}

/// The encap to recreate a VIP with none of whose backends resolves: that of VPP, unless VIPs of the address with
/// backends have another type. VPP allows one type per address, and would refuse one of them. `None` if VPP's encap does
/// not exist in Frontends: such a VIP is left as it is.
fn encap_without_backends(address: IpAddr, desired: &Desired, actual: &ActualVip) -> Option<Encap> {
    let with_backends = desired.range(keys_on_address(address)).find_map(|(_, entry)| match &entry.vip {
        DesiredVip::Exactly(spec) => spec.encap,
        DesiredVip::Hold { .. } => None,
    });
    let in_vpp = actual.encap.and_then(|encap| Encap::try_from(encap).ok());
    match (with_backends, in_vpp) {
        (Some(other), Some(encap)) if discriminant(&encap) == discriminant(&other) => Some(encap),
        (with_backends, in_vpp) => with_backends.or(in_vpp),
    }
}

impl AddressPlan {
    fn remove(&mut self, vip: VppVip, actual: &ActualVip) {
        self.removes.extend(actual.ases.iter().map(|(address, server)| remove_as(vip, *address, *server)));
        self.removes.push(Step::RemoveVip { vip, encap: actual.encap });
    }

    fn add(&mut self, vip: VipKey, spec: &VipSpec, encap: Encap) {
        let VipSpec { sticky, table_length, .. } = *spec;
        self.adds.push(Step::AddVip { vip, encap, sticky, table_length });
        self.changes.extend(spec.ases.iter().filter_map(|(address, server)| add_as(vip, *address, server, None)));
    }

    fn recreate(&mut self, vip: VipKey, spec: &VipSpec, encap: Encap, actual: &ActualVip, mismatch: Mismatch) {
        self.remove(vip.into(), actual);
        let VipSpec { sticky, table_length, .. } = *spec;
        self.adds.push(Step::AddVip { vip, encap, sticky, table_length });
        let old_weight = |address: &IpAddr| actual.ases.get(address).map(|server| server.weight);
        let ases = spec.ases.iter().filter_map(|(address, server)| add_as(vip, *address, server, old_weight(address)));
        self.changes.extend(ases);
        self.recreates.insert(vip, mismatch);
    }

    fn change(&mut self, vip: VipKey, spec: &VipSpec, actual: &ActualVip, due: &DueFlushes) {
        // The common case: VPP has the same servers, and only weights change.
        let same_servers = spec.ases.keys().eq(actual.ases.keys());
        if !same_servers {
            let weighted = |server: &DesiredAs| !matches!(server.weight, DesiredWeight::Presence(_));
            let is_missing = |address: &IpAddr| !actual.ases.contains_key(address);
            let missing = spec.ases.iter().filter(|(address, server)| weighted(server) && is_missing(address));
            self.changes.extend(missing.filter_map(|(address, server)| add_as(vip, *address, server, None)));
        }
        self.set_weights(vip, &spec.ases, actual, due);
        if !same_servers && !spec.keep_unclaimed {
            let obsolete = actual.ases.iter().filter(|(address, _)| !spec.ases.contains_key(address));
            self.changes.extend(obsolete.map(|(address, server)| remove_as(vip.into(), *address, *server)));
        }
    }

    /// Sets the weights of application servers that VPP has; without weights in VPP, adds and removes application servers
    /// instead. Increases precede decreases.
    fn set_weights(
        &mut self,
        vip: VipKey,
        desired: &BTreeMap<IpAddr, DesiredAs>,
        actual: &ActualVip,
        due: &DueFlushes,
    ) {
        let mut in_vpp = actual.ases.iter().peekable();
        let steps = desired.iter().filter_map(|(address, server)| {
            while in_vpp.next_if(|(before, _)| *before < address).is_some() {}
            let actual = in_vpp.next_if(|(same, _)| *same == address).map(|(_, actual)| actual);
            let flush = due.contains(&(vip, *address));
            match server.weight {
                DesiredWeight::Presence(present) => set_presence(vip, *address, server, present, actual, flush),
                _ => set_weight(vip, *address, server, *actual?, flush),
            }
        });
        let (raised, lowered): (Vec<_>, Vec<_>) = steps.partition(|step| match step {
            Step::SetWeight { from, to, .. } => to.get() > *from,
            other => matches!(other, Step::AddAs { .. }),
        });
        self.resting.extend(lowered.iter().filter_map(|step| match step {
            Step::RemoveAs { vip, address, .. } => Some((*vip, *address)),
            _ => None,
        }));
        self.changes.extend(raised);
        self.changes.extend(lowered);
    }
}

fn remove_as(vip: VppVip, address: IpAddr, actual: ActualAs) -> Step {
    Step::RemoveAs { vip, address, weight: actual.weight, flush: true }
}

/// Adds an application server. `old_weight` is its weight in a VIP that is being recreated.
fn add_as(vip: VipKey, address: IpAddr, desired: &DesiredAs, old_weight: Option<u8>) -> Option<Step> {
    let weight = match desired.weight {
        DesiredWeight::Set(weight) => weight,
        DesiredWeight::Keep { if_absent } => match old_weight {
            Some(weight) => Weight::clamped(weight),
            None => if_absent?,
        },
        DesiredWeight::Presence(present) => present.then_some(Weight::PRESENT)?,
    };
    Some(Step::AddAs { vip, address, backend: desired.backend.clone(), weight })
}

/// Adds or removes an application server in a VPP without weights. A server that was removed earlier may still hold
/// flows, so a due flush is sent even then; VPP's "no such entry" counts as success for it.
fn set_presence(
    vip: VipKey,
    address: IpAddr,
    desired: &DesiredAs,
    present: bool,
    actual: Option<&ActualAs>,
    flush: bool,
) -> Option<Step> {
    let remove = |weight| Step::RemoveAs { vip: vip.into(), address, weight, flush };
    match (present, actual) {
        (true, None) => add_as(vip, address, desired, None),
        (false, Some(actual)) => Some(remove(actual.weight)),
        (false, None) => flush.then(|| remove(0)),
        (true, Some(_)) => None,
    }
}

fn set_weight(vip: VipKey, address: IpAddr, desired: &DesiredAs, actual: ActualAs, flush: bool) -> Option<Step> {
    let DesiredWeight::Set(to) = desired.weight else { return None };
    let from = actual.weight;
    if from == to.get() && !flush {
        return None;
    }
    Some(Step::SetWeight { vip, address, backend: desired.backend.clone(), from, to, flush })
}
