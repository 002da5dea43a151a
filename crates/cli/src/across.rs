//! One answer made of many nodes': who counts, and how many say the same.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::{Serialize, Serializer};

use super::{
    output::{Cell, Page},
    paint::Tone,
};
use maglev_fleet::NodeState;

/// So many of so many, as `9/10`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    pub(crate) of: usize,
    pub(crate) all: usize,
}

impl Share {
    /// How many of `items` are as `wanted` says.
    pub fn count<T>(items: impl IntoIterator<Item = T>, wanted: impl Fn(T) -> bool) -> Self {
        items
            .into_iter()
            .fold(Self::default(), |share, item| Self { of: share.of + usize::from(wanted(item)), all: share.all + 1 })
    }

    /// In a column: `Good` when all are.
    pub fn cell(self) -> Cell {
        let tone = match self.of {
            of if of == self.all => Tone::Plain,
            0 => Tone::Bad,
            _ => Tone::Warn,
        };
        Cell::toned(self.to_string(), tone)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.of, self.all)
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The value that most have and how many have it; of equals the first.
pub fn common<T: Ord>(values: impl IntoIterator<Item = T>) -> Option<(T, Share)> {
    let mut counts: BTreeMap<T, usize> = BTreeMap::new();
    for value in values {
        *counts.entry(value).or_default() += 1;
    }
    let all = counts.values().sum();
    let (value, of) = counts.into_iter().rev().max_by_key(|(_, count)| *count)?;
    Some((value, Share { of, all }))
}

/// Which nodes an answer is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reach {
    /// The nodes that it is made of, of all that there are.
    nodes: Share,
    /// The others, and why.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    not_reporting: BTreeMap<Arc<str>, String>,
}

impl Reach {
    /// The nodes that report, and what is to be said of the others.
    pub fn split(nodes: Vec<NodeState>) -> (Vec<NodeState>, Self) {
        let (reporting, others): (Vec<_>, Vec<_>) = nodes.into_iter().partition(NodeState::reporting);
        let nodes = Share { of: reporting.len(), all: reporting.len() + others.len() };
        let not_reporting = others.into_iter().map(|node| (Arc::clone(&node.node), node.silence())).collect();
        (reporting, Self { nodes, not_reporting })
    }

    /// Who is missing, at the end of a page; nothing where nobody is.
    pub fn footnote(&self, page: &mut Page) {
        if self.not_reporting.is_empty() {
            return;
        }
        page.gap();
        page.line(Tone::Warn.paint(&format!("{} of {} nodes report", self.nodes.of, self.nodes.all)));
        for (node, why) in &self.not_reporting {
            page.line(format_args!("  {node}: {why}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_most_say_is_told_with_how_many_say_it() {
        let share = |of, all| Share { of, all };
        assert_eq!(common(["up", "down", "up"]), Some(("up", share(2, 3))));
        assert_eq!(common(["up", "down"]), Some(("down", share(1, 2))), "of equals the first by name");
        assert_eq!(common(Vec::<u8>::new()), None);
        assert_eq!(Share::count([1, 2, 3], |number| number > 1).to_string(), "2/3");
    }
}
