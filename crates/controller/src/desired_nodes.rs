//! Decides which nodes are to serve the Frontends.
//!
//! A node is desired as soon as a maglevd pod is bound to it. It is no longer desired once its Node is deleted or has not
//! been Ready for over a minute, or once no maglevd pod has been bound to it for five minutes; a rolling restart
//! therefore changes nothing. A new leader takes over the nodes of its predecessor from the MaglevNodes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use tokio::time::Instant;

/// A Node that has been NotReady for longer is not desired.
const NOT_READY_FOR: Duration = Duration::from_mins(1);
/// A node that has been without a maglevd pod for this long is not present.
const UNBOUND_FOR: Duration = Duration::from_mins(5);

/// The Nodes, and the nodes with a maglevd pod.
#[derive(Debug, Default)]
pub struct DesiredNodes {
    /// The time since which each Node is not Ready; `None` if it is Ready.
    nodes: BTreeMap<Arc<str>, Option<Timestamp>>,
    /// Nodes with a maglevd pod.
    bound: BTreeSet<Arc<str>>,
    /// Nodes that lost their maglevd pod, with the time of the loss.
    unbound: BTreeMap<Arc<str>, Instant>,
    /// Nodes that the previous leader knew.
    inherited: BTreeSet<Arc<str>>,
}

impl DesiredNodes {
    /// Replaces all Nodes. The value is the time since which a Node is not Ready.
    pub fn set_nodes(&mut self, nodes: BTreeMap<Arc<str>, Option<Timestamp>>) {
        self.nodes = nodes;
    }

    /// Replaces the nodes that maglevd pods are bound to.
    pub fn set_bound(&mut self, bound: BTreeSet<Arc<str>>, now: Instant) {
        for node in self.bound.difference(&bound) {
            self.unbound.insert(Arc::clone(node), now);
        }
        self.unbound.retain(|node, _| !bound.contains(node));
        self.bound = bound;
    }

    /// Adds the nodes of the previous leader. Must be called after the first call of [`Self::set_bound`].
    pub fn inherit(&mut self, nodes: impl IntoIterator<Item = Arc<str>>, now: Instant) {
        for node in nodes {
            if !self.bound.contains(&node) {
                self.unbound.entry(Arc::clone(&node)).or_insert(now);
            }
            self.inherited.insert(node);
        }
    }

    /// True if the previous leader knew the node.
    pub fn is_inherited(&self, node: &str) -> bool {
        self.inherited.contains(node)
    }

    /// The nodes that have an agent, or had one recently, Ready or not. Each of them has a MaglevNode.
    pub fn present(&self, now: Instant) -> BTreeSet<Arc<str>> {
        let is_recent = |since: &Instant| now.saturating_duration_since(*since) < UNBOUND_FOR;
        let unbound = self.unbound.iter().filter(|(_, since)| is_recent(since)).map(|(node, _)| node);
        self.bound.iter().chain(unbound).filter(|node| self.nodes.contains_key(*node)).cloned().collect()
    }

    /// The nodes that are to serve the Frontends.
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

    fn names(nodes: &BTreeSet<Arc<str>>) -> Vec<&str> {
        nodes.iter().map(|name| &**name).collect()
    }

    fn set(names: &[&str]) -> BTreeSet<Arc<str>> {
        names.iter().map(|name| Arc::from(*name)).collect()
    }

    fn ready(names: &[&str]) -> BTreeMap<Arc<str>, Option<Timestamp>> {
        names.iter().map(|name| (Arc::from(*name), None)).collect()
    }

    const WALL: Timestamp = Timestamp::UNIX_EPOCH;

    #[test]
    fn node_is_desired_until_five_minutes_after_its_last_pod() {
        let (mut nodes, start) = (DesiredNodes::default(), Instant::now());
        nodes.set_nodes(ready(&["a", "b"]));
        assert!(nodes.desired(start, WALL).is_empty(), "a Node without a pod is not desired");
        nodes.set_bound(set(&["a"]), start);
        assert_eq!(names(&nodes.desired(start, WALL)), ["a"]);
        nodes.set_bound(set(&[]), start);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(names(&nodes.desired(at(299), WALL)), ["a"]);
        assert!(nodes.desired(at(300), WALL).is_empty());
        // A pod that is bound in time restarts the five minutes.
        nodes.set_bound(set(&["a"]), at(200));
        nodes.set_bound(set(&[]), at(400));
        assert_eq!(names(&nodes.desired(at(699), WALL)), ["a"]);
    }

    #[test]
    fn node_is_not_desired_once_deleted_or_not_ready_for_a_minute() {
        let (mut nodes, now) = (DesiredNodes::default(), Instant::now());
        nodes.set_bound(set(&["a", "b", "deleted"]), now);
        let mut not_ready_since = ready(&["a"]);
        not_ready_since.insert("b".into(), Some(WALL));
        nodes.set_nodes(not_ready_since);
        let at = |seconds| Timestamp::from_second(seconds).expect("the time is in range");
        assert_eq!(names(&nodes.desired(now, at(60))), ["a", "b"]);
        assert_eq!(names(&nodes.desired(now, at(61))), ["a"]);
        assert_eq!(names(&nodes.present(now)), ["a", "b"], "a NotReady node keeps its MaglevNode");
    }

    #[test]
    fn new_leader_inherits_nodes_without_a_pod() {
        let (mut nodes, now) = (DesiredNodes::default(), Instant::now());
        nodes.set_nodes(ready(&["a", "b", "new"]));
        nodes.set_bound(set(&["a", "new"]), now);
        nodes.inherit(set(&["a", "b"]), now);
        assert_eq!(names(&nodes.desired(now, WALL)), ["a", "b", "new"]);
        assert!(nodes.is_inherited("b") && !nodes.is_inherited("new"));
        assert_eq!(names(&nodes.desired(now + UNBOUND_FOR, WALL)), ["a", "new"]);
    }
}
