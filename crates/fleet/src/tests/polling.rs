//! Tests of periodic requests and of the stream of probes.

use std::{collections::BTreeSet, sync::Arc};

use jiff::Timestamp;

use super::{super::*, TestFleet, fast_timings};
use maglev_model::{
    Name,
    actual::{Actual, ActualConf, LbDump},
    change::{Change, ConfigDelta},
    counters::StatsSnapshot,
    event::{Event, FrontendState},
    health::ProbeCode,
};
use maglev_telemetry::BusLimits;
use maglev_testkit::{AgentServer, within};

async fn node() -> AgentServer {
    AgentServer::start(1, BusLimits::default()).await
}

fn dump(at: Timestamp) -> Option<Arc<LbDump>> {
    let conf = ActualConf {
        ipv4_source: [192, 0, 2, 1].into(),
        ipv6_source: std::net::Ipv6Addr::LOCALHOST,
        sticky_buckets_per_core: 1024,
        flow_timeout: 40,
    };
    Some(Arc::new(LbDump { at, conf, actual: Actual::default() }))
}

/// Gives the agent a dump, and waits until the fleet has read it.
async fn dump_is_read(node: &AgentServer, fleet: &mut TestFleet, at: Timestamp, what: &str) {
    node.dump.send_replace(dump(at));
    let was_read = |state: &NodeState| state.dump.as_ref().is_some_and(|dump| dump.at == at);
    fleet.until("node-a", what, was_read).await;
}

#[tokio::test]
async fn version_and_readiness_are_polled() {
    let node = node().await;
    let mut fleet = TestFleet::<View>::start(&[node.address], fast_timings());
    let not_ready = |state: &NodeState| state.version.as_ref().is_some_and(|version| version.ready.is_err());
    let first = fleet.until("node-a", "not ready", not_ready).await;
    node.set_ready(Ok(()));
    let ready = |state: &NodeState| state.version.as_ref().is_some_and(|version| version.ready.is_ok());
    let then = fleet.until("node-a", "ready", ready).await;
    assert!(then.last_seen > first.last_seen);
    fleet.stop().await;
    node.stop().await;
}

#[tokio::test]
async fn counters_and_dumps_are_read_and_dropped_with_vpp() {
    let node = node().await;
    let at = |second| Timestamp::from_second(second).expect("a time");
    node.events.emit_change(Change::VppConnected(Arc::default()));
    node.counters.send_replace(Some(Arc::new(StatsSnapshot { pid: 7, ..StatsSnapshot::default() })));
    node.dump.send_replace(dump(at(1)));
    let mut fleet = TestFleet::<View>::start(&[node.address], fast_timings());
    let read = |state: &NodeState| {
        state.counters.as_ref().is_some_and(|counters| counters.stats.pid == 7) && state.dump.is_some()
    };
    fleet.until("node-a", "counters and dump were read", read).await;

    node.events.emit_change(Change::Released("h".into()));
    node.dump.send_replace(dump(at(2)));
    node.events.emit_change(Change::VppConnected(Arc::default()));
    let newer = |state: &NodeState| state.dump.as_ref().is_some_and(|dump| dump.at == at(2));
    fleet.until("node-a", "the dump was read again", newer).await;

    node.counters.send_replace(None);
    node.dump.send_replace(None);
    node.events.emit_change(Change::VppDisconnected);
    fleet
        .until("node-a", "counters and dump were dropped", |state| state.counters.is_none() && state.dump.is_none())
        .await;
    fleet.stop().await;
    node.stop().await;
}

#[tokio::test]
async fn dump_older_than_the_change_is_read_again() {
    let node = node().await;
    node.events.emit_change(Change::VppConnected(Arc::default()));
    node.dump.send_replace(dump(Timestamp::UNIX_EPOCH));
    let mut fleet = TestFleet::<View>::start(&[node.address], fast_timings());
    fleet.until("node-a", "the dump was read", |state| state.dump.is_some()).await;
    node.events.emit_change(Change::VppConnected(Arc::default()));
    node.settled(2).await;
    // The agent reads VPP some time after the change.
    let later = Timestamp::now();
    dump_is_read(&node, &mut fleet, later, "the dump was read again").await;
    fleet.stop().await;
    node.stop().await;
}

#[tokio::test]
async fn dump_that_follows_a_change_much_later_is_read() {
    let node = node().await;
    let mut fleet = TestFleet::<View>::start(&[node.address], fast_timings());
    node.events.emit_change(Change::VppConnected(Arc::default()));
    // Each of them takes a reading, and none is newer than the change.
    for second in 1..=14 {
        dump_is_read(&node, &mut fleet, Timestamp::from_second(second).unwrap(), "an older dump was read").await;
    }
    let later = Timestamp::now();
    dump_is_read(&node, &mut fleet, later, "the dump was read again").await;
    fleet.stop().await;
    node.stop().await;
}

#[tokio::test]
async fn dump_that_follows_a_change_before_the_session_is_read() {
    let node = node().await;
    node.events.emit_change(Change::VppConnected(Arc::default()));
    node.settled(1).await;
    node.dump.send_replace(dump(Timestamp::UNIX_EPOCH));
    let mut fleet = TestFleet::<View>::start(&[node.address], fast_timings());
    fleet.until("node-a", "the dump was read", |state| state.dump.is_some()).await;
    let later = Timestamp::now();
    dump_is_read(&node, &mut fleet, later, "the dump was read again without a change").await;
    fleet.stop().await;
    node.stop().await;
}

#[tokio::test]
async fn differing_mirror_is_replaced() {
    let node = node().await;
    let web = Name::namespaced("shop", "web");
    node.events.emit_change(Change::Frontend(web.clone(), FrontendState::Up, None));
    node.settled(1).await;
    let refresh = std::time::Duration::from_millis(30);
    let mut fleet = TestFleet::<View>::start(&[node.address], Timings { refresh, ..fast_timings() });
    fleet.until("node-a", "connected", NodeState::reporting).await;
    let cell = fleet.handle.0.cell("node-a").expect("the node exists");
    cell.state().view.states.remove(&web);
    fleet.until("node-a", "the mirror is repaired", |state| state.view.frontend_state(&web) == FrontendState::Up).await;
    assert!(cell.link_counters.differences.load(std::sync::atomic::Ordering::Relaxed) > 0);
    fleet.stop().await;
    node.stop().await;
}

#[tokio::test]
async fn nodes_share_equal_objects() {
    let start = async |name: &'static str| {
        let node =
            AgentServer::start_with(1, BusLimits::default(), |options, _| options.identity.node = name.into()).await;
        let backend = Arc::new(maglev_testkit::objects::backend("shop/web-1", "10.0.0.1"));
        let delta = ConfigDelta { backends: vec![(backend.name.clone(), Some(backend))], ..ConfigDelta::default() };
        node.events.emit_change(Change::Config(Arc::new(delta)));
        node.settled(1).await;
        node
    };
    let nodes = [start("node-a").await, start("node-b").await];
    let refresh = std::time::Duration::from_millis(30);
    let fleet =
        TestFleet::<View>::start(&nodes.each_ref().map(|node| node.address), Timings { refresh, ..fast_timings() });
    let backends = |node: &str| fleet.handle.node(node).map(|state| state.view.backends).filter(|all| !all.is_empty());
    let are_shared = || match (backends("node-a"), backends("node-b")) {
        (Some(one), Some(other)) => one.ptr_eq(&other),
        _ => false,
    };
    within(async {
        while !are_shared() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    fleet.stop().await;
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test]
async fn only_subscribed_probes_arrive() {
    let node = node().await;
    let mut fleet = TestFleet::<View>::start(&[node.address], fast_timings());
    fleet.until("node-a", "connected", NodeState::reporting).await;
    let names = ["web-1", "web-2"].map(|name| Name::namespaced("shop", name));
    let subscription = fleet.handle.watch_probes("node-a", vec![names[0].clone()]).expect("the node exists");
    assert!(fleet.handle.watch_probes("node-x", Vec::new()).is_none());
    // Returns true if the agent has a subscriber.
    let emit = |node: &AgentServer| {
        let mut subscribed = false;
        for backend in names.clone() {
            let duration = std::time::Duration::from_millis(1);
            node.events.emit_probe(|| {
                subscribed = true;
                Event::ProbeDone { backend, kind: "HTTP", code: ProbeCode::L7Ok, duration }
            });
        }
        subscribed
    };
    let backends = within(async {
        let mut backends = BTreeSet::new();
        while backends.is_empty() {
            emit(&node);
            if let FleetUpdate::Probes(probes) = fleet.next().await {
                let attributes = probes.lines.iter().flat_map(|line| &line.attributes);
                backends.extend(attributes.filter(|(key, _)| &**key == "backend").map(|(_, value)| value.clone()));
            }
        }
        backends
    })
    .await;
    assert_eq!(backends, ["shop/web-1".to_owned()].into());
    drop(subscription);
    within(async {
        while emit(&node) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    fleet.stop().await;
    node.stop().await;
}
