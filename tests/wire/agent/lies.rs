//! VPP lies: a reply with the context of another request, success without an effect, an effect without a reply, an
//! object that is missing from a read once, a property that is misread once, a text that is cut. No single contradicting
//! read removes or recreates anything.

use maglev_model::{
    actual::VppVip,
    health::BackendState::{Down, Up},
    vip::{VipKey, Weight},
};
use maglev_testkit::objects::{backend, config, frontend, ip, node_config, pool, vip};
use maglev_vpp_simulator::{Lb, Mark, RecordedWrite, VipSettings, Write};

use super::fixture::Node;

const VIPS: &str = "lb_vip_dump";
const SERVERS: &str = "lb_as_v2_dump";
const TEXT: &str = "cli_inband";
const READS: [&str; 3] = [VIPS, SERVERS, TEXT];

fn web() -> VipKey {
    vip("203.0.113.1")
}

/// Requests that are answered as if an object did not exist, and the change that leaves the object out.
type MissingOnce = (&'static [&'static str], fn(&mut Lb));

/// A node with two sticky Frontends of two backends, all of them programmed.
async fn following() -> Node {
    let (a, b) = (backend("a", "192.0.2.1"), backend("b", "192.0.2.2"));
    let sticky = |text, key| {
        let mut frontend = frontend(text, key, vec![pool("primary", &[&a, &b])]);
        frontend.sticky = true;
        frontend
    };
    let node =
        Node::following(config([sticky("web", web()), sticky("other", vip("203.0.113.2"))], node_config())).await;
    node.until_programmed().await;
    node.until_ready().await;
    until_weights(&node, 10, 10).await;
    node
}

async fn until_weights(node: &Node, a: u8, b: u8) {
    for key in [web(), vip("203.0.113.2")] {
        node.until_weights(key, &[("192.0.2.1", a), ("192.0.2.2", b)]).await;
    }
}

/// Requests a pass and waits for its end.
async fn pass(node: &Node) {
    let passes = |node: &Node| node.log().iter().filter(|line| line.starts_with("vpp-lb-sync-done scope=all")).count();
    let before = passes(node);
    node.sync_now().await.unwrap();
    node.until("a pass went by", |node| passes(node) > before).await;
}

fn reads(node: &Node) -> u64 {
    node.simulator.requests().get(SERVERS).copied().unwrap_or(0)
}

/// The writes since `mark` that VPP executed.
fn executed(node: &Node, mark: Mark) -> Vec<Write> {
    let written = node.simulator.writes_since(mark).into_iter();
    written.filter(|RecordedWrite { retval, .. }| *retval == 0).map(|written| written.write).collect()
}

/// Panics if a VIP or a server was removed since `mark`, with or without success.
fn assert_nothing_removed(node: &Node, mark: Mark) {
    let is_removal = |write: &Write| matches!(write, Write::RemoveVip(_) | Write::RemoveAs { .. });
    let removals: Vec<Write> =
        node.simulator.writes_since(mark).into_iter().map(|written| written.write).filter(is_removal).collect();
    assert_eq!(removals, []);
}

#[tokio::test]
async fn object_missing_from_one_read_changes_nothing_in_vpp() {
    let forget_vip = |lb: &mut Lb| lb.forget_vip(web().into()).unwrap();
    let forget_server = |lb: &mut Lb| lb.forget_as(web().into(), ip("192.0.2.1")).unwrap();
    let cases: [MissingOnce; 5] = [
        (&[VIPS], forget_vip),
        (&[SERVERS], forget_server),
        (&READS, forget_vip),
        (&READS, forget_server),
        (&[TEXT], forget_vip),
    ];
    let node = following().await;
    for (requests, change) in cases {
        let (before, mark) = (node.simulator.snapshot().vips, node.simulator.mark());
        for request in requests {
            node.simulator.lie_next(request, change);
        }
        pass(&node).await;
        pass(&node).await;
        node.until_programmed().await;
        assert_eq!(executed(&node, mark), [], "{requests:?}");
        assert_nothing_removed(&node, mark);
        assert_eq!(node.simulator.snapshot().vips, before);
    }
}

#[tokio::test]
async fn property_misread_once_recreates_nothing() {
    let settings = VipSettings { src_ip_sticky: true, ..VipSettings::default() };
    let misread = |settings: VipSettings| move |lb: &mut Lb| lb.set_settings(web().into(), settings).unwrap();
    let lies: [&dyn Fn(&Node); 6] = [
        &|node| node.simulator.lie_next(VIPS, misread(VipSettings { table_length: 2048, ..settings })),
        &|node| node.simulator.lie_next(VIPS, misread(VipSettings { encap: 2, dscp: 7, ..settings })),
        &|node| node.simulator.lie_next(TEXT, misread(VipSettings { src_ip_sticky: false, ..settings })),
        // Before the flag, within it, and within the line of the port.
        &|node| node.simulator.cut_next_cli("203.0.113.1/32"),
        &|node| node.simulator.cut_next_cli("203.0.113.1/32 src_ip"),
        &|node| node.simulator.cut_next_cli("203.0.113.1/32 src_ip_sticky\n  new_size:1024\n  protocol:6 port:8"),
    ];
    let node = following().await;
    for (number, lie) in lies.iter().enumerate() {
        let (mark, before) = (node.simulator.mark(), reads(&node));
        lie(&node);
        node.sync_now().await.unwrap();
        node.until("VPP was read twice", |node| reads(node) >= before + 2).await;
        pass(&node).await;
        node.until_programmed().await;
        assert_eq!(node.simulator.writes_since(mark), [], "lie {number}");
    }
    assert!(!node.log().iter().any(|line| line.starts_with("vpp-lb-sync-vip-recreate")));
}

#[tokio::test]
async fn property_misread_by_an_agent_that_starts_recreates_nothing() {
    let mut node = following().await;
    node.stop_agent().await;
    node.clear_log();
    let mark = node.simulator.mark();
    node.simulator.cut_next_cli("203.0.113.1/32");
    node.start_agent();
    node.until_programmed().await;
    node.until_ready().await;
    pass(&node).await;
    assert_eq!(node.simulator.writes_since(mark), []);
}

#[tokio::test]
async fn reply_with_the_context_of_another_request_removes_nothing() {
    let node = following().await;
    for request in READS {
        let (mark, before) = (node.simulator.mark(), reads(&node));
        node.simulator.confuse_next_reply(request);
        node.sync_now().await.unwrap();
        node.until("VPP was read again", |node| reads(node) > before).await;
        pass(&node).await;
        node.until_programmed().await;
        assert_eq!(node.simulator.writes_since(mark), [], "{request}");
    }
    for (state, weight) in [(Down, 0), (Up, 10)] {
        let mark = node.simulator.mark();
        node.simulator.confuse_next_reply("lb_as_set_weight");
        node.set_state(&backend("a", "192.0.2.1"), state);
        until_weights(&node, weight, 10).await;
        node.until_programmed().await;
        assert_nothing_removed(&node, mark);
    }
}

#[tokio::test]
async fn write_without_an_effect_is_repeated() {
    let node = following().await;
    let mark = node.simulator.mark();
    node.simulator.lie_next("lb_as_set_weight", |_| ());
    node.edit("web", |web| web.pools[0].members[0].weight = Weight::new(33).unwrap());
    node.until_weights(web(), &[("192.0.2.1", 33), ("192.0.2.2", 10)]).await;
    node.simulator.lie_next("lb_add_del_as_v2", |_| ());
    let third = backend("c", "192.0.2.3");
    node.set_state(&third, Up);
    node.edit("web", |web| web.pools[0].members.extend_from_slice(&pool("primary", &[&third]).members));
    node.until_weights(web(), &[("192.0.2.1", 33), ("192.0.2.2", 10), ("192.0.2.3", 10)]).await;
    node.until_programmed().await;
    assert_nothing_removed(&node, mark);

    let key = vip("203.0.113.3");
    node.simulator.lie_next("lb_add_del_vip_v2", |_| ());
    let mut with_third = node.config();
    let added = frontend("third", key, vec![pool("primary", &[&third])]);
    with_third.frontends.insert(added.name.clone(), added.into());
    node.set_config(with_third);
    node.until_weights(key, &[("192.0.2.3", 10)]).await;
    node.until_programmed().await;
    assert_nothing_removed(&node, mark);

    node.simulator.lie_next("lb_add_del_vip_v2", |_| ());
    node.remove("third");
    node.until("the VIP is gone", |node| !node.simulator.snapshot().vips.contains_key(&VppVip::from(key))).await;
    assert_eq!(node.simulator.snapshot().vips.len(), 2);
}

#[tokio::test]
async fn effect_without_a_reply_is_found_by_a_read() {
    let node = following().await;
    let mark = node.simulator.mark();
    node.simulator.swallow_next_reply("lb_as_set_weight");
    node.set_state(&backend("a", "192.0.2.1"), Down);
    until_weights(&node, 0, 10).await;
    node.until_programmed().await;
    let third = backend("c", "192.0.2.3");
    node.set_state(&third, Up);
    node.simulator.swallow_next_reply("lb_add_del_as_v2");
    node.edit("web", |web| web.pools[0].members.extend_from_slice(&pool("primary", &[&third]).members));
    node.until_weights(web(), &[("192.0.2.1", 0), ("192.0.2.2", 10), ("192.0.2.3", 10)]).await;
    node.until_programmed().await;
    assert_nothing_removed(&node, mark);
}
