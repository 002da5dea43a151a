//! Warm-up: when a started agent begins to write, phase by phase, and what does not start it again.

use std::time::{Duration, Instant};

use maglev::{
    agent::{Gate, SyncRefused},
    model::{
        config::{Config, NodeConfig, SyncConf},
        health::BackendState::Up,
    },
};

use super::fixture::{Node, backend, config, frontend, node, pool, vip};

/// A Frontend whose backend is known, and one whose is not.
fn known_and_unknown(least: Duration, longest: Duration) -> Config {
    let (a, b) = (backend("a", "192.0.2.1"), backend("b", "192.0.2.2"));
    let known = frontend("known", vip("203.0.113.1"), vec![pool("primary", &[&a])]);
    let unknown = frontend("unknown", vip("203.0.113.2"), vec![pool("primary", &[&b])]);
    let sync = SyncConf { startup_min_delay: least, startup_max_delay: longest, ..SyncConf::default() };
    config([known, unknown], NodeConfig { sync, ..node() })
}

#[tokio::test]
async fn until_the_shortest_delay_nothing_is_written_by_any_path() {
    let least = Duration::from_secs(2);
    let mut node = Node::new().await;
    node.start_agent();
    node.until("VPP was read", |node| node.log().iter().any(|line| line.starts_with("vpp-lb-state"))).await;
    assert_eq!(node.sync_now(None).await, Err(SyncRefused::WarmingUp), "before the first list");
    let listed = Instant::now();
    node.set_config(known_and_unknown(least, Duration::from_secs(300)));
    node.set_state(&backend("a", "192.0.2.1"), Up);
    node.until("it is listed", |node| node.status().listed).await;
    let asked = node.sync_now(None).await;
    // A busy machine may have let the delay pass meanwhile.
    assert!(asked == Err(SyncRefused::WarmingUp) || listed.elapsed() > least, "{asked:?}");
    node.until("something is written", |node| node.all_writes() > 0).await;
    assert!(listed.elapsed() >= least, "not before {least:?}");
    node.until_weights(vip("203.0.113.1"), &[("192.0.2.1", 10)]).await;
    assert_eq!(node.status().gate, Gate::KnownOnly);
    let told = "frontend-programmed name=default/unknown generation=1 result=Pending reason=WarmingUp";
    node.until("the other waits", |node| node.log().iter().any(|line| line == told)).await;
    assert_eq!(node.simulator.snapshot().vips.len(), 1);
    assert_eq!(node.ready(), Err("warming up".to_owned()));
    // The last unknown backend becomes known: nothing is left to wait for, long before the end.
    node.set_state(&backend("b", "192.0.2.2"), Up);
    node.until_weights(vip("203.0.113.2"), &[("192.0.2.2", 10)]).await;
    node.until_ready().await;
    node.sync_now(None).await.unwrap();
}

#[tokio::test]
async fn no_relist_edit_or_reconnect_starts_the_clock_again() {
    let longest = Duration::from_secs(6);
    let mut node = Node::new().await;
    node.set_config(known_and_unknown(Duration::from_secs(1), longest));
    node.set_state(&backend("a", "192.0.2.1"), Up);
    node.start_agent();
    node.until("it is listed", |node| node.status().listed).await;
    let listed = Instant::now();
    let mut disturbed = 0u8;
    // Whatever happens all the time: a clock that any of it started again would never run out.
    while node.status().gate != Gate::Open {
        let since = listed.elapsed();
        assert!(since < longest + Duration::from_secs(20), "the clock was started again");
        match disturbed % 3 {
            0 => node.set_config(node.config()),
            1 => node.edit("known", |known| known.sticky = !known.sticky),
            _ => node.simulator.restart().await.unwrap(),
        }
        disturbed = disturbed.wrapping_add(1);
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    assert!(disturbed > 6 && listed.elapsed() + Duration::from_millis(500) >= longest, "{disturbed}");
    node.until_weights(vip("203.0.113.2"), &[("192.0.2.2", 0)]).await;
    node.until_ready().await;
}

#[tokio::test]
async fn at_the_longest_delay_an_unknown_backend_keeps_the_weight_that_vpp_has() {
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
async fn with_both_delays_zero_the_first_list_is_synced_at_once_unknown_backends_at_0() {
    let mut node = Node::new().await;
    node.set_config(known_and_unknown(Duration::ZERO, Duration::ZERO));
    node.set_state(&backend("a", "192.0.2.1"), Up);
    node.start_agent();
    node.until_weights(vip("203.0.113.1"), &[("192.0.2.1", 10)]).await;
    node.until_weights(vip("203.0.113.2"), &[("192.0.2.2", 0)]).await;
    node.until_ready().await;
}
