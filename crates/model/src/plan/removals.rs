//! The permanent removals of a plan, and plans without some of them.
//!
//! Called by the agent, which holds back mass removals.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use super::{AddressPlan, DueFlushes, Step};
use crate::{
    actual::{Actual, ActualVip, VppVip},
    vip::VipKey,
    weights::DesiredAs,
};

/// Fewer removals than this are never held.
pub const MASS_REMOVAL_AT_LEAST: usize = 5;
/// The period over which the agent counts removals.
pub const MASS_REMOVAL_PERIOD: Duration = Duration::from_mins(1);

/// True if the agent holds `removals` within [`MASS_REMOVAL_PERIOD`] back: more than half of the `total` that it owns in VPP.
/// VIPs and application servers are counted separately.
pub fn is_mass_removal(removals: usize, total: usize) -> bool {
    removals >= MASS_REMOVAL_AT_LEAST && removals * 2 > total
}

/// A permanent removal of a VIP or an application server from VPP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Removal {
    /// The VIP.
    pub vip: VppVip,
    /// The removed application server; `None` if the VIP is removed with all its application servers.
    pub server: Option<IpAddr>,
}

impl Removal {
    /// True if VPP still has the VIP or the application server.
    pub fn is_in(&self, actual: &Actual) -> bool {
        let vip = actual.vips.get(&self.vip);
        vip.is_some_and(|vip| self.server.is_none_or(|server| vip.ases.contains_key(&server)))
    }
}

impl AddressPlan {
    /// The permanent removals of the plan. The following do not count: recreated VIPs and their servers; servers that are
    /// replaced, that is, the VIP gains at least as many servers as it loses (the address of a Backend was edited); and
    /// servers that only rest at weight 0.
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

    /// Takes the `withheld` removals out of the plan.
    pub fn withhold(&mut self, withheld: &BTreeSet<Removal>) {
        let stays = |vip: &VppVip| withheld.contains(&Removal { vip: *vip, server: None });
        self.removes.retain(|step| !stays(&step.vip()));
        self.changes.retain(|step| match step {
            Step::RemoveAs { vip, address, .. } => !withheld.contains(&Removal { vip: *vip, server: Some(*address) }),
            _ => true,
        });
    }
}

impl AddressPlan {
    /// Adds the weights of servers that are withheld from removal: increases before all other changes, decreases after
    /// them.
    pub fn set_held_weights(
        &mut self,
        vip: VipKey,
        held: &BTreeMap<IpAddr, DesiredAs>,
        actual: &ActualVip,
        due: &DueFlushes,
    ) {
        let rest = std::mem::take(&mut self.changes);
        self.set_weights(vip, held, actual, due);
        let raises = |step: &Step| matches!(step, Step::SetWeight { from, to, .. } if to.get() > *from);
        let lowered = self.changes.split_off(self.changes.iter().take_while(|step| raises(step)).count());
        self.changes.extend(rest);
        self.changes.extend(lowered);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Name,
        desired::{Desired, Mismatch},
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

    fn vip_removal(vip: VipKey) -> Removal {
        Removal { vip: vip.into(), server: None }
    }

    #[test]
    fn removed_vip_counts_once_and_recreated_vip_does_not_count() {
        let plan = AddressPlan {
            resting: BTreeSet::new(),
            removes: vec![remove_as(port(80), 1), remove_vip(port(80)), remove_as(port(81), 1), remove_vip(port(81))],
            adds: vec![add_vip(port(81), Encap::Gre4)],
            changes: vec![add_as(port(81), 1)],
            recreates: BTreeMap::from([(port(81), Mismatch::Affinity)]),
        };
        assert_eq!(plan.removals(), BTreeSet::from([vip_removal(port(80))]));
    }

    #[test]
    fn replaced_servers_do_not_count() {
        let mut plan = AddressPlan { changes: vec![add_as(port(80), 2), remove_as(port(80), 1)], ..Default::default() };
        assert_eq!(plan.removals(), BTreeSet::new());
        plan.changes.push(remove_as(port(80), 3));
        let server_removal = |last| Removal { vip: port(80).into(), server: Some(server(last)) };
        assert_eq!(plan.removals(), BTreeSet::from([server_removal(1), server_removal(3)]));
        plan.withhold(&BTreeSet::from([server_removal(3)]));
        assert_eq!(plan.changes, [add_as(port(80), 2), remove_as(port(80), 1)]);
    }

    #[test]
    fn adds_that_conflict_with_a_withheld_vip_are_withheld() {
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
        let withhold = |plan: &mut AddressPlan, withheld: &[VipKey]| {
            plan.withhold(&withheld.iter().copied().map(vip_removal).collect());
            plan.keep_blocked(&Desired::new(), &actual, &DueFlushes::new())
        };
        let mut plan = AddressPlan { adds: vec![add_vip(port(82), Encap::Gre6)], ..all.clone() };
        assert!(withhold(&mut plan, &[]).is_empty());
        assert_eq!(plan.adds, [add_vip(port(82), Encap::Gre6)]);
        let mut plan = all;
        assert_eq!(withhold(&mut plan, &[port(80)]), BTreeMap::from([(port(82), port(80).into())]));
        let rest = AddressPlan {
            adds: vec![add_vip(port(81), Encap::Gre4)],
            changes: vec![add_as(port(81), 1)],
            ..AddressPlan::default()
        };
        assert_eq!(plan, rest);
        let every = vip(Service::AllPorts);
        let mut plan = AddressPlan {
            removes: vec![remove_vip(port(80)), remove_vip(port(82))],
            adds: vec![add_vip(every, Encap::Gre4)],
            ..AddressPlan::default()
        };
        assert_eq!(withhold(&mut plan, &[port(80)]), BTreeMap::from([(every, port(80).into())]));
        assert_eq!(plan.steps().collect::<Vec<_>>(), [&remove_vip(port(82))]);
    }
}
