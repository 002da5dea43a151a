//! VIPs that a plan leaves as VPP has them, although they differ from the desired state.
//!
//! VPP refuses a VIP beside others of its address, which is no reason to remove the VIP that serves until then.

use std::collections::{BTreeMap, BTreeSet};

use super::{AddressPlan, DueFlushes, Step, vips_on_address};
use crate::{
    actual::{Actual, ActualEncap, VppVip},
    desired::{Desired, DesiredVip, VipSpec},
    vip::{Encap, VipKey},
};

impl AddressPlan {
    /// Takes the adds and recreates of `vips` out of the plan. Those that VPP has are left as they are; the weights of
    /// their servers are still set.
    pub fn keep(&mut self, vips: &BTreeSet<VipKey>, desired: &Desired, actual: &Actual, due: &DueFlushes) {
        for key in vips {
            let vip = VppVip::from(*key);
            let is_other = |step: &Step| step.vip() != vip;
            self.removes.retain(is_other);
            self.adds.retain(is_other);
            self.changes.retain(is_other);
            self.recreates.remove(key);
            if let (Some(entry), Some(state)) = (desired.get(key), actual.vips.get(&vip)) {
                let (DesiredVip::Exactly(VipSpec { ases, .. }) | DesiredVip::Hold { weights: ases, .. }) = &entry.vip;
                self.set_weights(*key, ases, state, due);
            }
        }
    }

    /// Takes out the adds and recreates that VPP would refuse, because a VIP that the plan does not remove excludes them.
    /// Returns each such VIP with one that excludes it.
    pub fn keep_blocked(&mut self, desired: &Desired, actual: &Actual, due: &DueFlushes) -> BTreeMap<VipKey, VppVip> {
        let mut blocked = BTreeMap::new();
        loop {
            // A VIP that is kept can exclude further ones.
            let more: BTreeMap<VipKey, VppVip> =
                self.adds.iter().filter_map(|step| self.excluded(step, actual)).collect();
            if more.is_empty() {
                return blocked;
            }
            self.keep(&more.keys().copied().collect(), desired, actual, due);
            blocked.extend(more);
        }
    }

    /// The VIP that `step` adds, and a VIP that VPP keeps and refuses it for.
    fn excluded(&self, step: &Step, actual: &Actual) -> Option<(VipKey, VppVip)> {
        let Step::AddVip { vip, encap, .. } = step else { return None };
        let is_removed = |other: &VppVip| {
            self.removes.iter().any(|step| matches!(step, Step::RemoveVip { vip, .. } if vip == other))
        };
        let on_address = actual.vips.range(vips_on_address(vip.address)).map(|(other, _)| *other);
        let mut staying = on_address.filter(|other| !is_removed(other));
        staying.find(|other| excludes(*other, (*vip).into(), *encap, actual)).map(|other| (*vip, other))
    }
}

/// True if VPP refuses to add `added` while it has `other`: an all-port VIP excludes other VIPs of its address, and all
/// VIPs of an address have the same type of encapsulation.
fn excludes(other: VppVip, added: VppVip, encap: Encap, actual: &Actual) -> bool {
    let kind = ActualEncap::from(encap).kind;
    let other_encap = actual.vips.get(&other).and_then(|vip| vip.encap);
    let has_all_ports = added.port == 0 || other.port == 0;
    other.is_host()
        && other != added
        && (has_all_ports || other_encap.is_some_and(|other_encap| other_encap.kind != kind))
}
