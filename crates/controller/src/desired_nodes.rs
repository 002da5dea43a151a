//! Which nodes are to have what the Frontends say.
//!
//! A node is desired from the moment a maglevd pod is bound to it. It leaves when its Node is gone or has not been Ready
//! for over a minute, or when no maglevd pod has been bound to it for five minutes: a rolling restart changes nothing.
//! A leader that has just begun takes the MaglevNodes for word of its predecessor.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use tokio::time::Instant;

/// So long a Node may be NotReady.
const NOT_READY_FOR: Duration = Duration::from_mins(1);
/// So long a node may be without a maglevd pod.
const UNBOUND_FOR: Duration = Duration::from_mins(5);

/// What is known of the nodes.
#[derive(Debug, Default)]
pub struct DesiredNodes {
    /// Since when each Node is not Ready.
    nodes: BTreeMap<Arc<str>, Option<Timestamp>>,
    bound: BTreeSet<Arc<str>>,
    /// Nodes that had a pod, and since when they have none.
    unbound: BTreeMap<Arc<str>, Instant>,
    /// Nodes that were desired before this leader began.
    inherited: BTreeSet<Arc<str>>,
}

impl DesiredNodes {
    /// All Nodes, each with since when it is not Ready.
    pub fn set_nodes(&mut self, nodes: BTreeMap<Arc<str>, Option<Timestamp>>) {
        self.nodes = nodes;
    }

    /// The nodes that maglevd pods are bound to.
    pub fn set_bound(&mut self, bound: BTreeSet<Arc<str>>, now: Instant) {
        for node in self.bound.difference(&bound) {
            self.unbound.insert(Arc::clone(node), now);
        }
        self.unbound.retain(|node, _| !bound.contains(node));
        self.bound = bound;
    }

    /// The nodes that an earlier leader wrote of. To be said after the first word on pods.
    pub fn inherit(&mut self, nodes: impl IntoIterator<Item = Arc<str>>, now: Instant) {
        for node in nodes {
            if !self.bound.contains(&node) {
                self.unbound.entry(Arc::clone(&node)).or_insert(now);
            }
            self.inherited.insert(node);
        }
    }

    /// Whether an earlier leader knew the node already.
    pub fn is_inherited(&self, node: &str) -> bool {
        self.inherited.contains(node)
    }

    /// The nodes that have or had an agent just now, whatever state they are in: those with a MaglevNode.
    pub fn present(&self, now: Instant) -> BTreeSet<Arc<str>> {
        let lately = |since: &Instant| now.saturating_duration_since(*since) < UNBOUND_FOR;
        let unbound = self.unbound.iter().filter(|(_, since)| lately(since)).map(|(node, _)| node);
        self.bound.iter().chain(unbound).filter(|node| self.nodes.contains_key(*node)).cloned().collect()
    }

    /// The nodes that are to have what the Frontends say.
    pub fn desired(&self, now: Instant, wall: Timestamp) -> BTreeSet<Arc<str>> {
        let mut desired = self.present(now);
        desired.retain(|node| match self.nodes.get(node) {
            Some(Some(since)) => {
                wall.duration_since(*since) <= jiff::SignedDuration::try_from(NOT_READY_FOR).unwrap_or_default()
            }
            Some(None) => true,
            None => false,
        });
        desired
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(of: &BTreeSet<Arc<str>>) -> Vec<&str> {
        of.iter().map(|name| &**name).collect()
    }

    fn set(of: &[&str]) -> BTreeSet<Arc<str>> {
        of.iter().map(|name| Arc::from(*name)).collect()
    }

    fn ready(of: &[&str]) -> BTreeMap<Arc<str>, Option<Timestamp>> {
        of.iter().map(|name| (Arc::from(*name), None)).collect()
    }

    const WALL: Timestamp = Timestamp::UNIX_EPOCH;

    #[test]
    fn a_node_is_desired_from_its_pods_binding_until_five_minutes_after_its_last_pod() {
        let (mut nodes, start) = (DesiredNodes::default(), Instant::now());
        nodes.set_nodes(ready(&["a", "b"]));
        assert!(nodes.desired(start, WALL).is_empty(), "a Node alone is not enough");
        nodes.set_bound(set(&["a"]), start);
        assert_eq!(names(&nodes.desired(start, WALL)), ["a"]);
        nodes.set_bound(set(&[]), start);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(names(&nodes.desired(at(299), WALL)), ["a"]);
        assert!(nodes.desired(at(300), WALL).is_empty());
        // A pod that comes in time starts all over.
        nodes.set_bound(set(&["a"]), at(200));
        nodes.set_bound(set(&[]), at(400));
        assert_eq!(names(&nodes.desired(at(699), WALL)), ["a"]);
    }

    #[test]
    fn a_node_leaves_with_its_node_or_a_minute_after_it_is_not_ready() {
        let (mut nodes, now) = (DesiredNodes::default(), Instant::now());
        nodes.set_bound(set(&["a", "b", "gone"]), now);
        let mut of = ready(&["a"]);
        of.insert("b".into(), Some(WALL));
        nodes.set_nodes(of);
        let at = |seconds| Timestamp::from_second(seconds).expect("a time");
        assert_eq!(names(&nodes.desired(now, at(60))), ["a", "b"]);
        assert_eq!(names(&nodes.desired(now, at(61))), ["a"]);
        assert_eq!(names(&nodes.present(now)), ["a", "b"], "it keeps its MaglevNode");
    }

    #[test]
    fn a_new_leader_takes_over_nodes_whose_pod_is_away() {
        let (mut nodes, now) = (DesiredNodes::default(), Instant::now());
        nodes.set_nodes(ready(&["a", "b", "new"]));
        nodes.set_bound(set(&["a", "new"]), now);
        nodes.inherit(set(&["a", "b"]), now);
        assert_eq!(names(&nodes.desired(now, WALL)), ["a", "b", "new"]);
        assert!(nodes.is_inherited("b") && !nodes.is_inherited("new"));
        assert_eq!(names(&nodes.desired(now + UNBOUND_FOR, WALL)), ["a", "new"]);
    }
}
