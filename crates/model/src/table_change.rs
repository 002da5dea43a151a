//! The difference between two new-flow tables of a VIP: the share of new flows that reach another application server.

use std::{collections::BTreeMap, net::IpAddr};

use super::{
    actual::ActualVip,
    change::VipState,
    table::{self, NO_SERVER},
};

/// The properties of a VIP that its new-flow table follows from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TableSpec {
    /// Number of buckets: a power of two. With any other number, VPP has no table.
    pub length: u32,
    /// Addresses and weights of the application servers, ordered by address.
    pub servers: Vec<(IpAddr, u8)>,
}

impl TableSpec {
    /// The table of a VIP in VPP; `None` if its length could not be read.
    pub fn new(vip: &ActualVip) -> Option<Self> {
        let servers = vip.ases.iter().map(|(address, server)| (*address, server.weight)).collect();
        Some(Self { length: table::reported_length(vip.table_length?), servers })
    }

    /// The table of a VIP as an agent reports it; `None` if its length could not be read.
    pub fn reported(vip: &VipState) -> Option<Self> {
        let servers = vip.servers.iter().map(|(address, weight)| (*address, *weight)).collect();
        Some(Self { length: vip.table_length?.into(), servers })
    }

    /// The number of buckets that each application server has, in the order of `servers`.
    pub fn shares(&self) -> Vec<u32> {
        table::shares(self.length, &self.servers)
    }
}

/// The difference between two new-flow tables.
///
/// A bucket has *moved* if it had an application server, and has another one or none afterwards. A bucket without an
/// application server moves nothing: VPP dropped its packets. Moved buckets are *collateral* if both application servers
/// are in both tables with the same weight above 0, so that the change was made to others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableChange {
    /// Number of compared buckets, those of the longer table. The shorter one counts as if it were repeated, since VPP
    /// takes as many bits of a flow's hash as a table needs.
    pub buckets: u32,
    /// Buckets that moved, by the application server that had them; without those from which none moved.
    pub from: BTreeMap<IpAddr, u32>,
    /// Number of moved buckets that are collateral.
    pub collateral: u32,
    /// Number of moved buckets that have no application server afterwards: packets of their flows are dropped.
    pub unserved: u32,
}

impl TableChange {
    /// The difference between two tables. `None` stands for no VIP, whose packets VPP does not balance.
    pub fn between(before: Option<&TableSpec>, after: Option<&TableSpec>) -> Self {
        let has_server = |table: &TableSpec| table.servers.iter().any(|(_, weight)| *weight > 0);
        if before == after || !before.is_some_and(has_server) {
            let length = |table: Option<&TableSpec>| table.map_or(0, |table| table.length);
            return Self { buckets: length(before).max(length(after)), ..Self::default() };
        }
        let (old, new) = (servers(before), servers(after));
        let fill = |table: Option<&TableSpec>| table.map(|table| table::fill(table.length, &table.servers));
        let (filled_before, filled_after) = (fill(before).unwrap_or_default(), fill(after).unwrap_or_default());
        let buckets = filled_before.len().max(filled_after.len());
        let content = |table: &[u32], bucket: usize| -> Option<usize> {
            // The lengths are powers of two.
            let server = *table.get(bucket & table.len().wrapping_sub(1))?;
            (server != NO_SERVER).then_some(server as usize)
        };
        let matching = Matching::new(old, new);
        let mut moved = vec![0u32; old.len()];
        let mut change = Self { buckets: u32::try_from(buckets).unwrap_or(u32::MAX), ..Self::default() };
        for bucket in 0..buckets {
            let Some(from) = content(&filled_before, bucket) else { continue };
            let to = content(&filled_after, bucket);
            if matching.is_same(from, to) {
                continue;
            }
            moved[from] += 1;
            match to {
                None => change.unserved += 1,
                Some(to) if matching.is_unchanged(from, to) => change.collateral += 1,
                Some(_) => {}
            }
        }
        let from = old.iter().zip(moved).filter(|(_, moved)| *moved > 0);
        change.from = from.map(|((address, _), moved)| (*address, moved)).collect();
        change
    }

    /// The expected difference if the hash of each flow changes as well, so that a flow takes any bucket of the second table.
    /// Numbers of buckets are rounded.
    pub fn rehashed(before: &TableSpec, after: &TableSpec) -> Self {
        let buckets = before.length.max(after.length);
        let matching = Matching::new(&before.servers, &after.servers);
        let new: Vec<f64> =
            after.shares().into_iter().map(|count| f64::from(count) / f64::from(after.length)).collect();
        let has_server = new.iter().any(|share| *share > 0.0);
        let unchanged: f64 =
            new.iter().zip(&matching.kept_after).filter(|(_, kept)| **kept).map(|(share, _)| share).sum();
        let mut change = Self { buckets, ..Self::default() };
        let mut collateral = 0.0;
        for (index, ((address, _), count)) in before.servers.iter().zip(before.shares()).enumerate() {
            let old = f64::from(count) * f64::from(buckets) / f64::from(before.length);
            let stays = matching.in_new[index].map_or(0.0, |at| new[at]);
            let moved = rounded(old * (1.0 - stays));
            if moved > 0 {
                change.from.insert(*address, moved);
            }
            if !has_server {
                change.unserved += moved;
            } else if matching.kept_before[index] {
                collateral += old * (unchanged - stays);
            }
        }
        change.collateral = rounded(collateral);
        change
    }

    /// The number of moved buckets.
    pub fn moved(&self) -> u32 {
        self.from.values().sum()
    }

    /// `buckets` of this table as a share in percent, 0–100.
    pub fn percent(&self, buckets: u32) -> f64 {
        if self.buckets == 0 { 0.0 } else { f64::from(buckets) * 100.0 / f64::from(self.buckets) }
    }

    /// The share of the moved buckets in percent, 0–100.
    pub fn moved_percent(&self) -> f64 {
        self.percent(self.moved())
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of buckets")]
fn rounded(buckets: f64) -> u32 {
    buckets.round().max(0.0) as u32
}

fn servers(table: Option<&TableSpec>) -> &[(IpAddr, u8)] {
    table.map_or(&[], |table| &table.servers)
}

/// The application servers of two tables, both ordered by address, matched by address.
struct Matching {
    /// For each one of the first table, its index in the second.
    in_new: Vec<Option<usize>>,
    /// True for each one of the first table that has the same weight above 0 in the second.
    kept_before: Vec<bool>,
    /// The same for each one of the second table.
    kept_after: Vec<bool>,
}

impl Matching {
    fn new(old: &[(IpAddr, u8)], new: &[(IpAddr, u8)]) -> Self {
        let mut others = new.iter().enumerate().peekable();
        let index = |(address, _): &(IpAddr, u8)| {
            while others.next_if(|(_, (other, _))| other < address).is_some() {}
            others.next_if(|(_, (other, _))| other == address).map(|(at, _)| at)
        };
        let in_new: Vec<Option<usize>> = old.iter().map(index).collect();
        let mut kept_after = vec![false; new.len()];
        let mut kept_before = Vec::with_capacity(old.len());
        for ((_, weight), at) in old.iter().zip(&in_new) {
            let kept = at.is_some_and(|at| *weight > 0 && new[at].1 == *weight);
            kept_before.push(kept);
            if let Some(at) = at.filter(|_| kept) {
                kept_after[at] = true;
            }
        }
        Self { in_new, kept_before, kept_after }
    }

    fn is_same(&self, from: usize, to: Option<usize>) -> bool {
        to.is_some() && self.in_new[from] == to
    }

    fn is_unchanged(&self, from: usize, to: usize) -> bool {
        self.kept_before[from] && self.kept_after[to]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    fn spec(length: u32, servers: &[(u8, u8)]) -> TableSpec {
        TableSpec { length, servers: servers.iter().map(|(last, weight)| (address(*last), *weight)).collect() }
    }

    fn change(before: &TableSpec, after: &TableSpec) -> TableChange {
        TableChange::between(Some(before), Some(after))
    }

    #[test]
    fn drained_server_loses_its_buckets_and_moves_few_others() {
        let (before, after) =
            (spec(1024, &[(10, 100), (11, 25), (13, 200)]), spec(1024, &[(10, 100), (11, 0), (13, 200)]));
        let change = change(&before, &after);
        assert_eq!(before.shares(), [317, 91, 616], "as VPP has recorded");
        assert_eq!(change.from[&address(11)], 91, "all its buckets");
        assert_eq!(change.collateral, change.moved() - 91, "moves between servers that were not changed");
        assert_eq!(change.unserved, 0);
    }

    #[test]
    fn last_server_leaves_its_buckets_unserved() {
        let (before, after) = (spec(256, &[(10, 1)]), spec(256, &[(10, 0)]));
        let all = TableChange { buckets: 256, from: [(address(10), 256)].into(), collateral: 0, unserved: 256 };
        assert_eq!(change(&before, &after), all);
        assert_eq!(TableChange::between(Some(&before), None), all, "a removed VIP");
        assert_eq!(all.moved_percent(), 100.0);
        let served = change(&after, &before);
        assert_eq!((served.moved(), served.buckets), (0, 256), "a bucket without a server moves nothing");
        assert_eq!(TableChange::between(None, Some(&before)).moved(), 0, "an added VIP");
        assert_eq!(TableChange::between(None, None), TableChange::default());
        assert_eq!(TableChange::default().moved_percent(), 0.0);
    }

    #[test]
    fn changed_server_is_no_collateral() {
        let (before, after) = (spec(1024, &[(10, 10), (11, 10)]), spec(1024, &[(10, 10), (11, 20)]));
        let change = change(&before, &after);
        assert!(change.moved() > 0);
        assert_eq!(change.collateral, 0, "every move is from or to the changed server");
    }

    #[test]
    fn longer_table_is_compared_with_the_repeated_shorter_one() {
        let one = |length| spec(length, &[(10, 1)]);
        assert_eq!(change(&one(256), &one(1024)), TableChange { buckets: 1024, ..TableChange::default() });
        let moved = change(&spec(256, &[(10, 1), (11, 1)]), &spec(1024, &[(10, 1), (11, 1)]));
        assert_eq!(moved, TableChange { buckets: 1024, ..moved.clone() });
        assert!((300..700).contains(&moved.moved()), "about half: {moved:?}");
        assert_eq!(moved.collateral, moved.moved());
    }

    #[test]
    fn flows_with_another_hash_take_any_bucket() {
        let table = spec(1024, &[(10, 1), (11, 1)]);
        let same = TableChange::rehashed(&table, &table);
        assert!((500..=524).contains(&same.moved()) && same.collateral.abs_diff(same.moved()) <= 1, "half: {same:?}");
        let four = TableChange::rehashed(&spec(256, &[(10, 1)]), &spec(1024, &[(10, 1), (11, 1), (12, 1), (13, 1)]));
        assert!((four.moved_percent() - 75.0).abs() < 2.0 && four.collateral == 0, "{four:?}");
        let none = TableChange::rehashed(&table, &spec(1024, &[(10, 0), (11, 0)]));
        assert_eq!((none.moved(), none.unserved), (1024, 1024));
    }

    proptest! {
        #[test]
        fn change_agrees_with_a_comparison_of_each_bucket(
            before in prop::collection::btree_map(1u8..12, 0u8..5, 0..6),
            after in prop::collection::btree_map(1u8..12, 0u8..5, 0..6),
        ) {
            let spec_of = |servers: &BTreeMap<u8, u8>| spec(256, &servers.iter().map(|(a, w)| (*a, *w)).collect::<Vec<_>>());
            let (old, new) = (spec_of(&before), spec_of(&after));
            let names = |spec: &TableSpec| -> Vec<Option<IpAddr>> {
                let name = |server: u32| spec.servers.get(server as usize).map(|(address, _)| *address);
                table::fill(256, &spec.servers).into_iter().map(name).collect()
            };
            let change = change(&old, &new);
            let pairs: Vec<_> = names(&old).into_iter().zip(names(&new)).collect();
            let moved: Vec<_> = pairs.iter().filter(|(from, to)| from.is_some() && from != to).collect();
            prop_assert_eq!(change.moved() as usize, moved.len());
            for (address, count) in &change.from {
                prop_assert_eq!(*count as usize, moved.iter().filter(|(from, _)| *from == Some(*address)).count());
            }
            let weight = |spec: &TableSpec, at: IpAddr| spec.servers.iter().find(|(address, _)| *address == at).map(|(_, w)| *w);
            let kept = |at: IpAddr| weight(&old, at) == weight(&new, at);
            let collateral = moved.iter().filter(|(from, to)| from.is_some_and(kept) && to.is_some_and(kept)).count();
            prop_assert_eq!(change.collateral as usize, collateral);
            prop_assert_eq!(change.unserved as usize, moved.iter().filter(|(_, to)| to.is_none()).count());
            prop_assert_eq!(change.buckets, 256);
        }
    }
}
