//! Tests of links that fail: the reported state, and the state that is kept.

use super::{super::*, TestFleet, fast_timings, forwarder::Forwarder};
use maglev_model::{Name, change::Change, event::FrontendState};
use maglev_telemetry::BusLimits;
use maglev_testkit::{AgentServer, within};

fn web() -> Name {
    Name::namespaced("shop", "web")
}

async fn node(epoch: u64, state: FrontendState) -> AgentServer {
    let node = AgentServer::start(epoch, BusLimits::default()).await;
    node.events.emit_change(Change::Frontend(web(), state, None));
    node.settled(1).await;
    node
}

fn connected<M: Mirror>(state: &NodeState<M>) -> bool {
    state.reporting()
}

#[tokio::test]
async fn unreachable_agent_keeps_its_last_state_and_the_error() {
    let node = node(1, FrontendState::Up).await;
    let forwarder = Forwarder::new(node.address).await;
    let mut fleet = TestFleet::<View>::start(&[forwarder.address], fast_timings());
    let state = fleet.until("node-a", "connected", connected).await;
    assert_eq!(state.view.frontend_state(&web()), FrontendState::Up);
    assert_eq!(fleet.handle.names(), ["node-a".into()], "the node is renamed from its address");

    forwarder.redirect(None);
    let unreachable = |state: &NodeState| matches!(state.link, LinkState::Unreachable { .. });
    let state = fleet.until("node-a", "unreachable", unreachable).await;
    assert!(!state.reporting());
    assert_eq!(state.view.frontend_state(&web()), FrontendState::Up, "the last state is kept");
    let LinkState::Unreachable { error, since, .. } = state.link else { panic!("the node is unreachable") };
    assert!(!error.is_empty());
    let failures = || {
        fleet
            .handle
            .0
            .cell("node-a")
            .expect("the node exists")
            .link_counters
            .failures
            .load(std::sync::atomic::Ordering::Relaxed)
    };
    let before = failures();
    let again = move |_: &NodeState| failures() > before + 1;
    let still = {
        let handle = fleet.handle.clone();
        within(async {
            while !again(&handle.node("node-a").expect("the node exists")) {
                tokio::task::yield_now().await;
            }
            handle.node("node-a").expect("the node exists")
        })
        .await
    };
    assert!(matches!(still.link, LinkState::Unreachable { since: now, .. } if now == since), "since the first failure");

    forwarder.redirect(Some(node.address));
    fleet.until("node-a", "connected again", connected).await;
    fleet.stop().await;
    node.stop().await;
}

#[tokio::test]
async fn restarted_agent_replaces_the_mirror() {
    let first = node(1, FrontendState::Up).await;
    let forwarder = Forwarder::new(first.address).await;
    let mut fleet = TestFleet::<View>::start(&[forwarder.address], fast_timings());
    fleet.until("node-a", "connected", connected).await;
    let second = node(2, FrontendState::Down).await;
    forwarder.redirect(Some(second.address));
    first.stop().await;
    let state = fleet
        .until("node-a", "the second run is followed", |state| {
            state.reporting() && state.as_of.is_some_and(|as_of| as_of.epoch == 2)
        })
        .await;
    assert_eq!(state.view.frontend_state(&web()), FrontendState::Down);
    assert_eq!(state.version.map(|version| version.epoch), Some(2));
    fleet.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn agent_of_another_node_is_refused() {
    let node = node(1, FrontendState::Up).await;
    let target = AgentTarget {
        pod: Some(Name::namespaced("lb", "maglevd-x")),
        uid: "u".into(),
        node: Some("node-b".into()),
        address: node.address,
        tls_address: None,
        others: Vec::new(),
    };
    let options = FleetOptions { timings: fast_timings(), ..FleetOptions::default() };
    let mut fleet: Fleet = Fleet::new(Source::Addresses(Vec::new()), options);
    fleet.set_targets([("node-b".into(), target)].into());
    let (handle, mut updates) = (fleet.handle(), fleet.handle().subscribe());
    let error = within(async {
        loop {
            if let Some(LinkState::Unreachable { error, .. }) = handle.node("node-b").map(|state| state.link) {
                return error;
            }
            updates.next().await;
        }
    })
    .await;
    assert_eq!(&*error, "expected the agent of node node-b at this address, but it reports node node-a");
    let end = CancellationToken::new();
    end.cancel();
    within(fleet.run(end)).await;
    node.stop().await;
}

/// A mirror that counts resets and changes, without loops.
#[derive(Clone, Debug, Default, PartialEq)]
struct Count {
    resets: u32,
    changes: u32,
}

impl maglev_model::view::Fold for Count {
    fn reset(&mut self, _: &View) {
        self.resets += 1;
    }

    fn apply(&mut self, _: &Change, _: jiff::Timestamp) {
        self.changes += 1;
    }
}

impl Mirror for Count {
    const LOOPS: Loops = Loops::NONE;
}

#[tokio::test]
async fn mirror_without_loops_sends_no_periodic_requests() {
    let node = node(1, FrontendState::Up).await;
    node.dump.send_replace(None);
    let mut fleet = TestFleet::<Count>::start(&[node.address], fast_timings());
    fleet.until("node-a", "connected", connected).await;
    node.events.emit_change(Change::Frontend(web(), FrontendState::Down, None));
    let state = fleet.until("node-a", "the change has arrived", |state| state.view.changes > 0).await;
    assert_eq!(state.view, Count { resets: 1, changes: 1 });
    let metrics = node.metrics();
    assert!(metrics.contains("GetState"), "{metrics}");
    for call in ["GetVppLbState", "GetVppLbCounters"] {
        assert!(!metrics.contains(call), "{call} in\n{metrics}");
    }
    fleet.stop().await;
    node.stop().await;
}

#[tokio::test]
async fn link_metrics_are_removed_with_the_node() {
    let node = node(1, FrontendState::Up).await;
    let options = FleetOptions { timings: fast_timings(), ..FleetOptions::default() };
    let mut fleet: Fleet = Fleet::new(Source::Addresses(Vec::new()), options);
    let registry = Registry::new();
    fleet.register(&registry).expect("the registry is empty");
    let text = || prometheus::TextEncoder::new().encode_to_string(&registry.gather()).expect("valid metrics");
    let target = AgentTarget {
        pod: None,
        uid: "".into(),
        node: Some("node-a".into()),
        address: node.address,
        tls_address: None,
        others: Vec::new(),
    };
    fleet.set_targets([("node-a".into(), target)].into());
    let mut updates = fleet.handle().subscribe();
    let connected = "maglev_agent_link_state{node=\"node-a\",state=\"connected\"} 1";
    within(async {
        while !text().contains(connected) {
            updates.next().await;
        }
    })
    .await;
    assert!(text().contains("maglev_agent_link_connects_total{node=\"node-a\"} 1"), "{}", text());
    fleet.set_targets(BTreeMap::new());
    assert!(!text().contains("node-a"), "{}", text());
    node.stop().await;
}
