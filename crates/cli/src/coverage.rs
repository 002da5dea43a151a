//! Folds the states of many nodes into one: the reporting nodes, and the number of nodes that agree.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::{Serialize, Serializer};

use super::{
    output::{Cell, Page},
    style::Style,
};
use maglev_fleet::NodeState;

/// A count out of a total, shown as `9/10`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ratio {
    pub(crate) count: usize,
    pub(crate) total: usize,
}

impl Ratio {
    /// The ratio of the items that match `predicate`.
    pub fn count<T>(items: impl IntoIterator<Item = T>, predicate: impl Fn(T) -> bool) -> Self {
        items.into_iter().fold(Self::default(), |ratio, item| Self {
            count: ratio.count + usize::from(predicate(item)),
            total: ratio.total + 1,
        })
    }

    /// A cell with the style of a problem unless the ratio is complete.
    pub fn cell(self) -> Cell {
        let style = match self.count {
            count if count == self.total => Style::Plain,
            0 => Style::Bad,
            _ => Style::Warn,
        };
        Cell::styled(self.to_string(), style)
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.total)
    }
}

impl Serialize for Ratio {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The most frequent value and its ratio; the smallest of equally frequent values.
pub fn most_frequent<T: Ord>(values: impl IntoIterator<Item = T>) -> Option<(T, Ratio)> {
    let mut counts: BTreeMap<T, usize> = BTreeMap::new();
    for value in values {
        *counts.entry(value).or_default() += 1;
    }
    let total = counts.values().sum();
    let (value, count) = counts.into_iter().rev().max_by_key(|(_, count)| *count)?;
    Some((value, Ratio { count, total }))
}

/// The nodes that an output covers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeCoverage {
    /// The reporting nodes out of all nodes.
    nodes: Ratio,
    /// The other nodes, each with the reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    not_reporting: BTreeMap<Arc<str>, String>,
}

impl NodeCoverage {
    /// Returns the reporting nodes, and the coverage.
    pub fn split(nodes: Vec<NodeState>) -> (Vec<NodeState>, Self) {
        let (reporting, others): (Vec<_>, Vec<_>) = nodes.into_iter().partition(NodeState::reporting);
        let nodes = Ratio { count: reporting.len(), total: reporting.len() + others.len() };
        let not_reporting =
            others.into_iter().map(|node| (Arc::clone(&node.node), node.unreachable_reason())).collect();
        (reporting, Self { nodes, not_reporting })
    }

    /// True if there are nodes and all of them report.
    pub fn all_report(&self) -> bool {
        self.nodes.count > 0 && self.not_reporting.is_empty()
    }

    /// Lists the nodes that do not report at the end of a page; prints nothing if all report.
    pub fn footnote(&self, page: &mut Page) {
        if self.not_reporting.is_empty() {
            return;
        }
        page.gap();
        page.styled(Style::Warn, format_args!("{} of {} nodes report", self.nodes.count, self.nodes.total));
        for (node, reason) in &self.not_reporting {
            page.line(format_args!("  {node}: {reason}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_frequent_value_comes_with_its_ratio() {
        let ratio = |count, total| Ratio { count, total };
        assert_eq!(most_frequent(["up", "down", "up"]), Some(("up", ratio(2, 3))));
        assert_eq!(most_frequent(["up", "down"]), Some(("down", ratio(1, 2))), "of equals the smallest");
        assert_eq!(most_frequent(Vec::<u8>::new()), None);
        assert_eq!(Ratio::count([1, 2, 3], |number| number > 1).to_string(), "2/3");
    }
}
