//! What is asked now and then, and the second stream.

use std::{collections::BTreeSet, sync::Arc};

use jiff::Timestamp;

use super::{super::*, Running, quick};
use maglev_model::{
    Name,
    actual::{Actual, ActualConf, LbDump},
    change::Change,
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

#[tokio::test]
async fn what_the_agent_says_of_itself_is_asked_for_again_and_again() {
    let node = node().await;
    let mut fleet = Running::<View>::start(&[node.address], quick());
    let not_ready = |state: &NodeState| state.version.as_ref().is_some_and(|version| version.ready.is_err());
    let first = fleet.until("node-a", "it says that it is not ready", not_ready).await;
    node.set_ready(Ok(()));
    let ready = |state: &NodeState| state.version.as_ref().is_some_and(|version| version.ready.is_ok());
    let then = fleet.until("node-a", "it says that it is ready", ready).await;
    assert!(then.last_seen > first.last_seen);
    fleet.stop().await;
    node.stop().await;
}

#[tokio::test]
async fn counters_and_buckets_are_read_and_are_gone_with_vpp() {
    let node = node().await;
    let at = |second| Timestamp::from_second(second).expect("a time");
    node.events.change(Change::VppConnected(Arc::default()));
    node.counters.send_replace(Some(Arc::new(StatsSnapshot { pid: 7, ..StatsSnapshot::default() })));
    node.dump.send_replace(dump(at(1)));
    let mut fleet = Running::<View>::start(&[node.address], quick());
    let read = |state: &NodeState| state.counters.as_ref().is_some_and(|of| of.stats.pid == 7) && state.dump.is_some();
    fleet.until("node-a", "both were read", read).await;

    node.events.change(Change::Released("h".into()));
    node.dump.send_replace(dump(at(2)));
    node.events.change(Change::VppConnected(Arc::default()));
    let newer = |state: &NodeState| state.dump.as_ref().is_some_and(|dump| dump.at == at(2));
    fleet.until("node-a", "it was read again", newer).await;

    node.counters.send_replace(None);
    node.dump.send_replace(None);
    node.events.change(Change::VppDisconnected);
    fleet.until("node-a", "both are gone", |state| state.counters.is_none() && state.dump.is_none()).await;
    fleet.stop().await;
    node.stop().await;
}

#[tokio::test]
async fn a_reading_older_than_the_change_is_repeated() {
    let node = node().await;
    node.events.change(Change::VppConnected(Arc::default()));
    node.dump.send_replace(dump(Timestamp::UNIX_EPOCH));
    let mut fleet = Running::<View>::start(&[node.address], quick());
    fleet.until("node-a", "it was read", |state| state.dump.is_some()).await;
    node.events.change(Change::VppConnected(Arc::default()));
    node.settled(2).await;
    // The agent reads VPP itself some time after the change.
    let later = Timestamp::now();
    node.dump.send_replace(dump(later));
    let newer = |state: &NodeState| state.dump.as_ref().is_some_and(|dump| dump.at == later);
    fleet.until("node-a", "it was read again", newer).await;
    fleet.stop().await;
    node.stop().await;
}

#[tokio::test]
async fn a_mirror_that_went_astray_is_set_right() {
    let node = node().await;
    let web = Name::namespaced("shop", "web");
    node.events.change(Change::Frontend(web.clone(), FrontendState::Up, None));
    node.settled(1).await;
    let refresh = std::time::Duration::from_millis(30);
    let mut fleet = Running::<View>::start(&[node.address], Timings { refresh, ..quick() });
    fleet.until("node-a", "it is connected", NodeState::reporting).await;
    let cell = fleet.handle.0.cell("node-a").expect("it is there");
    cell.state().view.states.remove(&web);
    fleet.until("node-a", "it is right again", |state| state.view.frontend_state(&web) == FrontendState::Up).await;
    assert!(cell.tally.differences.load(std::sync::atomic::Ordering::Relaxed) > 0);
    fleet.stop().await;
    node.stop().await;
}

#[tokio::test]
async fn probes_come_while_they_are_wanted_and_only_those() {
    let node = node().await;
    let mut fleet = Running::<View>::start(&[node.address], quick());
    fleet.until("node-a", "it is connected", NodeState::reporting).await;
    let names = ["web-1", "web-2"].map(|name| Name::namespaced("shop", name));
    let guard = fleet.handle.watch_probes("node-a", vec![names[0].clone()]).expect("it is there");
    assert!(fleet.handle.watch_probes("node-x", Vec::new()).is_none());
    // Whether anybody wanted it.
    let emit = |node: &AgentServer| {
        let mut wanted = false;
        for backend in names.clone() {
            let duration = std::time::Duration::from_millis(1);
            node.events.emit_probe(|| {
                wanted = true;
                Event::ProbeDone { backend, kind: "HTTP", code: ProbeCode::L7Ok, duration }
            });
        }
        wanted
    };
    let seen = within(async {
        let mut seen = BTreeSet::new();
        while seen.is_empty() {
            emit(&node);
            if let FleetUpdate::Probes(probes) = fleet.next().await {
                let attributes = probes.lines.iter().flat_map(|line| &line.attributes);
                seen.extend(attributes.filter(|(key, _)| &**key == "backend").map(|(_, value)| value.clone()));
            }
        }
        seen
    })
    .await;
    assert_eq!(seen, ["shop/web-1".to_owned()].into());
    drop(guard);
    within(async {
        while emit(&node) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    fleet.stop().await;
    node.stop().await;
}
