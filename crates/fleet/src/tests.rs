//! Tests of links to real servers with the real event bus, through a connection that can be cut.

mod age;
mod following;
mod forwarder;
mod link;
mod polling;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::*;
use maglev_kube::AgentPod;
use maglev_model::Name;
use maglev_testkit::within;

/// Short intervals.
fn fast_timings() -> Timings {
    Timings {
        health: Duration::from_millis(50),
        refresh: Duration::from_secs(3600),
        counters: Duration::from_millis(50),
        dumps: Duration::from_millis(50),
        retry_min: Duration::from_millis(10),
        retry_max: Duration::from_millis(50),
        ..Timings::default()
    }
}

/// A fleet that runs until it is dropped.
struct TestFleet<M = View> {
    handle: FleetHandle<M>,
    updates: Updates,
    task: JoinHandle<()>,
    end: DropGuard,
}

impl<M: Mirror> TestFleet<M> {
    fn start(addresses: &[SocketAddr], timings: Timings) -> Self {
        let options = FleetOptions { timings, ..FleetOptions::default() };
        let fleet = Fleet::new(Source::Addresses(addresses.to_vec()), options);
        let (handle, end) = (fleet.handle(), CancellationToken::new());
        let updates = handle.subscribe();
        let task = tokio::spawn(fleet.run(end.clone()));
        Self { handle, updates, task, end: end.drop_guard() }
    }

    async fn next(&mut self) -> FleetUpdate {
        match within(self.updates.next()).await.expect("the fleet runs") {
            Update::Next(update) => update,
            Update::Lost(lost) => panic!("{lost} updates were lost"),
        }
    }

    /// Waits until `condition` holds for the state of `node`.
    async fn until(
        &mut self,
        node: &str,
        description: &str,
        condition: impl Fn(&NodeState<M>) -> bool,
    ) -> NodeState<M> {
        let waiting = async {
            loop {
                if let Some(state) = self.handle.node(node).filter(|state| condition(state)) {
                    return state;
                }
                // Lost updates are no error here: the state is read again.
                within(self.updates.next()).await.expect("the fleet runs");
            }
        };
        let result = tokio::time::timeout(Duration::from_secs(30), waiting).await;
        result.unwrap_or_else(|_| panic!("not within 30 s: {description}"))
    }

    async fn stop(self) {
        drop(self.end);
        within(self.task).await.expect("the fleet does not panic");
    }
}

fn pod(name: &str, node: &str, terminating: bool) -> (Name, AgentPod) {
    let name = Name::namespaced("lb", name);
    let (uid, node) = (name.as_str().into(), node.into());
    (name.clone(), AgentPod { name, uid, node, ip: [10, 0, 0, 1].into(), port: 9090, tls_port: None, terminating })
}

#[test]
fn terminating_pod_is_used_only_if_the_node_has_no_other() {
    let pods =
        [pod("a", "node-a", true), pod("b", "node-b", true), pod("c", "node-b", false), pod("d", "node-b", true)];
    let chosen = targets(&pods.into_iter().collect());
    let chosen: Vec<_> = chosen.iter().map(|(node, target)| format!("{node} {target}")).collect();
    assert_eq!(chosen, ["node-a lb/a (10.0.0.1:9090)", "node-b lb/c (10.0.0.1:9090)"]);
}

#[test]
fn several_running_pods_of_a_node_are_an_error_that_names_them() {
    let pods =
        [pod("a", "node-a", false), pod("b", "node-a", false), pod("c", "node-a", true), pod("d", "node-b", false)];
    let targets = targets(&pods.into_iter().collect());
    let error = targets["node-a"].ensure_only().expect_err("two pods run on the node");
    assert!(error.to_string().contains("lb/a and lb/b;"), "{error}");
    assert!(targets["node-b"].ensure_only().is_ok());
}

#[tokio::test]
async fn node_with_several_agents_is_connected_to_none() {
    let options = FleetOptions { timings: fast_timings(), ..FleetOptions::default() };
    let mut fleet: Fleet = Fleet::new(Source::Addresses(Vec::new()), options);
    let (handle, mut updates) = (fleet.handle(), fleet.handle().subscribe());
    let pods = [pod("a", "node-a", false), pod("b", "node-a", false)];
    fleet.set_targets(targets(&pods.into_iter().collect()));
    let error = within(async {
        loop {
            if let Some(LinkState::Unreachable { error, .. }) = handle.node("node-a").map(|state| state.link) {
                return error;
            }
            updates.next().await;
        }
    });
    assert!(error.await.contains("lb/a and lb/b"));
}

#[tokio::test]
async fn node_is_removed_with_its_pod_and_keeps_its_state_for_a_new_pod() {
    let mut fleet: Fleet = Fleet::new(Source::Addresses(Vec::new()), FleetOptions::default());
    let handle = fleet.handle();
    let target = |name, node| BTreeMap::from([(Arc::from(node), AgentTarget::from(&pod(name, node, false).1))]);
    fleet.set_targets(target("a", "node-a"));
    handle.0.cell("node-a").expect("the node exists").state().as_of = Some(AsOf { epoch: 1, seq: 7 });
    let mut updates = handle.subscribe();
    fleet.set_targets(target("b", "node-a"));
    let state = handle.node("node-a").expect("the node exists");
    assert_eq!((state.as_of.map(|as_of| as_of.seq), &*state.target.uid), (Some(7), "lb/b"));
    assert!(!state.reporting(), "no agent has answered");
    fleet.set_targets(target("c", "node-c"));
    assert_eq!(handle.names(), ["node-c".into()]);
    let events = std::iter::from_fn(|| updates.try_next()).map(|update| match update {
        Update::Next(FleetUpdate::Removed(node)) => format!("removed {node}"),
        Update::Next(FleetUpdate::Node(node)) => format!("node {node}"),
        other => format!("{other:?}"),
    });
    let events: Vec<_> = events.filter(|event| !event.ends_with("node-b")).collect();
    assert!(events.contains(&"removed node-a".to_owned()) && events.contains(&"node node-c".to_owned()), "{events:?}");
}
