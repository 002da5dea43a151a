//! Differences between nodes about one Frontend: states and weights of its Backends, and its new-flow tables in VPP.

use std::{collections::BTreeSet, fmt, sync::Arc};

use super::{Facts, MAX_LISTED, MemberFact};
use crate::NodeState;
use maglev_model::{Name, table_change::TableSpec, table_fingerprint::TableSplit};

/// The table of a Frontend's VIP in the VPP of each node.
pub type NodeTables = Vec<(Arc<str>, TableSpec)>;

/// The tables that nodes have for the VIP of one Frontend, as far as they differ.
#[derive(Clone, Debug, PartialEq)]
pub struct TableDifference {
    /// Largest share of the buckets, in percent, in which the table of a node differs from that of most nodes, or from
    /// that of the first node if no table has a majority.
    pub percent: f64,
    /// Nodes whose table is not that of the majority; without a majority all of them.
    pub nodes: Vec<Arc<str>>,
    /// True if more than half of the nodes have the same table.
    pub has_majority: bool,
}

impl TableDifference {
    /// Compares the tables; `None` if they are equal. Computes each distinct table, so its result should be kept.
    pub fn between(tables: &[(Arc<str>, TableSpec)]) -> Option<Self> {
        let TableSplit { nodes, has_majority, reference, others } = TableSplit::between(tables)?;
        let percent = others.iter().map(|other| reference.differing_percent(other)).fold(0.0, f64::max);
        Some(Self { percent, nodes, has_majority })
    }

    /// The share of the buckets, `33.1 %`. A share that is not 0 is never shown as 0.
    pub fn share(&self) -> String {
        format!("{:.1} %", if self.percent > 0.0 { self.percent.max(0.1) } else { 0.0 })
    }
}

/// `33.1 % of buckets differ on node-b`.
impl fmt::Display for TableDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listed: Vec<&str> = self.nodes.iter().take(MAX_LISTED).map(|node| &**node).collect();
        let place = if self.has_majority { "on" } else { "between" };
        write!(f, "{} of buckets differ {place} {}", self.share(), listed.join(", "))?;
        match self.nodes.len().saturating_sub(MAX_LISTED) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// The tables of the nodes that do not withdraw the Frontend and whose VPP has the VIP.
pub fn tables<'a>(facts: impl Iterator<Item = (&'a Arc<str>, &'a Facts)>) -> NodeTables {
    let facts = facts.filter(|(_, facts)| !facts.withdrawn);
    facts.filter_map(|(node, facts)| Some((Arc::clone(node), facts.table.clone()?))).collect()
}

/// True if nodes differ in the state or the effective weight of a Backend, or in the new-flow table that VPP has. Nodes
/// that withdraw the Frontend are ignored, and so are tables that VPP does not have or did not report.
pub fn differ<'a>(facts: impl Iterator<Item = &'a Facts> + Clone) -> bool {
    let facts = facts.filter(|facts| !facts.withdrawn);
    let mut tables = facts.clone().filter_map(|facts| facts.table.as_ref());
    let mut members = facts.map(|facts| &facts.members);
    let key = |member: &'a MemberFact| (&member.backend, member.state, member.effective);
    tables.next().is_some_and(|first| tables.any(|other| other != first))
        || members.next().is_some_and(|first| members.any(|other| !first.iter().map(key).eq(other.iter().map(key))))
}

/// The Frontends about which reporting nodes with VPP differ at this moment.
pub fn disagreeing(nodes: &[NodeState]) -> BTreeSet<Name> {
    let comparable: Vec<_> = nodes.iter().filter(|node| node.comparable()).collect();
    let names: BTreeSet<&Name> = comparable.iter().flat_map(|node| node.view.frontends.keys()).collect();
    let differs = |name: &&Name| {
        let facts: Vec<_> = comparable.iter().filter_map(|node| Facts::from_view(&node.view, name)).collect();
        differ(facts.iter())
    };
    names.into_iter().filter(differs).cloned().collect()
}
