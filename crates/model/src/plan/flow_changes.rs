//! The effect of a plan on the flows of its VIPs, computed before VPP executes it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{AddressPlan, Step};
use crate::{
    actual::{Actual, ActualVip, VppVip},
    desired::Mismatch,
    table_change::{TableChange, TableSpec},
    vip::VipKey,
};

/// The change of a VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VipChange {
    /// VPP does not have the VIP yet.
    Added,
    /// Application servers or weights change.
    Updated,
    /// The VIP is removed and added again, since VPP cannot change the property. All tracked flows are lost.
    Recreated(Mismatch),
    /// The VIP is removed, with all its tracked flows.
    Removed,
}

/// The effect of a plan on the flows of one VIP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowChange {
    /// The change of the VIP.
    pub vip: VipChange,
    /// The change of its new-flow table; `None` if the length of the table is unknown.
    pub table: Option<TableChange>,
    /// The application servers whose tracked flows VPP forgets: removed or flushed ones, and all of a VIP that is removed or
    /// recreated. Tracked flows of all others stay.
    pub flushed: BTreeSet<IpAddr>,
}

impl AddressPlan {
    /// The VIPs that the plan changes, as `actual` has them.
    pub fn changed_vips(&self, actual: &Actual) -> Actual {
        let changed: BTreeSet<VppVip> = self.steps().map(Step::vip).collect();
        let vips = changed.into_iter().filter_map(|vip| Some((vip, actual.vips.get(&vip)?.clone()))).collect();
        Actual { vips, weightless: actual.weightless }
    }

    /// The effect of the plan on the flows of each VIP that it changes. `actual` is VPP's state before the plan.
    pub fn flow_changes(&self, actual: &Actual) -> BTreeMap<VppVip, FlowChange> {
        flow_changes(self.steps(), &self.recreates, &self.changed_vips(actual))
    }
}

/// The effect of `steps`, in order, on the flows of each VIP that they change. `before` has these VIPs as they were before;
/// `recreates` are the VIPs that the steps remove and add again.
pub fn flow_changes<'s>(
    steps: impl IntoIterator<Item = &'s Step>,
    recreates: &BTreeMap<VipKey, Mismatch>,
    before: &Actual,
) -> BTreeMap<VppVip, FlowChange> {
    let mut after = before.clone();
    let mut flushed: BTreeMap<VppVip, BTreeSet<IpAddr>> = BTreeMap::new();
    for step in steps {
        after.apply(step);
        let flushed = flushed.entry(step.vip()).or_default();
        if let Step::RemoveAs { address, flush: true, .. } | Step::SetWeight { address, flush: true, .. } = step {
            flushed.insert(*address);
        }
    }
    // The VIPs of an address mostly have the same servers, which change alike.
    let mut last: Option<(Tables, Option<TableChange>)> = None;
    let mut table_change = |before: Option<&ActualVip>, after: Option<&ActualVip>| {
        let tables = Tables::new(before, after);
        if let Some((same, change)) = &last
            && *same == tables
        {
            return change.clone();
        }
        let change = tables.change();
        last = Some((tables, change.clone()));
        change
    };
    let change = |(vip, flushed): (VppVip, BTreeSet<IpAddr>)| {
        let (before, after) = (before.vips.get(&vip), after.vips.get(&vip));
        let recreated = vip.key().and_then(|key| recreates.get(&key)).copied();
        let kind = match (before, after, recreated) {
            (_, _, Some(mismatch)) => VipChange::Recreated(mismatch),
            (None, _, None) => VipChange::Added,
            (Some(_), None, None) => VipChange::Removed,
            (Some(_), Some(_), None) => VipChange::Updated,
        };
        (vip, FlowChange { vip: kind, table: table_change(before, after), flushed })
    };
    flushed.into_iter().map(change).collect()
}

/// The tables of a VIP before and after.
#[derive(PartialEq, Eq)]
struct Tables {
    before: VipTable,
    after: VipTable,
    /// True if the hash of each flow changes.
    rehashed: bool,
}

/// The table of a VIP.
#[derive(PartialEq, Eq)]
enum VipTable {
    NoVip,
    /// The length of the table is unknown.
    Unknown,
    Known(TableSpec),
}

impl Tables {
    fn new(before: Option<&ActualVip>, after: Option<&ActualVip>) -> Self {
        let sticky = |vip: Option<&ActualVip>| vip.and_then(|vip| vip.sticky);
        // Session affinity changes the hash of each flow.
        let rehashed = sticky(before).zip(sticky(after)).is_some_and(|(before, after)| before != after);
        Self { before: before.into(), after: after.into(), rehashed }
    }

    /// The change of the table; `None` if the length of a table is unknown.
    fn change(&self) -> Option<TableChange> {
        match (&self.before, &self.after) {
            (VipTable::Unknown, _) | (_, VipTable::Unknown) => None,
            (VipTable::Known(before), VipTable::Known(after)) if self.rehashed => {
                Some(TableChange::rehashed(before, after))
            }
            (before, after) => Some(TableChange::between(before.spec(), after.spec())),
        }
    }
}

impl VipTable {
    fn spec(&self) -> Option<&TableSpec> {
        match self {
            Self::Known(table) => Some(table),
            Self::NoVip | Self::Unknown => None,
        }
    }
}

impl From<Option<&ActualVip>> for VipTable {
    fn from(vip: Option<&ActualVip>) -> Self {
        vip.map_or(Self::NoVip, |vip| TableSpec::new(vip).map_or(Self::Unknown, Self::Known))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        actual::{ActualAs, ActualEncap},
        name::Name,
        vip::{Encap, Protocol, Service, TableLength, Weight},
    };

    const VIP: VipKey =
        VipKey { address: IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 1)), service: Service::AllPorts };

    fn server(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    fn actual(table_length: Option<u16>, servers: &[(u8, u8)]) -> Actual {
        let server = |(last, weight): &(u8, u8)| (server(*last), ActualAs { weight: *weight, buckets: 0 });
        let encap = Some(ActualEncap::from(Encap::Gre4));
        let ases = servers.iter().map(server).collect();
        let vip = ActualVip { encap, sticky: Some(false), table_length, pool_index: None, ases };
        Actual { vips: [(VIP.into(), vip)].into(), weightless: false }
    }

    fn set_weight(last: u8, from: u8, to: u8, flush: bool) -> Step {
        let (backend, to) = (Name::namespaced("shop", "web"), Weight::new(to).unwrap());
        Step::SetWeight { vip: VIP, address: server(last), backend, from, to, flush }
    }

    fn add_vip() -> Step {
        Step::AddVip { vip: VIP, encap: Encap::Gre4, sticky: false, table_length: TableLength::new(1024).unwrap() }
    }

    fn change(plan: &AddressPlan, actual: &Actual) -> FlowChange {
        let mut changes = plan.flow_changes(actual);
        assert_eq!(changes.len(), 1, "{changes:?}");
        changes.remove(&VIP.into()).unwrap()
    }

    #[test]
    fn weights_move_buckets_and_flushes_drop_flows() {
        let before = actual(Some(1024), &[(10, 100), (11, 25), (13, 200)]);
        let pause = AddressPlan { changes: vec![set_weight(11, 25, 0, false)], ..AddressPlan::default() };
        let paused = change(&pause, &before);
        let from = paused.table.clone().unwrap().from;
        assert_eq!((paused.vip, from[&server(11)], paused.flushed.len()), (VipChange::Updated, 91, 0));
        let fail = AddressPlan { changes: vec![set_weight(11, 25, 0, true)], ..AddressPlan::default() };
        assert_eq!(change(&fail, &before), FlowChange { flushed: [server(11)].into(), ..paused });
        let unread = actual(None, &[(10, 100), (11, 25)]);
        assert_eq!(change(&pause, &unread).table, None, "the length of the table was not read");
        assert_eq!(AddressPlan::default().flow_changes(&before), BTreeMap::new());
    }

    #[test]
    fn vips_of_one_address_have_their_own_changes() {
        let port = |number: u16| VipKey {
            service: Service::Port { protocol: Protocol::Tcp, port: number.try_into().unwrap() },
            ..VIP
        };
        let tables: [&[(u8, u8)]; 4] =
            [&[(10, 100), (11, 25)], &[(10, 100), (11, 25)], &[(10, 100), (11, 26)], &[(10, 100), (11, 25)]];
        let mut before = Actual::default();
        let mut plan = AddressPlan::default();
        for (servers, number) in tables.iter().zip(1..) {
            before.vips.extend(actual(Some(1024), servers).vips.into_values().map(|vip| (port(number).into(), vip)));
            let (backend, from, to) = (Name::namespaced("shop", "web"), servers[1].1, Weight::ZERO);
            let vip = port(number);
            plan.changes.push(Step::SetWeight { vip, address: server(11), backend, from, to, flush: false });
        }
        let changes = plan.flow_changes(&before);
        for (vip, change) in &changes {
            let alone = Actual { vips: [(*vip, before.vips[vip].clone())].into(), weightless: false };
            let steps = plan.changes.iter().filter(|step| step.vip() == *vip);
            assert_eq!(*change, flow_changes(steps, &BTreeMap::new(), &alone)[vip]);
        }
        assert_eq!(changes.len(), tables.len());
    }

    #[test]
    fn removed_added_and_recreated_vips() {
        let before = actual(Some(1024), &[(10, 1)]);
        let remove_as = Step::RemoveAs { vip: VIP.into(), address: server(10), weight: 1, flush: true };
        let removes = vec![remove_as, Step::RemoveVip { vip: VIP.into(), encap: None }];
        let removed = change(&AddressPlan { removes: removes.clone(), ..AddressPlan::default() }, &before);
        assert_eq!((removed.vip, removed.table.unwrap().unserved), (VipChange::Removed, 1024));
        assert_eq!(removed.flushed, [server(10)].into());

        let backend = Name::namespaced("shop", "web");
        let add_as = Step::AddAs { vip: VIP, address: server(10), backend, weight: Weight::DEFAULT };
        let (adds, changes) = (vec![add_vip()], vec![add_as]);
        let add = AddressPlan { adds, changes, ..AddressPlan::default() };
        let added = change(&add, &Actual::default());
        assert_eq!((added.vip, added.table.unwrap().moved(), added.flushed.len()), (VipChange::Added, 0, 0));

        let recreates = [(VIP, Mismatch::Affinity)].into();
        let recreated = change(&AddressPlan { removes, recreates, ..add }, &before);
        assert_eq!(recreated.vip, VipChange::Recreated(Mismatch::Affinity));
        assert_eq!(recreated.table.unwrap().moved(), 0, "the new table is that of before");
        assert_eq!(recreated.flushed, [server(10)].into(), "but no flow is tracked any more");

        let mut sticky = actual(Some(1024), &[(10, 1), (11, 1)]);
        sticky.vips.get_mut(&VIP.into()).unwrap().sticky = Some(true);
        let remove = |last| Step::RemoveAs { vip: VIP.into(), address: server(last), weight: 1, flush: true };
        let removes = vec![remove(10), remove(11), Step::RemoveVip { vip: VIP.into(), encap: None }];
        let add = |last| Step::AddAs {
            vip: VIP,
            address: server(last),
            backend: Name::namespaced("shop", "web"),
            weight: Weight::PRESENT,
        };
        let changes = vec![add(10), add(11)];
        let recreates = [(VIP, Mismatch::Affinity)].into();
        let plan = AddressPlan { removes, adds: vec![add_vip()], changes, recreates, ..AddressPlan::default() };
        let moved = change(&plan, &sticky).table.unwrap().moved();
        assert!((500..=524).contains(&moved), "half of the flows, which have another hash now: {moved}");
    }
}
