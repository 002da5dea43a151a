//! A link that does not stand: what is told of it and what stays.

use super::{super::*, Running, quick, road::Road};
use maglev_model::{
    Name,
    change::{Change, Fold},
    event::FrontendState,
};
use maglev_telemetry::BusLimits;
use maglev_testkit::{AgentServer, within};

fn web() -> Name {
    Name::namespaced("shop", "web")
}

async fn node(epoch: u64, state: FrontendState) -> AgentServer {
    let node = AgentServer::start(epoch, BusLimits::default()).await;
    node.events.change(Change::Frontend(web(), state, None));
    node.settled(1).await;
    node
}

fn connected<M: Mirror>(state: &NodeState<M>) -> bool {
    state.reporting()
}

#[tokio::test]
async fn an_agent_that_is_away_keeps_its_last_state_and_says_why() {
    let node = node(1, FrontendState::Up).await;
    let road = Road::to(node.address).await;
    let mut fleet = Running::<View>::start(&[road.address], quick());
    let state = fleet.until("node-a", "it is connected", connected).await;
    assert_eq!(state.view.frontend_state(&web()), FrontendState::Up);
    assert_eq!(fleet.handle.names(), ["node-a".into()], "the address has got its name");

    road.lead(None);
    let away = |state: &NodeState| matches!(state.link, Link::Unreachable { .. });
    let state = fleet.until("node-a", "it is away", away).await;
    assert!(!state.reporting());
    assert_eq!(state.view.frontend_state(&web()), FrontendState::Up, "the last state stands");
    let Link::Unreachable { error, since } = state.link else { panic!("waited for") };
    assert!(!error.is_empty());
    let failures = || {
        fleet.handle.0.cell("node-a").expect("it is there").tally.failures.load(std::sync::atomic::Ordering::Relaxed)
    };
    let before = failures();
    let again = move |_: &NodeState| failures() > before + 1;
    let still = {
        let handle = fleet.handle.clone();
        within(async {
            while !again(&handle.node("node-a").expect("it is there")) {
                tokio::task::yield_now().await;
            }
            handle.node("node-a").expect("it is there")
        })
        .await
    };
    assert!(matches!(still.link, Link::Unreachable { since: now, .. } if now == since), "since the first failure");

    road.lead(Some(node.address));
    fleet.until("node-a", "it is back", connected).await;
    fleet.stop().await;
    node.stop().await;
}

#[tokio::test]
async fn another_run_of_the_agent_replaces_the_mirror() {
    let first = node(1, FrontendState::Up).await;
    let road = Road::to(first.address).await;
    let mut fleet = Running::<View>::start(&[road.address], quick());
    fleet.until("node-a", "it is connected", connected).await;
    let second = node(2, FrontendState::Down).await;
    road.lead(Some(second.address));
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
async fn an_agent_of_another_node_is_not_taken_for_this_one() {
    let node = node(1, FrontendState::Up).await;
    let target = Target {
        pod: Some(Name::namespaced("lb", "maglevd-x")),
        uid: "u".into(),
        node: Some("node-b".into()),
        address: node.address,
    };
    let options = FleetOptions { timings: quick(), ..FleetOptions::default() };
    let mut fleet: Fleet = Fleet::new(Source::Addresses(Vec::new()), options);
    fleet.set([("node-b".into(), target)].into());
    let (handle, mut updates) = (fleet.handle(), fleet.handle().subscribe());
    let error = within(async {
        loop {
            if let Some(Link::Unreachable { error, .. }) = handle.node("node-b").map(|state| state.link) {
                return error;
            }
            updates.next().await;
        }
    })
    .await;
    assert_eq!(&*error, "expected the agent of node-b, found that of node-a");
    let end = CancellationToken::new();
    end.cancel();
    within(fleet.run(end)).await;
    node.stop().await;
}

/// A mirror that keeps nothing, and wants nothing but changes.
#[derive(Clone, Debug, Default, PartialEq)]
struct Count {
    resets: u32,
    changes: u32,
}

impl Fold for Count {
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
async fn a_mirror_of_its_own_is_followed_and_nothing_else_is_asked_for_it() {
    let node = node(1, FrontendState::Up).await;
    node.dump.send_replace(None);
    let mut fleet = Running::<Count>::start(&[node.address], quick());
    fleet.until("node-a", "it is connected", connected).await;
    node.events.change(Change::Frontend(web(), FrontendState::Down, None));
    let state = fleet.until("node-a", "the change is there", |state| state.view.changes > 0).await;
    assert_eq!(state.view, Count { resets: 1, changes: 1 });
    let asked = node.metrics();
    assert!(asked.contains("GetState"), "{asked}");
    for call in ["GetVppLbState", "GetVppLbCounters"] {
        assert!(!asked.contains(call), "{call} in\n{asked}");
    }
    fleet.stop().await;
    node.stop().await;
}

#[tokio::test]
async fn the_state_of_each_link_is_a_metric_that_goes_with_its_node() {
    let node = node(1, FrontendState::Up).await;
    let options = FleetOptions { timings: quick(), ..FleetOptions::default() };
    let mut fleet: Fleet = Fleet::new(Source::Addresses(Vec::new()), options);
    let registry = Registry::new();
    fleet.register(&registry).expect("a fresh registry");
    let text = || prometheus::TextEncoder::new().encode_to_string(&registry.gather()).expect("valid metrics");
    let target = Target { pod: None, uid: "".into(), node: Some("node-a".into()), address: node.address };
    fleet.set([("node-a".into(), target)].into());
    let mut updates = fleet.handle().subscribe();
    let connected = "maglev_agent_link_state{node=\"node-a\",state=\"connected\"} 1";
    within(async {
        while !text().contains(connected) {
            updates.next().await;
        }
    })
    .await;
    assert!(text().contains("maglev_agent_link_connects_total{node=\"node-a\"} 1"), "{}", text());
    fleet.set(BTreeMap::new());
    assert!(!text().contains("node-a"), "{}", text());
    node.stop().await;
}
