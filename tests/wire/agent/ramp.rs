//! Ramps: a backend that comes up while others serve gets its weight in steps.

use std::time::Duration;

use maglev_model::{
    config::{Backend, Config, DisruptionBudget, Frontend, RampUp},
    health::BackendState::{Down, Unknown, Up},
    ramp::Ramps,
    vip::{Encap, VipKey},
};
use maglev_testkit::objects::{backend, config, frontend, ip, name, node_config, pool, vip};
use maglev_vpp_simulator::{Mark, Release, Write};

use super::fixture::Node;

/// Ten steps within a second.
const FAST: RampUp = RampUp { duration: Duration::from_millis(900), steps: 10 };
/// The first step lasts longer than any test.
const SLOW: RampUp = RampUp { duration: Duration::from_hours(9), steps: 10 };

const WEB: &str = "203.0.113.1";

fn backends() -> [Backend; 3] {
    [backend("a", "192.0.2.1"), backend("b", "192.0.2.2"), backend("c", "192.0.2.3")]
}

fn ramped(text: &str, key: VipKey, ramp_up: RampUp) -> Frontend {
    let [a, b, c] = backends();
    Frontend { ramp_up: Some(ramp_up), ..frontend(text, key, vec![pool("primary", &[&a, &b, &c])]) }
}

/// A node whose VPP has all three backends with weight 10.
async fn following(frontends: impl IntoIterator<Item = Frontend>) -> Node {
    let node = Node::following(config(frontends, node_config())).await;
    node.until_programmed().await;
    node.until_ready().await;
    node
}

async fn until_weight(node: &Node, key: VipKey, backend: &Backend, weight: u8) {
    let what = format!("{} has {weight} in {key}", backend.name);
    node.until(&what, |node| node.weights(key).get(&backend.address) == Some(&weight)).await;
}

/// The weights set in a VIP, in order, by the last part of the server's address.
fn weights_set(node: &Node, key: VipKey, mark: Mark) -> Vec<(u8, u8)> {
    let last = |address| match address {
        std::net::IpAddr::V4(address) => std::net::Ipv4Addr::octets(&address)[3],
        std::net::IpAddr::V6(_) => 0,
    };
    let writes = node.simulator.writes_since(mark).into_iter();
    let set = |write| match write {
        Write::SetWeight { vip, address, weight, .. } if vip == key.into() => Some((last(address), weight)),
        Write::AddAs(vip, address, weight) if vip == key.into() => Some((last(address), weight)),
        _ => None,
    };
    writes.filter_map(|written| set(written.write)).collect()
}

fn steps(server: u8, weights: std::ops::RangeInclusive<u8>) -> Vec<(u8, u8)> {
    weights.map(|weight| (server, weight)).collect()
}

fn is_programmed(node: &Node, generation: u8) -> bool {
    let line = format!("frontend-programmed name=default/web generation={generation} result=Programmed");
    node.log().contains(&line)
}

#[tokio::test]
async fn steps_are_as_computed_and_each_is_a_sync_of_its_own() {
    let ([_, _, c], key) = (backends(), vip(WEB));
    let node = following([ramped("web", key, FAST)]).await;
    assert_eq!(weights_set(&node, key, node.start), [(1, 10), (2, 10), (3, 10)], "the first programming");
    node.set_state(&c, Down);
    until_weight(&node, key, &c, 0).await;
    let mark = node.simulator.mark();
    // The line of a sync follows once the moved buckets are known.
    let is_sync = |line: &&String| line.starts_with("vpp-lb-sync-done ") && line.contains(" as-weight-updated=1 ");
    node.until("the failure is a sync", |node| node.log().iter().any(|line| is_sync(&line))).await;
    node.clear_log();
    node.set_state(&c, Up);
    until_weight(&node, key, &c, 10).await;
    assert_eq!(weights_set(&node, key, mark), steps(3, 1..=10));
    node.until("each step is a sync", |node| node.log().iter().filter(is_sync).count() == 10).await;
    let ramps = node.ramps("web");
    let progress = |ramps: &Ramps| ramps.get(&c.address).map(|ramp| (ramp.weight.get(), ramp.step, ramp.steps));
    let mut published: Vec<_> = ramps.iter().map(progress).collect();
    // On a slow machine, the end of a ramp is put off.
    published.dedup();
    let expected = (1..10).map(|step| Some((step, step, 10))).chain([None]);
    assert!(published.into_iter().eq(expected), "{ramps:?}");
    assert!(!node.log().iter().any(|line| line.starts_with("frontend-programmed")), "weights that follow health");
}

#[tokio::test]
async fn added_backend_ramps_and_the_frontend_is_programmed_meanwhile() {
    let ([a, b, c], key) = (backends(), vip(WEB));
    let start = Frontend { pools: vec![pool("primary", &[&a, &b])], ..ramped("web", key, SLOW) };
    let node = following([start]).await;
    node.set_state(&c, Up);
    node.edit("web", |web| web.pools = vec![pool("primary", &[&a, &b, &c])]);
    node.until("it is programmed", |node| is_programmed(node, 2)).await;
    node.until_weights(key, &[("192.0.2.1", 10), ("192.0.2.2", 10), ("192.0.2.3", 1)]).await;
    node.edit("web", |web| web.ramp_up = None);
    node.until_weights(key, &[("192.0.2.1", 10), ("192.0.2.2", 10), ("192.0.2.3", 10)]).await;
    node.until("no ramp is published", |node| node.ramps("web").last().is_some_and(|ramps| ramps.is_empty())).await;
}

#[tokio::test]
async fn restarted_agent_goes_on_from_the_weight_in_vpp() {
    let ([_, _, c], key) = (backends(), vip(WEB));
    let mut node = following([ramped("web", key, FAST)]).await;
    node.set_state(&c, Down);
    until_weight(&node, key, &c, 0).await;
    node.edit("web", |web| web.ramp_up = Some(RampUp { duration: Duration::from_secs(9), ..FAST }));
    node.until("it is programmed", |node| is_programmed(node, 2)).await;
    node.set_state(&c, Up);
    until_weight(&node, key, &c, 2).await;
    node.stop_agent().await;
    let reached = node.weights(key)[&c.address];
    let mark = node.simulator.mark();
    node.edit("web", |web| web.ramp_up = Some(FAST));
    node.start_agent();
    until_weight(&node, key, &c, 10).await;
    assert_eq!(weights_set(&node, key, mark), steps(3, reached + 1..=10));

    // The ramp had ended.
    node.stop_agent().await;
    let mark = node.simulator.mark();
    node.edit("web", |web| web.ramp_up = Some(SLOW));
    node.clear_log();
    node.start_agent();
    node.until("it is programmed", |node| is_programmed(node, 4)).await;
    node.sync_now().await.unwrap();
    node.until("a pass went by", |node| node.log().iter().any(|line| line.starts_with("vpp-lb-sync-done scope=all")))
        .await;
    assert_eq!(weights_set(&node, key, mark), []);
}

#[tokio::test]
async fn backend_that_goes_down_in_a_ramp_has_weight_0_at_once_and_begins_anew() {
    let ([_, _, c], key) = (backends(), vip(WEB));
    let node = following([ramped("web", key, SLOW)]).await;
    let mark = node.simulator.mark();
    for state in [Down, Up, Down, Up] {
        node.set_state(&c, state);
        until_weight(&node, key, &c, if state == Up { 1 } else { 0 }).await;
    }
    assert_eq!(weights_set(&node, key, mark), [(3, 0), (3, 1), (3, 0), (3, 1)]);
    // The others go down: nobody else serves, so the ramp ends.
    let [a, b, _] = backends();
    node.set_state(&a, Down);
    until_weight(&node, key, &a, 0).await;
    assert_eq!(node.weights(key)[&c.address], 1);
    node.set_state(&b, Down);
    until_weight(&node, key, &c, 10).await;
}

#[tokio::test]
async fn failover_and_first_backend_are_not_ramped() {
    let ([a, b, c], key) = (backends(), vip(WEB));
    let pools = vec![pool("primary", &[&a]), pool("standby", &[&b, &c])];
    let node = following([Frontend { pools, ..ramped("web", key, SLOW) }]).await;
    let mark = node.simulator.mark();
    node.set_state(&a, Down);
    node.until_weights(key, &[("192.0.2.1", 0), ("192.0.2.2", 10), ("192.0.2.3", 10)]).await;
    node.set_state(&a, Up);
    node.until_weights(key, &[("192.0.2.1", 10), ("192.0.2.2", 0), ("192.0.2.3", 0)]).await;
    assert_eq!(weights_set(&node, key, mark), [(2, 10), (3, 10), (1, 0), (1, 10), (2, 0), (3, 0)]);
    for backend in [&a, &b, &c] {
        node.set_state(backend, Down);
    }
    node.until_weights(key, &[("192.0.2.1", 0), ("192.0.2.2", 0), ("192.0.2.3", 0)]).await;
    node.set_state(&b, Up);
    until_weight(&node, key, &b, 10).await;
    node.set_state(&c, Up);
    until_weight(&node, key, &c, 1).await;
    assert!(node.ramps("web").last().is_some_and(|ramps| ramps.keys().eq([&c.address])));
}

#[tokio::test]
async fn restarted_vpp_gets_full_weights() {
    let ([_, _, c], key) = (backends(), vip(WEB));
    let node = following([ramped("web", key, SLOW)]).await;
    node.set_state(&c, Down);
    until_weight(&node, key, &c, 0).await;
    node.set_state(&c, Up);
    until_weight(&node, key, &c, 1).await;
    node.simulator.restart().await.unwrap();
    node.until_weights(key, &[("192.0.2.1", 10), ("192.0.2.2", 10), ("192.0.2.3", 10)]).await;
}

#[tokio::test]
async fn weight_that_another_client_sets_is_repaired_at_once() {
    let ([_, _, c], key) = (backends(), vip(WEB));
    let node = following([ramped("web", key, SLOW)]).await;
    for weight in [3, 0] {
        let changed = node.simulator.edit(|lb| lb.set_weight(key.into(), c.address, weight));
        assert!(changed.is_ok());
        node.sync_now().await.unwrap();
        until_weight(&node, key, &c, 10).await;
    }
    assert_eq!(node.ramps("web").len(), 0);
}

#[tokio::test]
async fn steps_are_not_held_beyond_a_disruption_budget() {
    let ([a, b, c], key) = (backends(), vip(WEB));
    let disruption = Some(DisruptionBudget { max_moved_percent: 5, window: Duration::from_mins(60) });
    let mut node = following([Frontend { disruption, ..ramped("web", key, FAST) }]).await;
    node.set_state(&c, Down);
    until_weight(&node, key, &c, 0).await;
    node.edit("web", |web| web.ramp_up = Some(SLOW));
    node.until("it is programmed", |node| is_programmed(node, 2)).await;
    node.set_state(&c, Up);
    until_weight(&node, key, &c, 1).await;
    // A new agent must not take the step for the configuration of before.
    node.stop_agent().await;
    node.edit("web", |web| web.ramp_up = Some(FAST));
    node.clear_log();
    node.start_agent();
    until_weight(&node, key, &c, 10).await;
    let is_held = |node: &Node| node.log().iter().any(|line| line.starts_with("vpp-lb-sync-held"));
    assert!(!is_held(&node));
    node.edit("web", |web| web.pools = vec![pool("primary", &[&a, &b])]);
    node.until("a change of the configuration is held", is_held).await;
}

#[tokio::test]
async fn frontends_that_share_a_backend_ramp_it_independently() {
    let ([_, _, c], keys) = (backends(), [vip(WEB), vip("203.0.113.2"), vip("2001:db8:1::1")]);
    let plain = Frontend { ramp_up: None, ..ramped("plain", keys[1], SLOW) };
    let six = Frontend { encap: Some(Encap::Gre4), ..ramped("six", keys[2], FAST) };
    let node = following([ramped("web", keys[0], SLOW), plain, six]).await;
    node.set_state(&c, Down);
    for key in keys {
        until_weight(&node, key, &c, 0).await;
    }
    let mark = node.simulator.mark();
    node.set_state(&c, Up);
    until_weight(&node, keys[2], &c, 10).await;
    until_weight(&node, keys[1], &c, 10).await;
    until_weight(&node, keys[0], &c, 1).await;
    assert_eq!(keys.map(|key| weights_set(&node, key, mark)), [steps(3, 1..=1), steps(3, 10..=10), steps(3, 1..=10)]);
    // A deleted Frontend has no ramps.
    let mut config: Config = node.config();
    config.frontends.remove(&name("web"));
    node.set_config(config);
    node.until("no ramp is left", |node| node.ramps("web").last().is_some_and(|ramps| ramps.is_empty())).await;
}

#[tokio::test]
async fn vpp_without_weights_has_no_ramps_and_the_report_says_so() {
    let ([_, _, c], key) = (backends(), vip(WEB));
    let frontends = [ramped("web", key, SLOW)];
    let node = Node::following_with_release(Release::V26_06, config(frontends, node_config())).await;
    node.until_programmed().await;
    let line = "frontend-programmed name=default/web generation=1 result=Programmed reason=WeightsUnsupported";
    assert!(node.log().iter().any(|logged| logged == line));
    node.set_state(&c, Down);
    node.until("the server is removed", |node| !node.weights(key).contains_key(&c.address)).await;
    node.set_state(&c, Unknown);
    node.set_state(&c, Up);
    node.until("the server is added", |node| node.weights(key).contains_key(&ip("192.0.2.3"))).await;
    assert_eq!(node.ramps("web").len(), 0);
}
