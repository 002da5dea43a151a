//! The traffic to each backend address, added up from readings of VPP's counters. Pure.
//!
//! VPP counts by the index of a route. A route can get another index, and VPP reuses and clears counters, so a total is
//! the sum of differences between readings. A reading is added as a whole, since the counter started at 0, if VPP was
//! restarted, if the index differs from that of the previous reading, or if a number is lower.

use std::{collections::BTreeMap, net::IpAddr};

use maglev_model::counters::RouteCounters;

/// Number of addresses without a counter whose totals are kept: VPP may lose its servers and get them back.
const MAX_ABSENT: usize = 4096;

/// One run of VPP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VppRun {
    pub pid: u32,
    /// Start time in Unix seconds.
    pub boot_time: u64,
}

/// The counter of an address in one reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexedCounters {
    /// Index of the counter.
    pub index: u32,
    pub counters: RouteCounters,
}

/// The totals of all addresses. Outlives the sessions with VPP.
#[derive(Debug, Default)]
pub struct BackendTotals {
    run: Option<VppRun>,
    totals: BTreeMap<IpAddr, Total>,
    readings: u64,
}

#[derive(Clone, Copy, Debug)]
struct Total {
    sum: RouteCounters,
    last: IndexedCounters,
    /// Number of the last reading with the address.
    reading: u64,
}

impl BackendTotals {
    /// Adds a reading of VPP's counters. Returns the totals of its addresses.
    pub fn add(&mut self, run: VppRun, reading: &BTreeMap<IpAddr, IndexedCounters>) -> BTreeMap<IpAddr, RouteCounters> {
        let restarted = self.run.replace(run).is_some_and(|previous| previous != run);
        self.readings += 1;
        if restarted {
            self.totals.values_mut().for_each(|total| total.last.counters = RouteCounters::default());
        }
        let totals = reading.iter().map(|(address, now)| (*address, self.add_address(*address, *now))).collect();
        self.drop_oldest(reading.len());
        totals
    }

    fn add_address(&mut self, address: IpAddr, now: IndexedCounters) -> RouteCounters {
        let zero = IndexedCounters { index: now.index, counters: RouteCounters::default() };
        let new = Total { sum: RouteCounters::default(), last: zero, reading: 0 };
        let total = self.totals.entry(address).or_insert(new);
        let added = now.since(total.last);
        total.sum.packets = total.sum.packets.saturating_add(added.packets);
        total.sum.bytes = total.sum.bytes.saturating_add(added.bytes);
        (total.last, total.reading) = (now, self.readings);
        total.sum
    }

    /// Drops the totals that were not read for the longest time, if too many of them were not read now.
    fn drop_oldest(&mut self, present: usize) {
        if self.totals.len() <= present + MAX_ABSENT {
            return;
        }
        let mut by_age: Vec<(u64, IpAddr)> =
            self.totals.iter().map(|(address, total)| (total.reading, *address)).collect();
        by_age.sort_unstable();
        for (_, address) in by_age.into_iter().take(self.totals.len() - present - MAX_ABSENT) {
            self.totals.remove(&address);
        }
    }
}

impl IndexedCounters {
    /// The traffic since `last`; all of it if the counter is another one or was cleared.
    fn since(self, last: Self) -> RouteCounters {
        let continued = self.index == last.index
            && self.counters.packets >= last.counters.packets
            && self.counters.bytes >= last.counters.bytes;
        let last = if continued { last.counters } else { RouteCounters::default() };
        RouteCounters { packets: self.counters.packets - last.packets, bytes: self.counters.bytes - last.bytes }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RUN: VppRun = VppRun { pid: 7, boot_time: 1000 };

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    /// The packets of address 1 after a reading; each packet has 100 bytes.
    fn add(totals: &mut BackendTotals, run: VppRun, index: u32, packets: u64) -> u64 {
        let counters = RouteCounters { packets, bytes: packets * 100 };
        let sums = totals.add(run, &[(address(1), IndexedCounters { index, counters })].into());
        let sum = sums[&address(1)];
        assert_eq!(sum.bytes, sum.packets * 100);
        sum.packets
    }

    #[test]
    fn first_reading_and_growth_are_added() {
        let mut totals = BackendTotals::default();
        assert_eq!([5, 5, 9].map(|packets| add(&mut totals, RUN, 18, packets)), [5, 5, 9]);
    }

    #[test]
    fn another_index_and_a_decrease_are_added_from_zero() {
        let mut totals = BackendTotals::default();
        add(&mut totals, RUN, 18, 100);
        assert_eq!(add(&mut totals, RUN, 31, 120), 220, "another index with a higher counter");
        assert_eq!(add(&mut totals, RUN, 31, 125), 225);
        assert_eq!(add(&mut totals, RUN, 31, 3), 228, "the counter was cleared");
        assert_eq!(add(&mut totals, RUN, 18, 4), 232, "the first index was reused");
    }

    #[test]
    fn decrease_of_either_number_resets_both() {
        let mut totals = BackendTotals::default();
        let mut add = |packets, bytes| {
            let counters = RouteCounters { packets, bytes };
            let sums = totals.add(RUN, &[(address(1), IndexedCounters { index: 18, counters })].into());
            (sums[&address(1)].packets, sums[&address(1)].bytes)
        };
        assert_eq!(add(10, 1000), (10, 1000));
        assert_eq!(add(11, 90), (21, 1090));
    }

    #[test]
    fn restarted_vpp_is_added_from_zero_even_with_a_higher_counter() {
        let mut totals = BackendTotals::default();
        add(&mut totals, RUN, 18, 100);
        let restarted = VppRun { boot_time: 2000, ..RUN };
        assert_eq!(totals.add(restarted, &BTreeMap::new()), BTreeMap::new(), "no server is in VPP yet");
        assert_eq!(add(&mut totals, restarted, 18, 130), 230);
        assert_eq!(add(&mut totals, VppRun { pid: 8, ..restarted }, 18, 140), 370);
    }

    #[test]
    fn address_without_a_counter_continues_its_total_later() {
        let mut totals = BackendTotals::default();
        add(&mut totals, RUN, 18, 100);
        assert!(totals.add(RUN, &BTreeMap::new()).is_empty());
        assert_eq!(add(&mut totals, RUN, 18, 150), 150, "VPP kept the route");
    }

    #[test]
    fn totals_of_absent_addresses_are_bounded() {
        let mut totals = BackendTotals::default();
        let counters = RouteCounters { packets: 1, bytes: 1 };
        for number in 0..10_000_u32 {
            let address = IpAddr::from(number.to_be_bytes());
            totals.add(RUN, &[(address, IndexedCounters { index: number, counters })].into());
        }
        assert_eq!(totals.totals.len(), MAX_ABSENT + 1);
        assert!(totals.totals.contains_key(&IpAddr::from(9_999_u32.to_be_bytes())), "the oldest are dropped");
    }

    proptest! {
        #[test]
        fn total_never_decreases(readings in prop::collection::vec((0u32..3, 0u64..50, 0u64..50, 0u64..2), 1..40)) {
            let (mut totals, mut previous) = (BackendTotals::default(), RouteCounters::default());
            for (index, packets, bytes, boot_time) in readings {
                let counters = RouteCounters { packets, bytes };
                let reading = [(address(1), IndexedCounters { index, counters })].into();
                let sum = totals.add(VppRun { pid: 1, boot_time }, &reading)[&address(1)];
                prop_assert!(sum.packets >= previous.packets && sum.bytes >= previous.bytes);
                previous = sum;
            }
        }
    }
}
