//! The Frontends about which nodes differ: since when, and by how much once they have differed for longer than a change
//! takes to reach all nodes.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use tokio::time::Instant;

use super::row::{self, NodeReport};
use crate::document::{Disagreement, Time, round_rate};
use maglev_fleet::survey::{NodeTables, TableDifference};
use maglev_model::Name;

/// Nodes disagree only if they differ for this long, because changes do not reach all of them at once.
pub const DISAGREE_AFTER: Duration = Duration::from_secs(10);

/// The present time on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For durations.
    pub(crate) monotonic: Instant,
    /// For timestamps.
    pub(crate) wall: Timestamp,
}

/// A Frontend about which nodes differ.
#[derive(Debug)]
struct Difference {
    since: Now,
    /// True once nodes have differed for [`DISAGREE_AFTER`].
    is_lasting: bool,
    /// The tables that `result` was computed from. Rows change with every reading of the counters, tables rarely.
    tables: NodeTables,
    result: Option<TableDifference>,
}

impl Difference {
    fn new(since: Now) -> Self {
        Self { since, is_lasting: false, tables: NodeTables::new(), result: None }
    }

    fn is_due(&self, now: Instant) -> bool {
        now.duration_since(self.since.monotonic) >= DISAGREE_AFTER
    }
}

/// All Frontends about which nodes differ.
#[derive(Debug, Default)]
pub struct Disagreements(BTreeMap<Name, Difference>);

impl Disagreements {
    /// Records the reports about a Frontend. `None` unless comparable nodes have differed for too long; the second part
    /// is `None` if their tables are equal.
    pub fn observe(
        &mut self,
        name: &Name,
        reports: &[NodeReport<'_>],
        now: Now,
    ) -> Option<(Disagreement, Option<&TableDifference>)> {
        if !row::differ(reports) {
            self.0.remove(name);
            return None;
        }
        let difference = self.0.entry(name.clone()).or_insert_with(|| Difference::new(now));
        difference.is_lasting = difference.is_due(now.monotonic);
        if !difference.is_lasting {
            return None;
        }
        let tables = row::tables(reports);
        if tables != difference.tables {
            difference.result = TableDifference::between(&tables);
            difference.tables = tables;
        }
        let result = difference.result.as_ref();
        let since = Time(difference.since.wall);
        let percent =
            result.map_or(0.0, |tables| round_rate(tables.percent).max(if tables.percent > 0.0 { 0.1 } else { 0.0 }));
        let nodes = result.map(|tables| tables.nodes.clone()).unwrap_or_default();
        let majority = result.is_some_and(|tables| tables.has_majority);
        Some((Disagreement { since, percent, nodes, majority }, result))
    }

    /// The Frontends whose differences have become lasting since they were last observed.
    pub fn newly_lasting(&self, now: Instant) -> impl Iterator<Item = &Name> {
        let is_new = move |difference: &Difference| !difference.is_lasting && difference.is_due(now);
        self.0.iter().filter(move |(_, difference)| is_new(difference)).map(|(name, _)| name)
    }

    /// Time of the next change that follows from time alone.
    pub fn due(&self) -> Option<Instant> {
        let waiting = self.0.values().filter(|difference| !difference.is_lasting);
        waiting.map(|difference| difference.since.monotonic + DISAGREE_AFTER).min()
    }
}
