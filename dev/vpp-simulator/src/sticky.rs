//! The sticky tables: `show lb` prints their usage, `show lb vips verbose` the entries that refer to an application server.
//!
//! A VPP that forwards packets has the table of its worker (`forward`). Otherwise traffic is simulated, and the tables are
//! numbers of entries: there are no packets, so an entry has neither a hash nor a bucket. An entry is live for the flow timeout after the first
//! packet of its flow. Like in VPP, an expired entry refers to its server until the entry is reused or flushed.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use super::{
    THREADS, WORKER,
    forward::{FlowTable, TableTime},
};
use maglev_model::actual::ActualConf;

/// Entries per bucket.
const PER_BUCKET: u64 = 4;

/// The flows of a VPP: those of simulated traffic, or those of packets.
#[derive(Clone, Debug)]
pub(crate) enum Sticky {
    Simulated(StickyTables),
    /// The table of the worker, which handles all packets.
    Tracked(FlowTable),
}

impl Sticky {
    /// Removes all references to the server.
    pub(crate) fn flush(&mut self, server: u32) {
        match self {
            Self::Simulated(tables) => tables.flush(server),
            Self::Tracked(table) => table.flush(server),
        }
    }

    /// Drops all tables, as VPP does when the number of buckets changes.
    pub(crate) fn clear(&mut self) {
        match self {
            Self::Simulated(tables) => tables.clear(),
            Self::Tracked(table) => table.clear(),
        }
    }

    /// The entries that refer to the server, expired ones included.
    pub(crate) fn flows(&self, server: u32) -> u64 {
        match self {
            Self::Simulated(tables) => tables.flows(server),
            Self::Tracked(table) => table.references(server).into(),
        }
    }

    /// True if a removed server must stay: VPP collects no server that an entry refers to.
    pub(crate) fn holds(&self, server: u32) -> bool {
        matches!(self, Self::Tracked(table) if table.references(server) > 0)
    }

    /// The number of live entries of each thread with a table.
    pub(crate) fn usage(&self, now: Duration) -> Vec<(usize, u64)> {
        match self {
            Self::Simulated(tables) => tables.usage().collect(),
            Self::Tracked(table) => table.usage(TableTime::new(now)).map(|used| (WORKER, used)).into_iter().collect(),
        }
    }
}

/// The tables of all threads. A thread has a table once it has added a flow.
#[derive(Clone, Debug, Default)]
pub(crate) struct StickyTables {
    threads: [Option<Table>; THREADS],
}

/// The entries of one thread, by the server's index in the plugin's pool.
#[derive(Clone, Debug, Default)]
struct Table {
    servers: BTreeMap<u32, Entries>,
}

#[derive(Clone, Debug, Default)]
struct Entries {
    /// Second of addition, and number of entries added in it.
    live: VecDeque<(u64, u64)>,
    expired: u64,
}

impl StickyTables {
    /// Adds flows to the server. Flows that do not fit are left out.
    pub(crate) fn add(&mut self, server: u32, flows: u64, now: Duration, conf: ActualConf) {
        let capacity = u64::from(conf.sticky_buckets_per_core) * PER_BUCKET;
        for (table, flows) in self.threads.iter_mut().zip(shares(flows)).filter(|(_, flows)| *flows > 0) {
            table.get_or_insert_default().add(server, flows, now.as_secs(), capacity);
        }
    }

    /// Expires entries that are as old as the timeout.
    pub(crate) fn expire(&mut self, now: Duration, conf: ActualConf) {
        let timeout = u64::from(conf.flow_timeout);
        let tables = self.threads.iter_mut().flatten();
        for entries in tables.flat_map(|table| table.servers.values_mut()) {
            while let Some((added, count)) = entries.live.front().copied()
                && added + timeout <= now.as_secs()
            {
                entries.live.pop_front();
                entries.expired += count;
            }
        }
    }

    /// Removes all entries that refer to the server.
    pub(crate) fn flush(&mut self, server: u32) {
        for table in self.threads.iter_mut().flatten() {
            table.servers.remove(&server);
        }
    }

    /// Drops all tables.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The entries that refer to the server, expired ones included.
    pub(crate) fn flows(&self, server: u32) -> u64 {
        let entries = self.threads.iter().flatten().filter_map(|table| table.servers.get(&server));
        entries.map(Entries::references).sum()
    }

    /// The number of live entries of each thread with a table.
    pub(crate) fn usage(&self) -> impl Iterator<Item = (usize, u64)> {
        let tables = self.threads.iter().enumerate().filter_map(|(thread, table)| Some((thread, table.as_ref()?)));
        tables.map(|(thread, table)| (thread, table.servers.values().map(Entries::live).sum()))
    }
}

impl Table {
    fn add(&mut self, server: u32, flows: u64, second: u64, capacity: u64) {
        let used: u64 = self.servers.values().map(Entries::references).sum();
        let free = capacity.saturating_sub(used);
        let added = free.min(flows) + self.reuse_expired(flows.saturating_sub(free));
        let entries = self.servers.entry(server).or_default();
        match entries.live.back_mut() {
            Some((last, count)) if *last == second => *count += added,
            _ => entries.live.push_back((second, added)),
        }
    }

    /// Frees up to `wanted` expired entries. Returns their number.
    fn reuse_expired(&mut self, wanted: u64) -> u64 {
        let mut reused = 0;
        for entries in self.servers.values_mut() {
            let part = entries.expired.min(wanted - reused);
            entries.expired -= part;
            reused += part;
        }
        reused
    }
}

impl Entries {
    fn live(&self) -> u64 {
        self.live.iter().map(|(_, count)| count).sum()
    }

    fn references(&self) -> u64 {
        self.live() + self.expired
    }
}

/// The part of each thread in `count`: one third for the main thread, the rest for the worker.
pub(crate) fn shares(count: u64) -> [u64; THREADS] {
    [count / 3, count - count / 3]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        lb::Lb,
        options::{GarbageCollection, Recompute, Release},
    };

    fn conf(buckets: u32) -> ActualConf {
        let conf = Lb::new(Release::default(), GarbageCollection::default(), Recompute::default()).conf();
        ActualConf { sticky_buckets_per_core: buckets, flow_timeout: 40, ..conf }
    }

    fn usage(tables: &StickyTables) -> Vec<(usize, u64)> {
        tables.usage().collect()
    }

    #[test]
    fn expired_entries_refer_to_their_server_until_they_are_reused() {
        let (mut tables, conf) = (StickyTables::default(), conf(1));
        assert_eq!(usage(&tables), []);
        tables.add(7, 3, Duration::from_secs(100), conf);
        assert_eq!((usage(&tables), tables.flows(7)), (vec![(0, 1), (1, 2)], 3));
        tables.expire(Duration::from_secs(139), conf);
        assert_eq!(usage(&tables), [(0, 1), (1, 2)]);
        tables.expire(Duration::from_secs(140), conf);
        assert_eq!((usage(&tables), tables.flows(7)), (vec![(0, 0), (1, 0)], 3));
        // The worker's table has 2 free entries for 4 flows and reuses 2 expired ones.
        tables.add(8, 5, Duration::from_secs(140), conf);
        assert_eq!((tables.flows(7), tables.flows(8)), (1, 5));
    }

    #[test]
    fn full_table_takes_no_flows_and_flushed_servers_have_none() {
        let (mut tables, conf) = (StickyTables::default(), conf(1));
        tables.add(7, 100, Duration::ZERO, conf);
        assert_eq!((usage(&tables), tables.flows(7)), (vec![(0, 4), (1, 4)], 8));
        tables.add(8, 100, Duration::ZERO, conf);
        assert_eq!(tables.flows(8), 0);
        tables.flush(7);
        assert_eq!((usage(&tables), tables.flows(7)), (vec![(0, 0), (1, 0)], 0));
        tables.add(8, 100, Duration::ZERO, conf);
        assert_eq!(tables.flows(8), 8);
        tables.clear();
        assert_eq!(usage(&tables), []);
    }
}
