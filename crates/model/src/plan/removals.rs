//! What a plan takes out of VPP for good, and a plan without some of that.
//!
//! Called by the agent, whose rule about mass removals decides what may go and when.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{AddressPlan, Step};
use crate::{
    actual::{Actual, ActualEncap, VppVip},
    vip::VipKey,
};

/// Something that a plan takes out of VPP for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Removal {
    /// The VIP, or that of the application server.
    pub vip: VppVip,
    /// An application server that leaves a VIP that stays; `None` = the VIP, with all of its own.
    pub server: Option<IpAddr>,
}

impl Removal {
    /// Whether it is still there to be removed.
    pub fn is_in(&self, actual: &Actual) -> bool {
        let vip = actual.vips.get(&self.vip);
        vip.is_some_and(|vip| self.server.is_none_or(|server| vip.ases.contains_key(&server)))
    }
}

impl AddressPlan {
    /// What the plan takes out for good. A VIP that is recreated comes back, so it does not count,
    /// and neither do its servers. Where a VIP gets at least as many servers as it loses, they are
    /// replaced (a Backend's address was edited) and do not count either. Nor do those that only rest at
    /// weight 0.
    pub fn removals(&self) -> BTreeSet<Removal> {
        let recreated = |vip: &VppVip| vip.key().is_some_and(|key| self.recreates.contains_key(&key));
        let vips = self.removes.iter().filter_map(|step| match step {
            Step::RemoveVip { vip, .. } if !recreated(vip) => Some(Removal { vip: *vip, server: None }),
            _ => None,
        });
        let mut removals: BTreeSet<Removal> = vips.collect();
        let mut lost: BTreeMap<VppVip, Vec<IpAddr>> = BTreeMap::new();
        let mut gained: BTreeMap<VppVip, usize> = BTreeMap::new();
        for step in &self.changes {
            match step {
                Step::RemoveAs { vip, address, .. } if self.resting.contains(&(*vip, *address)) => {}
                Step::RemoveAs { vip, address, .. } => lost.entry(*vip).or_default().push(*address),
                Step::AddAs { vip, .. } => *gained.entry((*vip).into()).or_default() += 1,
                _ => {}
            }
        }
        for (vip, servers) in lost {
            if servers.len() > gained.get(&vip).copied().unwrap_or_default() {
                removals.extend(servers.into_iter().map(|server| Removal { vip, server: Some(server) }));
            }
        }
        removals
    }

    /// Leaves `withheld` in VPP. A VIP that VPP would refuse beside one that stays is left as it is
    /// too, until that has gone: these are returned.
    pub fn withhold(&mut self, withheld: &BTreeSet<Removal>, actual: &Actual) -> BTreeSet<VipKey> {
        let stays = |vip: &VppVip| withheld.contains(&Removal { vip: *vip, server: None });
        self.removes.retain(|step| !stays(&step.vip()));
        self.changes.retain(|step| match step {
            Step::RemoveAs { vip, address, .. } => !withheld.contains(&Removal { vip: *vip, server: Some(*address) }),
            _ => true,
        });
        let staying: Vec<VppVip> = withheld.iter().filter(|of| of.server.is_none()).map(|of| of.vip).collect();
        let blocked: BTreeSet<VipKey> =
            self.adds.iter().filter_map(|step| blocked_by(step, &staying, actual)).collect();
        for vip in &blocked {
            let other = |step: &Step| step.vip() != VppVip::from(*vip);
            self.removes.retain(other);
            self.adds.retain(other);
            self.changes.retain(other);
            self.recreates.remove(vip);
        }
        blocked
    }
}

/// The VIP of an add that VPP refuses while one of `staying` is on its address: an all-port VIP
/// stands alone, and all VIPs of an address have one kind of encapsulation.
fn blocked_by(step: &Step, staying: &[VppVip], actual: &Actual) -> Option<VipKey> {
    let Step::AddVip { vip, encap, .. } = step else { return None };
    let added = VppVip::from(*vip);
    let kind = ActualEncap::from(*encap).kind;
    let excludes = |other: &VppVip| {
        let encap = actual.vips.get(other).and_then(|of| of.encap);
        let alone = added.port == 0 || other.port == 0;
        other.address == added.address && (alone || encap.is_some_and(|of| of.kind != kind))
    };
    staying.iter().any(excludes).then_some(*vip)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Name,
        desired::Mismatch,
        vip::{Encap, Protocol, Service, TableLength, Weight},
    };

    fn vip(service: Service) -> VipKey {
        VipKey { address: "203.0.113.1".parse().unwrap(), service }
    }

    fn port(port: u16) -> VipKey {
        vip(Service::Port { protocol: Protocol::Tcp, port: port.try_into().unwrap() })
    }

    fn server(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn remove_as(vip: VipKey, last: u8) -> Step {
        Step::RemoveAs { vip: vip.into(), address: server(last), weight: 10, flush: true }
    }

    fn add_as(vip: VipKey, last: u8) -> Step {
        let backend = Name::namespaced("default", "b");
        Step::AddAs { vip, address: server(last), backend, weight: Weight::DEFAULT }
    }

    fn add_vip(vip: VipKey, encap: Encap) -> Step {
        Step::AddVip { vip, encap, sticky: false, table_length: TableLength::DEFAULT }
    }

    fn remove_vip(vip: VipKey) -> Step {
        Step::RemoveVip { vip: vip.into(), encap: Some(Encap::Gre4.into()) }
    }

    fn gone(vip: VipKey) -> Removal {
        Removal { vip: vip.into(), server: None }
    }

    #[test]
    fn a_vip_counts_with_its_servers_and_a_recreated_one_not_at_all() {
        let plan = AddressPlan {
            resting: BTreeSet::new(),
            removes: vec![remove_as(port(80), 1), remove_vip(port(80)), remove_as(port(81), 1), remove_vip(port(81))],
            adds: vec![add_vip(port(81), Encap::Gre4)],
            changes: vec![add_as(port(81), 1)],
            recreates: BTreeMap::from([(port(81), Mismatch::Affinity)]),
        };
        assert_eq!(plan.removals(), BTreeSet::from([gone(port(80))]));
    }

    #[test]
    fn servers_that_are_replaced_do_not_count() {
        let mut plan = AddressPlan { changes: vec![add_as(port(80), 2), remove_as(port(80), 1)], ..Default::default() };
        assert_eq!(plan.removals(), BTreeSet::new());
        plan.changes.push(remove_as(port(80), 3));
        let of = |last| Removal { vip: port(80).into(), server: Some(server(last)) };
        assert_eq!(plan.removals(), BTreeSet::from([of(1), of(3)]));
        assert!(plan.withhold(&BTreeSet::from([of(3)]), &Actual::default()).is_empty());
        assert_eq!(plan.changes, [add_as(port(80), 2), remove_as(port(80), 1)]);
    }

    #[test]
    fn what_vpp_would_refuse_beside_a_vip_that_stays_waits_for_it() {
        let mut actual = Actual::default();
        for step in [add_vip(port(80), Encap::Gre4), add_vip(port(82), Encap::Gre4)] {
            actual.apply(&step);
        }
        let all = AddressPlan {
            resting: BTreeSet::new(),
            removes: vec![remove_as(port(80), 1), remove_vip(port(80)), remove_vip(port(82))],
            adds: vec![add_vip(port(81), Encap::Gre4), add_vip(port(82), Encap::Gre6)],
            changes: vec![add_as(port(81), 1), add_as(port(82), 1)],
            recreates: BTreeMap::from([(port(82), Mismatch::Encap)]),
        };
        let mut plan = all.clone();
        assert!(plan.withhold(&BTreeSet::new(), &actual).is_empty());
        assert_eq!(plan, all);
        assert_eq!(plan.withhold(&BTreeSet::from([gone(port(80))]), &actual), BTreeSet::from([port(82)]));
        let rest = AddressPlan {
            adds: vec![add_vip(port(81), Encap::Gre4)],
            changes: vec![add_as(port(81), 1)],
            ..AddressPlan::default()
        };
        assert_eq!(plan, rest);
        let every = vip(Service::AllPorts);
        let mut plan = AddressPlan {
            removes: vec![remove_vip(port(80))],
            adds: vec![add_vip(every, Encap::Gre4)],
            ..AddressPlan::default()
        };
        assert_eq!(plan.withhold(&BTreeSet::from([gone(port(80))]), &actual), BTreeSet::from([every]));
        assert!(plan.is_empty());
    }
}
