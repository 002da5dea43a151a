//! Comparison of the new-flow tables that several nodes have for one VIP.
//!
//! A table follows from its length and the set of addresses and weights, so the tables of two nodes are compared without
//! reading a bucket. A VPP without weights (releases up to 26.06) fills its table by the same algorithm, with weight 1
//! for each application server that is present: its table equals that of another node only if the buckets do, not merely
//! because the Frontend is the same.

use std::{fmt, net::IpAddr};

use sha2::{Digest as _, Sha256};

use super::{
    change::VipState,
    table,
    table_change::{TableChange, TableSpec},
    vip::Weight,
};

impl TableSpec {
    /// The table of a VIP as read back from VPP, in its simplest form: without application servers of weight 0, which
    /// have no buckets, and with weight 1 for an only one, which has all buckets with any weight. `None` if the length
    /// could not be read.
    pub fn simplest(vip: &VipState) -> Option<Self> {
        let mut servers: Vec<(IpAddr, u8)> = vip
            .servers
            .iter()
            .filter(|(_, weight)| **weight > 0)
            .map(|(address, weight)| (*address, *weight))
            .collect();
        if let [(_, weight)] = &mut servers[..] {
            *weight = Weight::PRESENT.get();
        }
        Some(Self { length: table::reported_length(vip.table_length?), servers })
    }

    /// The share of the buckets whose application servers differ between two tables, in percent, 0–100. Symmetric, unlike
    /// [`TableChange::moved`]: a bucket without an application server differs from one that has any.
    pub fn differing_percent(&self, other: &Self) -> f64 {
        let change = TableChange::between(Some(self), Some(other));
        // A table has an application server in all of its buckets or in none.
        if change.moved() > 0 {
            return change.moved_percent();
        }
        TableChange::between(Some(other), Some(self)).moved_percent()
    }
}

/// SHA-256 over the simplest form of a table ([`TableSpec::simplest`]): length, addresses and weights. Tables with equal
/// fingerprints have equal buckets. Shown as the first 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableFingerprint([u8; 32]);

impl TableFingerprint {
    /// Number of bytes that are shown.
    const SHOWN_BYTES: usize = 8;

    /// The fingerprint of a VIP's table as read back from VPP; `None` if the length could not be read.
    pub fn new(vip: &VipState) -> Option<Self> {
        TableSpec::simplest(vip).map(|table| Self::hashed(&table))
    }

    fn hashed(table: &TableSpec) -> Self {
        let mut hash = Sha256::new();
        hash.update(table.length.to_be_bytes());
        // An entry has a length that follows from its first byte, so different tables never hash the same bytes.
        for (address, weight) in &table.servers {
            match address {
                IpAddr::V4(address) => {
                    hash.update([4]);
                    hash.update(address.octets());
                }
                IpAddr::V6(address) => {
                    hash.update([6]);
                    hash.update(address.octets());
                }
            }
            hash.update([*weight]);
        }
        Self(hash.finalize().into())
    }
}

impl fmt::Display for TableFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..Self::SHOWN_BYTES].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TableFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The nodes of one VIP, if they do not all have the same table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSplit<N, T> {
    /// The nodes without the table of the majority; all nodes if no table is that of more than half of them, because
    /// then nothing tells which node is wrong.
    pub nodes: Vec<N>,
    /// True if more than half of the nodes have the same table.
    pub has_majority: bool,
    /// The most frequent table; of equally frequent ones, that of the first node.
    pub reference: T,
    /// The other tables, each once.
    pub others: Vec<T>,
}

impl<N: Clone, T: Clone + PartialEq> TableSplit<N, T> {
    /// Compares the tables of all nodes; `None` if they are equal.
    pub fn between(tables: &[(N, T)]) -> Option<Self> {
        let mut counts: Vec<(&T, usize)> = Vec::new();
        for (_, table) in tables {
            match counts.iter_mut().find(|(counted, _)| *counted == table) {
                Some((_, count)) => *count += 1,
                None => counts.push((table, 1)),
            }
        }
        let most = counts.iter().map(|(_, count)| *count).max().filter(|_| counts.len() > 1)?;
        let (reference, _) = counts.iter().find(|(_, count)| *count == most)?;
        let has_majority = most * 2 > tables.len();
        let nodes = tables.iter().filter(|(_, table)| !has_majority || table != *reference);
        Some(Self {
            nodes: nodes.map(|(node, _)| node.clone()).collect(),
            has_majority,
            reference: (*reference).clone(),
            others: counts.iter().filter(|(table, _)| table != reference).map(|(table, _)| (*table).clone()).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    fn vip(table_length: u16, servers: &[(u8, u8)]) -> VipState {
        let servers = servers.iter().map(|(last, weight)| (address(*last), *weight)).collect();
        VipState { table_length: Some(table_length), servers, ..VipState::default() }
    }

    fn fingerprint(table_length: u16, servers: &[(u8, u8)]) -> TableFingerprint {
        TableFingerprint::new(&vip(table_length, servers)).expect("the length was read")
    }

    fn table(table_length: u16, servers: &[(u8, u8)]) -> TableSpec {
        TableSpec::simplest(&vip(table_length, servers)).expect("the length was read")
    }

    #[test]
    fn fingerprint_covers_length_addresses_and_weights() {
        let servers = [(10, 10), (11, 10)];
        let own = fingerprint(1024, &servers);
        let others = [
            fingerprint(512, &servers),
            fingerprint(1024, &[(10, 10), (12, 10)]),
            fingerprint(1024, &[(10, 10), (11, 20)]),
            fingerprint(1024, &[(10, 10), (11, 10), (12, 10)]),
            fingerprint(1024, &[(10, 10)]),
            fingerprint(1024, &[]),
        ];
        let unique: HashSet<_> = others.iter().chain([&own]).collect();
        assert_eq!(unique.len(), others.len() + 1);
        // A change of the hashed bytes makes the agents of two releases differ.
        assert_eq!(own.to_string(), "721fbb72844eaa7b");
    }

    #[test]
    fn servers_without_buckets_do_not_count() {
        assert_eq!(fingerprint(1024, &[(10, 10), (11, 10), (12, 0)]), fingerprint(1024, &[(10, 10), (11, 10)]));
        assert_eq!(fingerprint(1024, &[(10, 0)]), fingerprint(1024, &[]));
        assert_eq!(fingerprint(1024, &[(10, 1)]), fingerprint(1024, &[(10, 100), (11, 0)]), "an only server has all");
        assert_eq!(TableFingerprint::new(&VipState::default()), None, "the length is not known");
        assert_eq!(table(0, &[(10, 1)]).length, 65536, "VPP reports 16 bits");
    }

    #[test]
    fn vpp_without_weights_has_the_table_of_weight_1() {
        let without_weights = table(1024, &[(10, 1), (11, 1)]);
        assert_eq!(without_weights.differing_percent(&table(1024, &[(10, 1), (11, 1)])), 0.0);
        assert!(
            without_weights.differing_percent(&table(1024, &[(10, 10), (11, 10)])) > 10.0,
            "replicas change buckets"
        );
    }

    #[test]
    fn empty_table_differs_from_a_full_one_in_all_buckets() {
        let (empty, full) = (table(256, &[(10, 0)]), table(256, &[(10, 5)]));
        assert_eq!((empty.differing_percent(&full), full.differing_percent(&empty)), (100.0, 100.0));
        assert_eq!(empty.differing_percent(&empty), 0.0);
    }

    #[test]
    fn majority_tells_which_nodes_are_wrong() {
        let split = |tables: &[(&'static str, u8)]| TableSplit::between(tables);
        assert_eq!(split(&[]), None);
        assert_eq!(split(&[("a", 1), ("b", 1)]), None);
        let one = TableSplit { nodes: vec!["b"], has_majority: true, reference: 1, others: vec![2] };
        assert_eq!(split(&[("a", 1), ("b", 2), ("c", 1)]), Some(one));
        let half = TableSplit { nodes: vec!["a", "b"], has_majority: false, reference: 1, others: vec![2] };
        assert_eq!(split(&[("a", 1), ("b", 2)]), Some(half), "with two nodes nothing tells which one is wrong");
        let spread = split(&[("a", 1), ("b", 2), ("c", 2), ("d", 3)]).expect("they differ");
        assert_eq!((spread.nodes.len(), spread.reference, spread.others), (4, 2, vec![1, 3]), "half is no majority");
    }

    proptest! {
        #[test]
        fn share_is_symmetric_and_0_for_equal_fingerprints(
            one in prop::collection::btree_map(1u8..6, 0u8..4, 0..5),
            other in prop::collection::btree_map(1u8..6, 0u8..4, 0..5),
        ) {
            let servers = [one, other].map(|servers| servers.into_iter().collect::<Vec<_>>());
            let [one, other] = [&servers[0], &servers[1]].map(|servers| table(256, servers));
            let full = |servers: &[(u8, u8)]| {
                let servers = servers.iter().map(|(last, weight)| (address(*last), *weight)).collect();
                TableSpec { length: 256, servers }
            };
            let share = one.differing_percent(&other);
            prop_assert_eq!(share, other.differing_percent(&one));
            // The simplest form has the buckets of the whole one.
            prop_assert_eq!(share, full(&servers[0]).differing_percent(&full(&servers[1])));
            let [a, b] = [&servers[0], &servers[1]].map(|servers| fingerprint(256, servers));
            prop_assert_eq!(a == b, one == other);
            prop_assert!(a != b || share == 0.0);
        }
    }
}
