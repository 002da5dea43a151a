//! A time of day that jumps, by an hour or by ten years, in either direction: the agent writes nothing because of it, and
//! holds end by the monotonic clock.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use maglev_model::{
    config::{NodeConfig, SyncConf},
    health::BackendState::{Down, Up},
    vip::VipKey,
};
use maglev_testkit::objects::{backend, config, frontend, name, node_config, pool, vip};

use super::fixture::Node;

const HOUR: i64 = 3600;
const TEN_YEARS: i64 = 87_660 * HOUR;
const VIPS: u8 = 6;

fn key(number: u8) -> VipKey {
    vip(&format!("203.0.113.{number}"))
}

/// A node whose agent reads `clock`, with some Frontends.
async fn following(clock: fn() -> Timestamp, mass_removal_hold: Duration) -> Node {
    let (a, b) = (backend("a", "192.0.2.1"), backend("b", "192.0.2.2"));
    let frontends = (1..=VIPS).map(|n| frontend(&format!("f{n}"), key(n), vec![pool("primary", &[&a, &b])]));
    let sync = SyncConf { mass_removal_hold, ..node_config().sync };
    let mut node = Node::new().await;
    node.clock = clock;
    node.set_config(config(frontends, NodeConfig { sync, ..node_config() }));
    node.all_up();
    node.start_agent();
    node.until_programmed().await;
    node.until_ready().await;
    node
}

fn shifted(offset: &AtomicI64) -> Timestamp {
    Timestamp::now() + SignedDuration::from_secs(offset.load(Ordering::Relaxed))
}

async fn pass(node: &Node) {
    let passes = |node: &Node| node.log().iter().filter(|line| line.starts_with("vpp-lb-sync-done scope=all")).count();
    let before = passes(node);
    node.sync_now().await.unwrap();
    node.until("a pass went by", |node| passes(node) > before).await;
}

fn remove_all(node: &Node) {
    let mut config = node.config();
    for number in 1..=VIPS {
        config.frontends.remove(&name(&format!("f{number}"))).unwrap();
    }
    node.set_config(config);
}

fn logged(node: &Node, start: &str) -> bool {
    node.log().iter().any(|line| line.starts_with(start))
}

#[tokio::test]
async fn jumps_of_the_clock_cause_no_write() {
    static OFFSET: AtomicI64 = AtomicI64::new(0);
    let mut node = following(|| shifted(&OFFSET), Duration::from_mins(1)).await;
    let mark = node.simulator.mark();
    for offset in [HOUR, -HOUR, TEN_YEARS, -TEN_YEARS, 0] {
        OFFSET.store(offset, Ordering::Relaxed);
        pass(&node).await;
        node.until_programmed().await;
        assert_eq!(node.ready(), Ok(()));
        // An agent that starts at that time, and one that starts before a jump back.
        node.stop_agent().await;
        node.clear_log();
        node.start_agent();
        OFFSET.fetch_sub(HOUR, Ordering::Relaxed);
        node.until_programmed().await;
        node.until_ready().await;
        assert_eq!(node.simulator.writes_since(mark), [], "offset {offset}");
    }
    // Health is followed as before.
    OFFSET.store(-TEN_YEARS, Ordering::Relaxed);
    node.set_state(&backend("b", "192.0.2.2"), Down);
    node.until_weights(key(1), &[("192.0.2.1", 10), ("192.0.2.2", 0)]).await;
    OFFSET.store(TEN_YEARS, Ordering::Relaxed);
    node.set_state(&backend("b", "192.0.2.2"), Up);
    node.until_weights(key(1), &[("192.0.2.1", 10), ("192.0.2.2", 10)]).await;
    let writes = 2 * usize::from(VIPS);
    node.until("every weight is written", |node| node.simulator.writes_since(mark).len() >= writes).await;
    pass(&node).await;
    assert_eq!(node.simulator.writes_since(mark).len(), writes);
}

#[tokio::test]
async fn hold_ends_by_the_monotonic_clock_although_the_clock_goes_back() {
    static OFFSET: AtomicI64 = AtomicI64::new(0);
    let node = following(|| shifted(&OFFSET), Duration::from_secs(2)).await;
    remove_all(&node);
    node.until("the removals are held", |node| logged(node, "vpp-lb-sync-held ")).await;
    OFFSET.store(-TEN_YEARS, Ordering::Relaxed);
    node.until("the hold has ended", |node| logged(node, "vpp-lb-sync-released ")).await;
    node.until("all VIPs are removed", |node| node.simulator.snapshot().vips.is_empty()).await;
}

#[tokio::test]
async fn hold_does_not_end_early_because_the_clock_goes_forward() {
    static OFFSET: AtomicI64 = AtomicI64::new(0);
    let node = following(|| shifted(&OFFSET), Duration::from_mins(10)).await;
    let mark = node.simulator.mark();
    remove_all(&node);
    node.until("the removals are held", |node| logged(node, "vpp-lb-sync-held ")).await;
    for offset in [HOUR, TEN_YEARS, -HOUR] {
        OFFSET.store(offset, Ordering::Relaxed);
        pass(&node).await;
        pass(&node).await;
    }
    assert!(!logged(&node, "vpp-lb-sync-released "));
    assert_eq!(node.simulator.writes_since(mark), []);
    assert_eq!(node.simulator.snapshot().vips.len(), usize::from(VIPS));
}
