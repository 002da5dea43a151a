//! Connections that reach their maximum age.

use std::sync::atomic::Ordering;

use super::{super::*, TestFleet, fast_timings};
use maglev_model::{change::Change, event::FrontendState};
use maglev_net::ConnectionLimits;
use maglev_telemetry::BusLimits;
use maglev_testkit::AgentServer;

#[tokio::test]
async fn link_resumes_on_a_new_connection_without_a_lost_event_or_a_failure() {
    let agent = AgentServer::start_with(1, BusLimits::default(), |options, _| {
        let max_age = std::time::Duration::from_millis(300);
        options.connections = ConnectionLimits { max_age, ..ConnectionLimits::GRPC };
    })
    .await;
    let mut fleet = TestFleet::<View>::start(&[agent.address], fast_timings());
    fleet.until("node-a", "the link is connected", NodeState::reporting).await;
    let (cell, name) = (fleet.handle.0.cell("node-a").expect("the node exists"), Name::namespaced("shop", "web"));
    let counters = &cell.link_counters;
    let mut emitted = 0;
    while counters.connects.load(Ordering::Relaxed) < 5 {
        agent.events.emit_change(Change::Frontend(name.clone(), FrontendState::Up, None));
        emitted += 1;
        let has_arrived = |state: &NodeState| state.as_of.is_some_and(|as_of| as_of.seq >= emitted);
        fleet.until("node-a", "the change arrives", has_arrived).await;
    }
    assert_eq!((counters.failures.load(Ordering::Relaxed), counters.resyncs.load(Ordering::Relaxed)), (0, 1));
    fleet.stop().await;
    agent.stop().await;
}
