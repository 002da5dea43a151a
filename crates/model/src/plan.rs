//! From desired and actual to the steps that lead from one to the other.
//!
//! The unit is the address: VPP's rules about encaps and all-port VIPs hold per prefix, so all VIPs
//! that go are removed before any is added. A plan is a value: applying it to the actual state
//! gives the desired one, and planning again gives nothing.

mod apply;
mod removals;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    ops::RangeInclusive,
};

pub use self::removals::Removal;
use super::{
    actual::{Actual, ActualAs, ActualEncap, ActualVip, VppVip},
    config::ForeignVips,
    desired::{Desired, LbVip, Mismatch, Want, Wanted},
    name::Name,
    vip::{Encap, TableLength, VipKey, Weight},
    weights::{WantAs, WantWeight},
};

/// One request to VPP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Adds a VIP.
    AddVip {
        /// The VIP.
        vip: VipKey,
        /// Its encapsulation.
        encap: Encap,
        /// Flows stick to the client's address.
        sticky: bool,
        /// Buckets in its new-flow table.
        table_length: TableLength,
    },
    /// Removes a VIP, whose application servers are gone already.
    RemoveVip {
        /// The VIP, which may be a foreign one.
        vip: VppVip,
        /// The encapsulation that VPP reported.
        encap: Option<ActualEncap>,
    },
    /// Adds an application server; old pins of a revived one are dropped.
    AddAs {
        /// The VIP.
        vip: VipKey,
        /// The application server.
        address: IpAddr,
        /// The Backend.
        backend: Name,
        /// Its weight.
        weight: Weight,
    },
    /// Removes an application server.
    RemoveAs {
        /// The VIP, which may be a foreign one.
        vip: VppVip,
        /// The application server.
        address: IpAddr,
        /// The weight it had.
        weight: u8,
        /// Whether to flush the flows pinned to it. Without it they go on where they are until they
        /// end: that is weight 0 for a VPP without weights.
        flush: bool,
    },
    /// Sets a weight.
    SetWeight {
        /// The VIP.
        vip: VipKey,
        /// The application server.
        address: IpAddr,
        /// The Backend.
        backend: Name,
        /// The weight that VPP has.
        from: u8,
        /// The weight it is to have.
        to: Weight,
        /// Whether to flush the flows pinned to it.
        flush: bool,
    },
}

impl Step {
    /// The step's name in events and errors.
    pub fn name(&self) -> &'static str {
        match self {
            Self::AddVip { .. } => "add-vip",
            Self::RemoveVip { .. } => "remove-vip",
            Self::AddAs { .. } => "add-as",
            Self::RemoveAs { .. } => "remove-as",
            Self::SetWeight { .. } => "set-weight",
        }
    }

    /// The VIP it is about.
    pub fn vip(&self) -> VppVip {
        match self {
            Self::AddVip { vip, .. } | Self::AddAs { vip, .. } | Self::SetWeight { vip, .. } => (*vip).into(),
            Self::RemoveVip { vip, .. } | Self::RemoveAs { vip, .. } => *vip,
        }
    }
}

/// Flows pinned to these application servers still have to be flushed. A flush is an edge: it
/// cannot be seen in VPP's state, so it is an input.
pub type DueFlushes = BTreeSet<(VipKey, IpAddr)>;

/// Which VIPs may be removed that no Frontend wants.
#[derive(Clone, Copy, Debug)]
pub struct RemovalPolicy<'a> {
    /// VIPs that we put there.
    pub ours: &'a BTreeMap<VipKey, Name>,
    /// What to do about the others.
    pub foreign: ForeignVips,
    /// Some Frontend's claim is not readable: nothing is removed that might be its VIP.
    pub claims_unknown: bool,
}

impl RemovalPolicy<'_> {
    /// Whether `vip`, which no Frontend wants, is to be removed.
    pub fn removes(&self, vip: &VppVip) -> bool {
        !self.claims_unknown && (self.foreign == ForeignVips::Remove || !self.is_foreign(vip))
    }

    /// Whether somebody else put `vip` there.
    pub fn is_foreign(&self, vip: &VppVip) -> bool {
        vip.key().is_none_or(|key| !self.ours.contains_key(&key))
    }
}

/// The steps for one address, in the order of their phases: each phase is sent at once, and the next
/// one when VPP answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressPlan {
    /// VIPs that go, each after its application servers.
    pub removes: Vec<Step>,
    /// VIPs that come.
    pub adds: Vec<Step>,
    /// Application servers and weights of VIPs that are there. What adds capacity comes before what
    /// takes it away, so that no table is empty in between.
    pub changes: Vec<Step>,
    /// VIPs that are among the removes and the adds, and why.
    pub recreates: BTreeMap<VipKey, Mismatch>,
    /// Application servers among the changes that go because their weight is 0, for a VPP without
    /// weights: they are still wanted.
    pub resting: BTreeSet<(VppVip, IpAddr)>,
}

impl AddressPlan {
    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.removes.is_empty() && self.adds.is_empty() && self.changes.is_empty()
    }

    /// Every step in order.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.removes.iter().chain(&self.adds).chain(&self.changes)
    }

    /// The number of steps.
    pub fn len(&self) -> usize {
        self.removes.len() + self.adds.len() + self.changes.len()
    }
}

/// Plans one address: `desired` and `actual` may hold other addresses too, which are left alone.
pub fn plan_address(
    address: IpAddr,
    desired: &Desired,
    actual: &Actual,
    due: &DueFlushes,
    policy: RemovalPolicy<'_>,
) -> AddressPlan {
    let mut plan = AddressPlan::default();
    for (vip, have) in actual.vips.range(vips_of(address)) {
        match vip.key().and_then(|key| Some((key, desired.get(&key)?))) {
            Some((key, Wanted { want: Want::Exactly(want), .. })) => match (want.mismatch(have), want.encap) {
                (Some(why), Some(encap)) => plan.recreate(key, want, encap, have, why),
                (Some(why), None) => plan.recreate_as_is(key, want, have, why),
                (None, _) => plan.change(key, want, have, due),
            },
            Some((key, Wanted { want: Want::Hold { weights, .. }, .. })) => plan.reweigh(key, weights, have, due),
            None if policy.removes(vip) => plan.remove(*vip, have),
            None => {}
        }
    }
    for (key, wanted) in desired.range(keys_of(address)) {
        if let Want::Exactly(want @ LbVip { encap: Some(encap), .. }) = &wanted.want
            && !actual.vips.contains_key(&VppVip::from(*key))
        {
            plan.add(*key, want, *encap);
        }
    }
    plan
}

/// Every address that `desired` or `actual` has a VIP on, in order.
pub fn addresses(desired: &Desired, actual: &Actual) -> BTreeSet<IpAddr> {
    desired.keys().map(|key| key.address).chain(actual.vips.keys().map(|vip| vip.address)).collect()
}

/// The range of all VIPs in VPP whose prefix has this address.
pub fn vips_of(address: IpAddr) -> RangeInclusive<VppVip> {
    let least = VppVip { address, length: 0, protocol: 0, port: 0 };
    least..=VppVip { address, length: u8::MAX, protocol: u8::MAX, port: u16::MAX }
}

/// The range of all keys on this address.
pub fn keys_of(address: IpAddr) -> RangeInclusive<VipKey> {
    use super::vip::{Protocol, Service};
    let last = Service::Port { protocol: Protocol::Udp, port: std::num::NonZeroU16::MAX };
    VipKey { address, service: Service::AllPorts }..=VipKey { address, service: last }
}

impl AddressPlan {
    fn remove(&mut self, vip: VppVip, have: &ActualVip) {
        self.removes.extend(have.ases.iter().map(|(address, of)| remove_as(vip, *address, *of)));
        self.removes.push(Step::RemoveVip { vip, encap: have.encap });
    }

    fn add(&mut self, vip: VipKey, want: &LbVip, encap: Encap) {
        let LbVip { sticky, table_length, .. } = *want;
        self.adds.push(Step::AddVip { vip, encap, sticky, table_length });
        self.changes.extend(want.ases.iter().filter_map(|(address, of)| add_as(vip, *address, of, None)));
    }

    fn recreate(&mut self, vip: VipKey, want: &LbVip, encap: Encap, have: &ActualVip, why: Mismatch) {
        self.remove(vip.into(), have);
        let LbVip { sticky, table_length, .. } = *want;
        self.adds.push(Step::AddVip { vip, encap, sticky, table_length });
        let kept = |address: &IpAddr| have.ases.get(address).map(|of| of.weight);
        let ases = want.ases.iter().filter_map(|(address, of)| add_as(vip, *address, of, kept(address)));
        self.changes.extend(ases);
        self.recreates.insert(vip, why);
    }

    /// A recreate while no backend resolves needs VPP's own encap; one that VPP made and we cannot
    /// name is left as it is.
    fn recreate_as_is(&mut self, vip: VipKey, want: &LbVip, have: &ActualVip, why: Mismatch) {
        if let Some(encap) = have.encap.and_then(|encap| Encap::try_from(encap).ok()) {
            self.recreate(vip, want, encap, have, why);
        }
    }

    fn change(&mut self, vip: VipKey, want: &LbVip, have: &ActualVip, due: &DueFlushes) {
        // Mostly VPP has the same servers, and only weights change.
        let same_servers = want.ases.keys().eq(have.ases.keys());
        if !same_servers {
            let weighted = |of: &WantAs| !matches!(of.weight, WantWeight::Presence(_));
            let missing = want.ases.iter().filter(|(address, of)| weighted(of) && !have.ases.contains_key(address));
            self.changes.extend(missing.filter_map(|(address, of)| add_as(vip, *address, of, None)));
        }
        self.reweigh(vip, &want.ases, have, due);
        if !same_servers && !want.keep_unclaimed {
            let gone = have.ases.iter().filter(|(address, _)| !want.ases.contains_key(address));
            self.changes.extend(gone.map(|(address, of)| remove_as(vip.into(), *address, *of)));
        }
    }

    /// Weights of application servers that VPP has, or their presence where it has no weights: what goes
    /// up first, then the rest.
    fn reweigh(&mut self, vip: VipKey, want: &BTreeMap<IpAddr, WantAs>, have: &ActualVip, due: &DueFlushes) {
        let mut in_vpp = have.ases.iter().peekable();
        let steps = want.iter().filter_map(|(address, of)| {
            while in_vpp.next_if(|(before, _)| *before < address).is_some() {}
            let have = in_vpp.next_if(|(same, _)| *same == address).map(|(_, have)| have);
            let flush = due.contains(&(vip, *address));
            match of.weight {
                WantWeight::Presence(present) => set_presence(vip, *address, of, present, have, flush),
                _ => set_weight(vip, *address, of, *have?, flush),
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

fn remove_as(vip: VppVip, address: IpAddr, have: ActualAs) -> Step {
    Step::RemoveAs { vip, address, weight: have.weight, flush: true }
}

/// `kept` is the weight of the same application server in a VIP that is being recreated.
fn add_as(vip: VipKey, address: IpAddr, want: &WantAs, kept: Option<u8>) -> Option<Step> {
    let weight = match want.weight {
        WantWeight::Set(weight) => weight,
        WantWeight::Keep { if_absent } => match kept {
            Some(kept) => Weight::clamped(kept),
            None => if_absent?,
        },
        WantWeight::Presence(present) => present.then_some(Weight::PRESENT)?,
    };
    Some(Step::AddAs { vip, address, backend: want.backend.clone(), weight })
}

/// What makes an application server come or go where VPP has no weights. One that went earlier may
/// still hold flows, so a flush is sent even then; VPP's "no such entry" is a success for it.
fn set_presence(
    vip: VipKey,
    address: IpAddr,
    want: &WantAs,
    present: bool,
    have: Option<&ActualAs>,
    flush: bool,
) -> Option<Step> {
    let remove = |weight| Step::RemoveAs { vip: vip.into(), address, weight, flush };
    match (present, have) {
        (true, None) => add_as(vip, address, want, None),
        (false, Some(have)) => Some(remove(have.weight)),
        (false, None) => flush.then(|| remove(0)),
        (true, Some(_)) => None,
    }
}

fn set_weight(vip: VipKey, address: IpAddr, want: &WantAs, have: ActualAs, flush: bool) -> Option<Step> {
    let WantWeight::Set(to) = want.weight else { return None };
    let from = have.weight;
    (from != to.get() || flush).then(|| Step::SetWeight {
        vip,
        address,
        backend: want.backend.clone(),
        from,
        to,
        flush,
    })
}
