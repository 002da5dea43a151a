use std::{net::SocketAddr, sync::Arc};

use super::*;
use crate::{flags::Output, output::render};
use maglev_fleet::{AgentTarget, AsOf, CountersRead, LinkState};
use maglev_model::{
    actual::{ActualConf, VppVip},
    change::{Change, ConfigDelta, VipState, VppInfo},
    config::{DisruptionBudget, Frontend},
    counters::{Counters, StatsSnapshot, VipCounters},
    health::{BackendHealth, BackendState},
    view::{Fold as _, View},
    vip::{Encap, Weight},
};
use maglev_testkit::objects::{backend, frontend, name, pool, vip};

const WEB: &str = "203.0.113.10";
const CONF: ActualConf = ActualConf {
    ipv4_source: std::net::Ipv4Addr::new(192, 0, 2, 254),
    ipv6_source: std::net::Ipv6Addr::LOCALHOST,
    sticky_buckets_per_core: 1024,
    flow_timeout: 40,
};

/// `shop/web` with the Backends `shop/web-1` to `shop/web-3` at 192.0.2.N.
fn web() -> Frontend {
    let backends = [1, 2, 3].map(|number| backend(&format!("shop/web-{number}"), &format!("192.0.2.{number}")));
    frontend("shop/web", vip(WEB), vec![pool("primary", &backends.iter().collect::<Vec<_>>())])
}

/// A node in sync with [`web`], all of whose backends are up and have 7 tracked flows at most.
pub fn node(node: &str, weights: [u8; 3]) -> NodeState {
    let mut view = View::default();
    let frontend = web();
    let backends = frontend.pools[0].members.iter().filter_map(|member| match &member.target {
        maglev_model::config::MemberTarget::Backend(backend) => Some((backend.name.clone(), Some(Arc::clone(backend)))),
        _ => None,
    });
    let delta = ConfigDelta {
        backends: backends.collect(),
        frontends: vec![(frontend.name.clone(), Some(Arc::new(frontend.clone())))],
        ..ConfigDelta::default()
    };
    let up = |number: u8| {
        let address = [192, 0, 2, number].into();
        let health = BackendHealth {
            address,
            state: BackendState::Up,
            ever_known: true,
            in_doubt: false,
            history: Arc::default(),
        };
        Change::Health(name(&format!("shop/web-{number}")), Some(health))
    };
    let servers = (1..).zip(weights).map(|(number, weight)| ([192, 0, 2, number].into(), weight));
    let state = VipState {
        encap: Some(Encap::Gre4.into()),
        sticky: Some(false),
        table_length: Some(1024),
        servers: servers.collect(),
    };
    let key = VppVip::from(frontend.vip);
    let changes =
        [Change::Config(Arc::new(delta)), Change::VppConnected(Arc::new(VppInfo::default())), Change::VppConf(CONF)];
    let changes = changes.into_iter().chain([1, 2, 3].map(up)).chain([Change::Vip(key, Some(state))]);
    changes.for_each(|change| view.apply(&change, Timestamp::UNIX_EPOCH));
    let flows = (1..4).map(|number| ([192, 0, 2, number].into(), 7)).collect();
    let counters =
        Counters { vips: [(key, VipCounters { flows, ..VipCounters::default() })].into(), ..Counters::default() };
    let stats = Arc::new(StatsSnapshot { counters: Some(counters), ..StatsSnapshot::default() });
    NodeState {
        node: node.into(),
        target: AgentTarget::from(SocketAddr::from(([192, 0, 2, 254], 9090))),
        link: LinkState::Connected,
        version: None,
        view,
        as_of: Some(AsOf { epoch: 1, seq: 1 }),
        dump: None,
        counters: Some(Arc::new(CountersRead { at: Timestamp::UNIX_EPOCH, stats })),
        last_seen: None,
    }
}

fn silent(node: NodeState) -> NodeState {
    let link = LinkState::Unreachable { error: "no answer".into(), reason: "NoAnswer", since: Timestamp::UNIX_EPOCH };
    NodeState { link, ..node }
}

fn text(value: &impl Printable) -> String {
    let text = render(value, Output::Table, Timestamp::UNIX_EPOCH).unwrap();
    anstream::adapter::strip_str(&text).to_string()
}

fn json(value: &impl Printable) -> serde_json::Value {
    serde_json::from_str(&render(value, Output::Json, Timestamp::UNIX_EPOCH).unwrap()).unwrap()
}

fn even(name: &str) -> NodeState {
    node(name, [10, 10, 10])
}

#[test]
fn nodes_that_agree_share_a_row() {
    let report = WhatIfReport::new(&WhatIf::Down(name("shop/web-2")), vec![even("node-a"), even("node-b")]);
    assert!(report.is_complete());
    let page = text(&report);
    for part in [
        "If Backend shop/web-2 is down:",
        "shop/web   203.0.113.10 tcp 80   2/2",
        "moved ",
        "(from web-2 ",
        "; collateral ",
        "web-2 lost (at most 14); others kept",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
    let value = json(&report);
    let vip = &value["vips"][0];
    assert_eq!(vip["nodes"], serde_json::json!(["node-a", "node-b"]));
    assert_eq!((&vip["change"], &vip["buckets"]), (&"Updated".into(), &1024.into()));
    assert_eq!(
        vip["flushed"],
        serde_json::json!([{"backend": "shop/web-2", "address": "192.0.2.2", "flowsAtMost": 14}])
    );
    let from: f64 = vip["movedFrom"].as_array().unwrap().iter().map(|from| from["percent"].as_f64().unwrap()).sum();
    assert!((from - vip["movedPercent"].as_f64().unwrap()).abs() < 0.05, "{value}");
}

#[test]
fn nodes_that_differ_or_do_not_report_are_named() {
    let mut other = node("node-b", [10, 10, 50]);
    other.counters = None;
    let mut without_vpp = even("node-c");
    without_vpp.view.apply(&Change::VppDisconnected, Timestamp::UNIX_EPOCH);
    let nodes = vec![even("node-a"), other, without_vpp, silent(even("node-d"))];
    let report = WhatIfReport::new(&WhatIf::Down(name("shop/web-2")), nodes);
    assert!(!report.is_complete());
    let page = text(&report);
    for part in [
        "node-a  ",
        "node-b  ",
        "number not known",
        "node-c: not known: the agent is not connected to VPP",
        "3 of 4 nodes report",
        "node-d: no answer",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
}

#[test]
fn change_without_an_effect_is_explained() {
    let up = WhatIfReport::new(&WhatIf::Up(name("shop/web-2")), vec![even("node-a")]);
    assert_eq!(text(&up), "If Backend shop/web-2 is up:\n\nNo VIP changes.\n");
    let mut node = even("node-a");
    let paused = WhatIf::AdminState(name("shop/web-2"), AdminState::Paused);
    let page = text(&WhatIfReport::new(&paused, vec![node.clone()]));
    assert!(page.contains("kept") && !page.contains("lost ("), "{page}");
    let backends = node.view.backends.iter().map(|(name, backend)| {
        (
            name.clone(),
            Arc::new(maglev_model::config::Backend { admin_state: AdminState::Paused, ..(**backend).clone() }),
        )
    });
    node.view.backends = backends.collect();
    let page = text(&WhatIfReport::new(&WhatIf::Down(name("shop/web-2")), vec![node]));
    assert!(page.contains("Backend shop/web-2 is not probed: its adminState is Paused"), "{page}");
}

#[test]
fn weight_0_of_all_backends_leaves_new_flows_without_a_backend() {
    let weight = WhatIf::Weight {
        backend: name("shop/web-3"),
        frontend: Some(name("shop/web")),
        pool: None,
        weight: Weight::ZERO,
    };
    let page = text(&WhatIfReport::new(&weight, vec![node("node-a", [0, 0, 10])]));
    assert!(
        page.contains("If the weight of Backend shop/web-3 is 0 in all pools of Frontend shop/web that name it:"),
        "{page}"
    );
    let down = text(&WhatIfReport::new(&WhatIf::Down(name("shop/web-9")), vec![even("node-a")]));
    assert!(down.contains("No VIP changes."), "{down}");
}

#[test]
fn flows_of_a_lost_node_find_the_backends_of_equal_tables() {
    let nodes = vec![even("node-a"), even("node-b"), node("node-c", [10, 10, 50])];
    let lost = LostNode::new("node-a", nodes.clone()).unwrap();
    assert!(lost.is_complete());
    let value = json(&lost);
    assert_eq!(
        (&value["vips"][0]["sameBackendPercent"], &value["vips"][0]["flowsAtMost"]),
        (&100.0.into(), &21.into())
    );
    assert_eq!((&value["vips"][0]["nodes"][0], &value["vips"][1]["nodes"][0]), (&"node-b".into(), &"node-c".into()));
    let different = value["vips"][1]["sameBackendPercent"].as_f64().unwrap();
    assert!((30.0..80.0).contains(&different), "{value}");
    let page = text(&lost);
    assert!(page.contains("at most 21") && page.contains("The routers choose the nodes"), "{page}");

    let mut without = even("node-b");
    without.view.apply(&Change::Vip(vip(WEB).into(), None), Timestamp::UNIX_EPOCH);
    let page = text(&LostNode::new("node-a", vec![silent(even("node-a")), without]).unwrap());
    assert!(page.contains("no VIP there"), "{page}");
    let page = text(&LostNode::new("node-a", vec![even("node-a")]).unwrap());
    assert!(page.contains("No other node has a VPP that is known"), "{page}");
    let error = LostNode::new("node-z", nodes).unwrap_err().to_string();
    assert_eq!(error, "no agent found on node node-z: nodes with an agent are node-a, node-b, node-c");
}

#[test]
fn change_that_exceeds_the_disruption_budget_is_marked_as_held() {
    let mut node = even("node-a");
    let disruption = Some(DisruptionBudget { max_moved_percent: 10, window: std::time::Duration::from_secs(60) });
    let frontend = Frontend { disruption, ..(*node.view.frontends[&name("shop/web")]).clone() };
    node.view.frontends.insert(name("shop/web"), Arc::new(frontend));
    let weight = WhatIf::Weight { backend: name("shop/web-3"), frontend: None, pool: None, weight: Weight::ZERO };
    let report = WhatIfReport::new(&weight, vec![node]);
    let page = text(&report);
    for part in [
        "updated, held",
        "shop/web: would be held for 300 s, or until `maglevc accept HOLD-ID`: the change moves ",
        ", and the disruption budget is 10 %",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
    let excess = &json(&report)["vips"][0]["exceededBudget"];
    assert_eq!((&excess["maxMovedPercent"], &excess["holdSeconds"]), (&10.into(), &300.into()), "{excess}");
    assert!(excess["movedPercent"].as_f64().unwrap() > 30.0, "{excess}");
}
