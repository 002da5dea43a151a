//! Sticky tables that fill: advice to enlarge them, and no problem yet.

use std::{collections::BTreeMap, sync::Arc};

use crate::NodeState;
use maglev_model::counters::StickyTable;

/// The fullest sticky table of each reporting node on which a table fills.
pub fn filling_tables(nodes: &[NodeState]) -> BTreeMap<Arc<str>, StickyTable> {
    let reporting = nodes.iter().filter(|node| node.reporting());
    reporting.filter_map(|node| Some((Arc::clone(&node.node), fullest(node)?))).collect()
}

fn fullest(node: &NodeState) -> Option<StickyTable> {
    let counters = node.counters.as_ref()?.stats.counters.as_ref()?;
    let filling = counters.sticky_tables.iter().filter(|table| table.is_filling());
    filling.max_by_key(|table| table.percent()).copied()
}

/// The advice for a node with a sticky table that fills.
pub fn sticky_table_advice(node: &str, table: &StickyTable) -> String {
    let (percent, StickyTable { thread, entries, capacity }) = (table.percent(), table);
    format!(
        "the sticky table of VPP on node {node} is {percent} % full (thread {thread}: {entries} of {capacity} flows); \
         flows whose bucket is full are not tracked and can move when a weight changes: raise \
         vpp.stickyBucketsPerCore of the LoadBalancerConfig"
    )
}
