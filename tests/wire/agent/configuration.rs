//! VPP follows the configuration and the health of the backends, and every change is published once.

use maglev_model::{
    config::{AdminState, Check, Frontend, MemberTarget, OnBackendDown, Standing},
    health::BackendState::{Down, Up},
    problem::{Problem, Reason},
    vip::{Dscp, Encap, TableLength, Weight},
    weights::ActivePool,
};
use maglev_testkit::objects::{backend, config, frontend, name, node_config, pool, vip};
use maglev_vpp_simulator::Write;

use super::fixture::Node;

#[tokio::test]
async fn new_frontend_is_programmed_and_every_step_is_published() {
    let (a, b) = (backend("a", "192.0.2.1"), backend("b", "192.0.2.2"));
    let web = frontend("web", vip("203.0.113.1"), vec![pool("primary", &[&a]), pool("standby", &[&b])]);
    let node = Node::following(config([web], node_config())).await;
    node.until_programmed().await;
    node.until_weights(vip("203.0.113.1"), &[("192.0.2.1", 10), ("192.0.2.2", 0)]).await;
    let common = "frontend=default/web vip=203.0.113.1 protocol=tcp port=80";
    assert_eq!(
        node.changes(),
        [
            format!("vpp-lb-sync-vip-added {common} encap=gre4"),
            format!("vpp-lb-sync-as-added {common} backend=default/a as=192.0.2.1 weight=10 flush=true"),
            format!("vpp-lb-sync-as-added {common} backend=default/b as=192.0.2.2 weight=0 flush=true"),
        ]
    );
    node.until_ready().await;
    assert!(node.log().iter().any(|line| line.starts_with("vpp-lb-conf-set ipv4-src=192.0.2.254 ")));
}

#[tokio::test]
async fn standby_pool_takes_over_and_returns_the_traffic() {
    let (a, b) = (backend("a", "192.0.2.1"), backend("b", "192.0.2.2"));
    let web = frontend("web", vip("203.0.113.1"), vec![pool("primary", &[&a]), pool("standby", &[&b])]);
    let other = frontend("other", vip("203.0.113.2"), vec![pool("primary", &[&b])]);
    let node = Node::following(config([web, other], node_config())).await;
    node.until_programmed().await;
    node.clear_log();
    let mark = node.simulator.mark();
    node.set_state(&a, Down);
    node.until_weights(vip("203.0.113.1"), &[("192.0.2.1", 0), ("192.0.2.2", 10)]).await;
    node.set_state(&a, Up);
    node.until_weights(vip("203.0.113.1"), &[("192.0.2.1", 10), ("192.0.2.2", 0)]).await;
    let common = "vpp-lb-sync-as-weight-updated frontend=default/web vip=203.0.113.1 protocol=tcp port=80";
    node.until("all changes are published", |node| node.changes().len() >= 4).await;
    assert_eq!(
        node.changes(),
        [
            format!("{common} backend=default/b as=192.0.2.2 from=0 to=10 flush=false"),
            format!("{common} backend=default/a as=192.0.2.1 from=10 to=0 flush=true"),
            format!("{common} backend=default/a as=192.0.2.1 from=0 to=10 flush=false"),
            format!("{common} backend=default/b as=192.0.2.2 from=10 to=0 flush=false"),
        ]
    );
    assert_eq!(node.simulator.writes_since(mark).len(), 4, "no other write");
    assert!(
        !node.log().iter().any(|line| line.starts_with("frontend-programmed")),
        "health does not cause a new report"
    );
}

#[tokio::test]
async fn backend_with_keep_is_not_flushed_when_it_goes_down() {
    let a = backend("a", "192.0.2.1");
    let mut web = frontend("web", vip("203.0.113.1"), vec![pool("primary", &[&a])]);
    web.on_backend_down = OnBackendDown::Keep;
    let node = Node::following(config([web], node_config())).await;
    node.until_programmed().await;
    let mark = node.simulator.mark();
    node.set_state(&a, Down);
    node.until_weights(vip("203.0.113.1"), &[("192.0.2.1", 0)]).await;
    let has_flushed = node
        .simulator
        .writes_since(mark)
        .iter()
        .any(|written| matches!(written.write, Write::SetWeight { flush, .. } if flush));
    assert!(!has_flushed);
    assert!(node.log().iter().any(|line| line.starts_with("frontend-transition name=default/web from=up to=down")));
}

#[tokio::test]
async fn disabled_backend_is_flushed_and_a_paused_one_is_not() {
    for (state, flushed) in [(AdminState::Disabled, true), (AdminState::Paused, false)] {
        let a = backend("a", "192.0.2.1");
        let web = frontend("web", vip("203.0.113.1"), vec![pool("primary", &[&a])]);
        let node = Node::following(config([web], node_config())).await;
        node.until_programmed().await;
        let mut stopped = a.clone();
        stopped.admin_state = state;
        node.edit("web", |web| web.pools = vec![pool("primary", &[&stopped])]);
        node.until_weights(vip("203.0.113.1"), &[("192.0.2.1", 0)]).await;
        let line = format!("as=192.0.2.1 from=10 to=0 flush={flushed}");
        node.until("the change is published", |node| node.changes().iter().any(|change| change.ends_with(&line))).await;
    }
}

#[tokio::test]
async fn new_backend_address_is_added_before_the_old_one_is_removed() {
    let a = backend("a", "192.0.2.1");
    let web = frontend("web", vip("203.0.113.1"), vec![pool("primary", &[&a])]);
    let node = Node::following(config([web], node_config())).await;
    node.until_programmed().await;
    node.clear_log();
    let moved = backend("a", "192.0.2.9");
    node.edit("web", |web| web.pools = vec![pool("primary", &[&moved])]);
    // The health state belongs to the address: the new address is unknown and has weight 0 until it is probed.
    node.until_weights(vip("203.0.113.1"), &[("192.0.2.9", 0)]).await;
    node.set_state(&moved, Up);
    node.until_weights(vip("203.0.113.1"), &[("192.0.2.9", 10)]).await;
    node.until_programmed().await;
    let steps: Vec<String> = node.changes().iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(steps, ["vpp-lb-sync-as-added", "vpp-lb-sync-as-removed", "vpp-lb-sync-as-weight-updated"]);
}

#[tokio::test]
async fn encap_affinity_and_table_length_recreate_only_that_vip() {
    let a = backend("a", "192.0.2.1");
    let web = frontend("web", vip("203.0.113.1"), vec![pool("primary", &[&a])]);
    let other = frontend("other", vip("203.0.113.2"), vec![pool("primary", &[&a])]);
    let node = Node::following(config([web, other], node_config())).await;
    node.until_programmed().await;
    let untouched = node.simulator.snapshot().vips[&vip("203.0.113.2").into()].clone();
    type Edit = fn(&mut Frontend);
    let edits: [(&str, Edit); 3] = [
        ("encap", |web| web.encap = Some(Encap::L3dsr(Dscp::new(7).unwrap()))),
        ("session-affinity", |web| web.sticky = true),
        ("table-length", |web| web.table_length = TableLength::new(2048).unwrap()),
    ];
    for (reason, edit) in edits {
        node.clear_log();
        node.edit("web", edit);
        node.until_one_programmed("web").await;
        let changes = node.changes();
        assert_eq!(changes.len(), 1, "a recreate is one event: {changes:?}");
        assert!(
            changes[0].starts_with("vpp-lb-sync-vip-recreate frontend=default/web vip=203.0.113.1 "),
            "{changes:?}"
        );
        assert!(changes[0].ends_with(&format!("reason={reason}")), "{changes:?}");
        node.until_weights(vip("203.0.113.1"), &[("192.0.2.1", 10)]).await;
    }
    assert_eq!(node.simulator.snapshot().vips[&vip("203.0.113.2").into()], untouched);
}

#[tokio::test]
async fn deleted_frontend_is_removed_servers_first() {
    let a = backend("a", "192.0.2.1");
    let web = frontend("web", vip("203.0.113.1"), vec![pool("primary", &[&a])]);
    let other = frontend("other", vip("203.0.113.2"), vec![pool("primary", &[&a])]);
    let node = Node::following(config([web, other], node_config())).await;
    node.until_programmed().await;
    node.clear_log();
    node.remove("web");
    node.until("the VIP is removed", |node| node.changes().len() >= 2).await;
    let common = "frontend=default/web vip=203.0.113.1 protocol=tcp port=80";
    assert_eq!(
        node.changes(),
        [
            format!("vpp-lb-sync-as-removed {common} backend=default/a as=192.0.2.1 weight=10 flush=true"),
            format!("vpp-lb-sync-vip-removed {common} encap=gre4"),
        ]
    );
    assert_eq!(node.simulator.snapshot().vips.len(), 1);
}

#[tokio::test]
async fn loser_of_a_conflict_is_withdrawn_and_reported() {
    let a = backend("a", "192.0.2.1");
    let web = frontend("web", vip("203.0.113.1"), vec![pool("primary", &[&a])]);
    let node = Node::following(config([web], node_config())).await;
    node.until_programmed().await;
    let problem = Problem::new(Reason::Conflicted, "spec.address", "another Frontend is older");
    node.edit("web", |web| web.standing = Standing::Withdrawn(problem));
    node.until("it is withdrawn", |node| node.simulator.snapshot().vips.is_empty()).await;
    let expected = "frontend-programmed name=default/web generation=2 result=Failed reason=Conflicted";
    node.until("the change is published", |node| node.log().iter().any(|line| line == expected)).await;
}

#[tokio::test]
async fn missing_check_keeps_the_active_pool() {
    let (a, mut spare) = (backend("a", "192.0.2.1"), backend("b", "192.0.2.2"));
    spare.check = Check::None;
    let web = frontend("web", vip("203.0.113.1"), vec![pool("primary", &[&a]), pool("standby", &[&spare])]);
    let node = Node::following(config([web], node_config())).await;
    node.until_programmed().await;
    let mut unchecked = a.clone();
    unchecked.check = Check::Missing(Problem::new(Reason::HealthCheckNotFound, "", ""));
    node.edit("web", |web| web.pools[0] = pool("primary", &[&unchecked]));
    node.until_programmed().await;
    assert_eq!(node.active_pools(), [(name("web"), ActivePool::Index(0))]);
}

#[tokio::test]
async fn missing_check_keeps_the_weight_and_a_frontend_without_backends_keeps_its_vip() {
    let a = backend("a", "192.0.2.1");
    let web = frontend("web", vip("203.0.113.1"), vec![pool("primary", &[&a])]);
    let node = Node::following(config([web], node_config())).await;
    node.until_programmed().await;
    let mut unchecked = a.clone();
    unchecked.check = Check::Missing(Problem::new(Reason::HealthCheckNotFound, "", ""));
    let mark = node.simulator.mark();
    node.edit("web", |web| web.pools = vec![pool("primary", &[&unchecked])]);
    node.until_programmed().await;
    node.edit("web", |web| web.pools[0].members[0].target = MemberTarget::Unreadable { address: None });
    node.until_programmed().await;
    assert_eq!(node.simulator.writes_since(mark), [], "unknown properties are unchanged");
    node.edit("web", |web| (web.pools, web.encap) = (vec![pool("primary", &[])], None));
    node.until_weights(vip("203.0.113.1"), &[]).await;
    assert_eq!(node.simulator.snapshot().vips.len(), 1, "the VIP stays, empty");
}

#[tokio::test]
async fn edited_weight_is_programmed() {
    let a = backend("a", "192.0.2.1");
    let web = frontend("web", vip("203.0.113.1"), vec![pool("primary", &[&a])]);
    let node = Node::following(config([web], node_config())).await;
    node.until_programmed().await;
    node.edit("web", |web| web.pools[0].members[0].weight = Weight::new(55).unwrap());
    node.until_weights(vip("203.0.113.1"), &[("192.0.2.1", 55)]).await;
    node.until_programmed().await;
}

/// A full node adds no VIP, but a VIP that it has follows its Frontend and is not removed.
#[tokio::test]
async fn full_node_keeps_its_vips_and_adds_none() {
    let (a, b) = (backend("a", "192.0.2.1"), backend("b", "192.0.2.2"));
    let (old, new) = (vip("203.0.113.1"), vip("203.0.113.2"));
    let frontends =
        || [("old", old), ("new", new)].map(|(name, key)| frontend(name, key, vec![pool("primary", &[&a, &b])]));
    let node = Node::following(config(frontends().into_iter().take(1), node_config())).await;
    node.until_programmed().await;
    let full = |frontend: Frontend| {
        let problem = Problem::new(Reason::NodeFull, "spec.tableLength", "no room");
        Frontend { standing: Standing::Held(problem), ..frontend }
    };
    node.set_config(config(frontends().map(full), node_config()));
    node.all_up();
    let held = "frontend-programmed name=default/new generation=1 result=Held reason=NodeFull".to_owned();
    node.until("the new Frontend is held", |node| node.log().contains(&held)).await;
    node.edit("old", |frontend| frontend.pools[0].members[0].weight = Weight::new(33).unwrap());
    node.until_weights(old, &[("192.0.2.1", 33), ("192.0.2.2", 10)]).await;
    node.edit("old", |frontend| drop(frontend.pools[0].members.remove(1)));
    node.until("a server is removed", |node| node.weights(old).len() == 1).await;
    // A larger table would need more room.
    node.edit("old", |frontend| frontend.table_length = TableLength::new(32768).unwrap());
    node.until("the larger table is refused", |node| {
        node.log().iter().any(|line| {
            line.starts_with("frontend-programmed name=default/old") && line.ends_with("result=Held reason=NodeFull")
        })
    })
    .await;
    assert_eq!(node.simulator.snapshot().vips.len(), 1);
}
