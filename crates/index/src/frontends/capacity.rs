//! Decides which Frontends fit into a node's limit of table entries. A pure function of the Frontends, so all nodes with
//! the same limit decide alike. VPP need not agree: the agent never removes a VIP because of the limit.
//!
//! The oldest Frontends come first: each fits if its table fits beside those of older Frontends that fit. So a new
//! Frontend never displaces an older one, and the oldest waiting Frontend gets the room that becomes free.

use std::collections::BTreeSet;

use super::{Entry, Frontends, assembly::rejection};
use crate::{
    claims::{Age, Outcome},
    node_addresses::NodeAddresses,
};
use maglev_model::{
    Name,
    problem::{Problem, Reason},
    vip::TableLength,
};

/// The table of a Frontend that is served unless the node is full.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Table {
    pub age: Age,
    pub length: TableLength,
}

/// A set of tables.
#[derive(Debug, Default)]
pub struct Tables {
    by_age: BTreeSet<Table>,
    /// Number of entries of all tables.
    entries: u64,
    /// The limit of the last decision; `None` after a change of a table.
    decided: Option<u64>,
}

impl Tables {
    /// Replaces the table of a Frontend.
    pub fn replace(&mut self, before: Option<Table>, after: Option<Table>) {
        if before == after {
            return;
        }
        self.decided = None;
        if let Some(table) = before
            && self.by_age.remove(&table)
        {
            self.entries -= u64::from(table.length.get());
        }
        if let Some(table) = after {
            self.entries += u64::from(table.length.get());
            self.by_age.insert(table);
        }
    }

    /// The Frontends whose tables do not fit into `max` entries.
    fn excess(&self, max: u64) -> BTreeSet<Name> {
        let (mut left, mut excess) = (max, BTreeSet::new());
        if self.entries <= max {
            return excess;
        }
        for Table { age, length } in &self.by_age {
            match left.checked_sub(length.get().into()) {
                Some(rest) => left = rest,
                None => drop(excess.insert(age.name.clone())),
            }
        }
        excess
    }
}

impl Entry {
    /// The table of a Frontend that is served unless the node is full.
    fn wanted_table(&self, nodes: &NodeAddresses) -> Option<Table> {
        let is_held = self.outcome != Outcome::Granted
            || rejection(self, nodes).is_some()
            || self.resolution.as_ref().is_none_or(|resolution| resolution.held.is_some());
        let (settings, _) = (self.read.settings()?, self.read.vip()?);
        (!is_held).then(|| Table { age: self.meta.age(), length: settings.table_length })
    }
}

impl Frontends {
    /// Decides which Frontends wait for room, after those of `unsettled` have changed, and adds the Frontends for which that
    /// changed.
    pub fn admit(&mut self, max: Option<u32>, unsettled: &mut BTreeSet<Name>) {
        for name in &*unsettled {
            if let Some(entry) = self.entries.get_mut(name) {
                let table = entry.wanted_table(&self.nodes);
                let before = std::mem::replace(&mut entry.table, table.clone());
                self.tables.replace(before, table);
            }
        }
        let max = max.map_or(u64::MAX, u64::from);
        // A full node has many Frontends that wait, so they are looked at only if a table or the limit has changed.
        if self.tables.decided.replace(max) == Some(max) {
            return;
        }
        let excess = self.tables.excess(max);
        let before = std::mem::replace(&mut self.excess, excess.clone());
        for name in before.union(&excess) {
            let Some(entry) = self.entries.get_mut(name) else { continue };
            let length = entry.table.as_ref().map_or(TableLength::DEFAULT, |table| table.length);
            let full = excess.contains(name).then(|| node_full(name, length, max));
            if entry.full != full {
                entry.full = full;
                unsettled.insert(name.clone());
            }
        }
    }
}

/// The problem of a Frontend whose table does not fit.
fn node_full(name: &Name, length: TableLength, max: u64) -> Problem {
    let message = format!(
        "Frontend {name}: spec.tableLength {} does not fit beside the tables of older Frontends, because this node \
         allows {max} buckets in all: use smaller tables, or raise spec.vpp.maxTableEntries of the LoadBalancerConfig \
         if VPP has the memory; until then VPP is left as it is",
        length.get()
    );
    Problem::new(Reason::NodeFull, "spec.tableLength", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oldest_tables_that_fit_are_served() {
        let table = |created: i64, name: &str, length: u32| Table {
            age: Age { created: jiff::Timestamp::from_second(created).unwrap(), name: Name::namespaced("shop", name) },
            length: TableLength::new(length).unwrap(),
        };
        let mut tables = Tables::default();
        let all = [table(1, "old", 1024), table(2, "big", 4096), table(3, "young", 512)];
        all.into_iter().for_each(|table| tables.replace(None, Some(table)));
        let names = |max| tables.excess(max).iter().map(|name| name.name().to_owned()).collect::<Vec<_>>();
        assert_eq!(names(5632), [""; 0]);
        assert_eq!(names(5631), ["young"]);
        assert_eq!(names(5119), ["big"], "a younger table fits into the rest");
        assert_eq!(names(1535), ["big", "young"]);
        assert_eq!(names(0), ["big", "old", "young"]);
    }
}
