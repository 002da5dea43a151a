//! Warm-up of a started agent: its phases, and events that do not restart it.

use std::time::{Duration, Instant};

use maglev_agent::{Gate, SyncRefused};
use maglev_model::{
    config::{Config, NodeConfig, SyncConf},
    health::BackendState::Up,
};
use maglev_testkit::objects::{backend, config, frontend, node_config, pool, vip};
use maglev_vpp_simulator::{Prefix, VipSettings};

use super::fixture::Node;

/// Longer than any step takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

/// A Frontend with a health state for its backend, and one without.
fn known_and_unknown(least: Duration, longest: Duration) -> Config {
    let (a, b) = (backend("a", "192.0.2.1"), backend("b", "192.0.2.2"));
    let known = frontend("known", vip("203.0.113.1"), vec![pool("primary", &[&a])]);
    let unknown = frontend("unknown", vip("203.0.113.2"), vec![pool("primary", &[&b])]);
    let sync = SyncConf { startup_min_delay: least, startup_max_delay: longest, ..SyncConf::default() };
    config([known, unknown], NodeConfig { sync, ..node_config() })
}

#[tokio::test]
async fn nothing_is_written_before_the_minimal_delay() {
    let least = Duration::from_secs(2);
    let mut node = Node::new().await;
    node.start_agent();
    node.until("VPP was read", |node| node.log().iter().any(|line| line.starts_with("vpp-lb-state"))).await;
    assert_eq!(node.sync_now().await, Err(SyncRefused::WarmingUp), "before the first list");
    let listed = Instant::now();
    node.set_config(known_and_unknown(least, Duration::from_secs(300)));
    node.set_state(&backend("a", "192.0.2.1"), Up);
    node.until("it is listed", |node| node.status().listed).await;
    let refused = node.sync_now().await;
    // On a busy machine, the delay may have passed meanwhile.
    assert!(refused == Err(SyncRefused::WarmingUp) || listed.elapsed() > least, "{refused:?}");
    node.until("a write", |node| node.all_writes() > 0).await;
    assert!(listed.elapsed() >= least, "not before {least:?}");
    node.until_weights(vip("203.0.113.1"), &[("192.0.2.1", 10)]).await;
    assert_eq!(node.status().gate, Gate::KnownOnly);
    let pending = "frontend-programmed name=default/unknown generation=1 result=Pending reason=WarmingUp";
    node.until("the other Frontend is pending", |node| node.log().iter().any(|line| line == pending)).await;
    assert_eq!(node.simulator.snapshot().vips.len(), 1);
    assert_eq!(node.ready(), Err("warming up".to_owned()));
    // The last unknown backend gets a health state: the warm-up ends long before the maximal delay.
    node.set_state(&backend("b", "192.0.2.2"), Up);
    node.until_weights(vip("203.0.113.2"), &[("192.0.2.2", 10)]).await;
    node.until_ready().await;
    node.sync_now().await.unwrap();
}

#[tokio::test]
async fn relist_edit_and_reconnect_do_not_restart_the_warm_up() {
    let longest = Duration::from_secs(6);
    let mut node = Node::new().await;
    node.set_config(known_and_unknown(Duration::from_secs(1), longest));
    node.set_state(&backend("a", "192.0.2.1"), Up);
    let start = Instant::now();
    node.start_agent();
    node.until("it is listed", |node| node.status().listed).await;
    let listed = Instant::now();
    let mut disturbances = 0u8;
    // A timer that any of these events restarted would never expire.
    while node.status().gate != Gate::Open {
        assert!(listed.elapsed() < longest + LIMIT, "the warm-up was restarted");
        match disturbances % 3 {
            0 => node.set_config(node.config()),
            1 => node.edit("known", |known| known.sticky = !known.sticky),
            _ => node.simulator.restart().await.unwrap(),
        }
        disturbances = disturbances.wrapping_add(1);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(disturbances > 6 && start.elapsed() >= longest, "{disturbances}");
    node.until_weights(vip("203.0.113.2"), &[("192.0.2.2", 0)]).await;
    node.until_ready().await;
}

#[tokio::test]
async fn unknown_backend_keeps_the_weight_of_vpp_after_the_maximal_delay() {
    let mut node = Node::following(known_and_unknown(Duration::ZERO, Duration::ZERO)).await;
    node.until_programmed().await;
    node.until_weights(vip("203.0.113.2"), &[("192.0.2.2", 10)]).await;
    node.stop_agent().await;
    node.forget_health();
    node.edit_node(|conf| conf.sync.startup_max_delay = Duration::from_secs(1));
    let mark = node.simulator.mark();
    node.clear_log();
    node.start_agent();
    node.until_ready().await;
    node.until_programmed().await;
    assert_eq!(node.simulator.writes_since(mark), []);
    assert_eq!(node.status().gate, Gate::Open);
}

#[tokio::test]
async fn zero_delays_sync_the_first_list_at_once_with_unknown_backends_at_0() {
    let mut node = Node::new().await;
    node.set_config(known_and_unknown(Duration::ZERO, Duration::ZERO));
    node.set_state(&backend("a", "192.0.2.1"), Up);
    node.start_agent();
    node.until_weights(vip("203.0.113.1"), &[("192.0.2.1", 10)]).await;
    node.until_weights(vip("203.0.113.2"), &[("192.0.2.2", 0)]).await;
    node.until_ready().await;
}

/// A node without warm-up, with a pass every second.
fn at_once() -> NodeConfig {
    let (startup_min_delay, startup_max_delay) = (Duration::ZERO, Duration::ZERO);
    let interval = Duration::from_secs(1);
    NodeConfig {
        sync: SyncConf { startup_min_delay, startup_max_delay, interval, ..SyncConf::default() },
        ..node_config()
    }
}

#[tokio::test]
async fn agent_is_not_ready_while_every_step_is_refused() {
    let mut node = Node::new().await;
    node.simulator.refuse_vips(true);
    let web = frontend("web", vip("203.0.113.1"), vec![pool("primary", &[&backend("a", "192.0.2.1")])]);
    node.set_config(config([web], at_once()));
    node.start_agent();
    let passes = |node: &Node| node.log().iter().filter(|line| line.starts_with("vpp-lb-sync-start scope=all")).count();
    let refusals = |node: &Node| node.log().iter().filter(|line| line.starts_with("vpp-lb-sync-error")).count();
    // Between retries, passes send nothing, which does not make the agent ready.
    node.until("many steps were refused", |node| passes(node) > 3 && refusals(node) > 3).await;
    assert_eq!(node.ready(), Err("waiting for the first sync in which not every step fails".to_owned()));
    node.simulator.refuse_vips(false);
    node.until_ready().await;
}

#[tokio::test]
async fn one_vip_that_vpp_would_refuse_does_not_prevent_readiness() {
    let mut node = Node::new().await;
    let taken = Prefix::host("203.0.113.2".parse().unwrap());
    node.simulator.edit(|lb| lb.add_vip(taken, 0, 0, VipSettings::default()).unwrap());
    let a = backend("a", "192.0.2.1");
    let web = |name: &str, address: &str| frontend(name, vip(address), vec![pool("primary", &[&a])]);
    node.set_config(config([web("web", "203.0.113.1"), web("other", "203.0.113.2")], at_once()));
    node.start_agent();
    let held = "frontend-programmed name=default/other generation=1 result=Held reason=OtherVipInVpp";
    node.until("one is held", |node| node.log().iter().any(|line| line == held)).await;
    node.until_ready().await;
}
