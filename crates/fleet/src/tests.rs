//! Links to real servers with the real bus, through a connection that can be cut.

mod following;
mod link;
mod questions;
mod road;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::*;
use maglev_kube::AgentPod;
use maglev_model::Name;
use maglev_testkit::within;

/// Times for tests: whatever is asked now and then is asked often.
fn quick() -> Timings {
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
struct Running<M = View> {
    handle: FleetHandle<M>,
    updates: Updates,
    task: JoinHandle<()>,
    end: DropGuard,
}

impl<M: Mirror> Running<M> {
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

    /// Waits until `node` is so.
    async fn until(&mut self, node: &str, what: &str, wanted: impl Fn(&NodeState<M>) -> bool) -> NodeState<M> {
        let waiting = async {
            loop {
                if let Some(state) = self.handle.node(node).filter(|state| wanted(state)) {
                    return state;
                }
                self.next().await;
            }
        };
        let found = tokio::time::timeout(Duration::from_secs(30), waiting).await;
        found.unwrap_or_else(|_| panic!("not within 30 s: {what}"))
    }

    async fn stop(self) {
        drop(self.end);
        within(self.task).await.expect("it does not panic");
    }
}

fn pod(name: &str, node: &str, terminating: bool) -> (Name, AgentPod) {
    let name = Name::namespaced("lb", name);
    let (uid, node) = (name.as_str().into(), node.into());
    (name.clone(), AgentPod { name, uid, node, ip: [10, 0, 0, 1].into(), port: 9090, terminating })
}

#[test]
fn each_node_has_one_agent_and_an_ending_one_only_while_there_is_no_other() {
    let pods =
        [pod("a", "node-a", true), pod("b", "node-b", true), pod("c", "node-b", false), pod("d", "node-b", true)];
    let chosen = targets(&pods.into_iter().collect());
    let chosen: Vec<_> = chosen.iter().map(|(node, target)| format!("{node} {target}")).collect();
    assert_eq!(chosen, ["node-a lb/a (10.0.0.1:9090)", "node-b lb/c (10.0.0.1:9090)"]);
}

#[tokio::test]
async fn a_node_without_a_pod_is_gone_and_a_new_pod_goes_on_with_what_was_known() {
    let mut fleet: Fleet = Fleet::new(Source::Addresses(Vec::new()), FleetOptions::default());
    let handle = fleet.handle();
    let target = |name, node| BTreeMap::from([(Arc::from(node), Target::from(&pod(name, node, false).1))]);
    fleet.set(target("a", "node-a"));
    handle.0.cell("node-a").expect("it is there").state().as_of = Some(AsOf { epoch: 1, seq: 7 });
    let mut updates = handle.subscribe();
    fleet.set(target("b", "node-a"));
    let state = handle.node("node-a").expect("it is there");
    assert_eq!((state.as_of.map(|as_of| as_of.seq), &*state.target.uid), (Some(7), "lb/b"));
    assert!(!state.reporting(), "nobody has answered");
    fleet.set(target("c", "node-c"));
    assert_eq!(handle.names(), ["node-c".into()]);
    let told = std::iter::from_fn(|| updates.try_next()).map(|update| match update {
        Update::Next(FleetUpdate::Gone(node)) => format!("gone {node}"),
        Update::Next(FleetUpdate::Node(node)) => format!("node {node}"),
        other => format!("{other:?}"),
    });
    let told: Vec<_> = told.filter(|told| !told.ends_with("node-b")).collect();
    assert!(told.contains(&"gone node-a".to_owned()) && told.contains(&"node node-c".to_owned()), "{told:?}");
}
