use std::net::IpAddr;

use serde_json::{Value, json};

use super::*;
use maglev_fleet::{AgentTarget, AsOf, LinkState};
use maglev_model::{
    actual::{Actual, ActualAs, ActualConf, ActualEncap, ActualVip, VppVip},
    change::{Change, ConfigDelta, VipState, VppInfo},
    config::{Backend, Check, Frontend},
    table,
    view::{Fold as _, View},
    vip::{Protocol, Service, VipKey, Weight},
};
use maglev_testkit::objects::{backend, frontend, ip, pool, vip};

const WEB: &str = "203.0.113.10";
const GRE4: ActualEncap = ActualEncap { kind: 0, dscp: 0, target_port: 0 };
const LENGTH: u32 = 1024;

fn flow(source: &str, destination: &str) -> Flow {
    flow_of(Protocol::Tcp, source, destination)
}

fn flow_of(protocol: Protocol, source: &str, destination: &str) -> Flow {
    Flow::new(protocol, source.parse().unwrap(), destination.parse().unwrap()).unwrap()
}

fn web_flow() -> Flow {
    flow("198.51.100.7:40312", "203.0.113.10:80")
}

/// `shop/web-N` at 192.0.2.N, which is always up.
fn web(number: u8) -> Backend {
    Backend { check: Check::None, ..backend(&format!("shop/web-{number}"), &format!("192.0.2.{number}")) }
}

fn web_frontend() -> Frontend {
    frontend("shop/web", vip(WEB), vec![pool("primary", &[&web(1), &web(2), &web(3)])])
}

fn state(weights: &[(u8, u8)]) -> VipState {
    let servers = weights.iter().map(|(number, weight)| (IpAddr::from([192, 0, 2, *number]), *weight)).collect();
    VipState { encap: Some(GRE4), sticky: Some(false), table_length: Some(LENGTH as u16), servers }
}

fn even() -> VipState {
    state(&[(1, 10), (2, 10), (3, 10)])
}

/// A node whose VPP has `vips`.
fn node(name: &str, frontends: &[Frontend], vips: &[(VppVip, VipState)]) -> NodeState {
    let mut view = View::default();
    let frontends = frontends.iter().map(|frontend| (frontend.name.clone(), Some(Arc::new(frontend.clone()))));
    let delta = ConfigDelta { frontends: frontends.collect(), ..ConfigDelta::default() };
    let vips = vips.iter().map(|(vip, state)| Change::Vip(*vip, Some(state.clone())));
    let changes = [Change::Config(Arc::new(delta)), Change::VppConnected(Arc::new(VppInfo::default()))];
    changes.into_iter().chain(vips).for_each(|change| view.apply(&change, Timestamp::UNIX_EPOCH));
    NodeState {
        node: name.into(),
        target: AgentTarget::from(SocketAddr::from(([192, 0, 2, 254], 9090))),
        link: LinkState::Connected,
        version: None,
        view,
        as_of: Some(AsOf { epoch: 1, seq: 1 }),
        dump: None,
        counters: None,
        last_seen: None,
    }
}

fn web_node(name: &str, state: VipState) -> NodeState {
    node(name, &[web_frontend()], &[(vip(WEB).into(), state)])
}

/// A reading of the node's VPP with the bucket counts of the expected tables.
fn dump(node: &NodeState) -> LbDump {
    let vips = node.view.vpp.as_ref().unwrap().vips.iter().map(|(vip, state)| {
        let servers: Vec<_> = state.servers.iter().map(|(address, weight)| (*address, *weight)).collect();
        let shares = table::shares(state.table_length.map_or(0, u32::from), &servers);
        let ases = servers
            .iter()
            .zip(shares)
            .map(|((address, weight), buckets)| (*address, ActualAs { weight: *weight, buckets }));
        let VipState { encap, sticky, table_length, .. } = *state;
        (*vip, ActualVip { encap, sticky, table_length, pool_index: Some(1), ases: ases.collect() })
    });
    let conf = ActualConf {
        ipv4_source: [192, 0, 2, 254].into(),
        ipv6_source: std::net::Ipv6Addr::UNSPECIFIED,
        sticky_buckets_per_core: 1024,
        flow_timeout: 40,
    };
    LbDump { at: Timestamp::UNIX_EPOCH, conf, actual: Actual { vips: vips.collect(), weightless: false } }
}

fn dumps(nodes: &[NodeState]) -> Responses<LbDump> {
    let connected = nodes.iter().filter(|node| node.view.vpp.is_some());
    connected.map(|node| (Arc::clone(&node.node), Ok(dump(node)))).collect()
}

fn trace(flow: &Flow, nodes: &[NodeState]) -> Trace {
    Trace::new(flow, HashFunction::Auto, nodes.to_vec(), &dumps(nodes))
}

fn text(trace: &Trace) -> String {
    anstream::adapter::strip_str(&trace.page(true, Timestamp::UNIX_EPOCH).to_string()).to_string()
}

/// The answer of the only node, as JSON.
fn answer(flow: &Flow, node: NodeState) -> Value {
    serde_json::to_value(trace(flow, &[node])).unwrap()["perNode"][0].clone()
}

#[test]
fn answer_has_vip_bucket_backend_weight_and_reason() {
    let nodes = [web_node("node-a", even()), web_node("node-b", even())];
    let trace = trace(&web_flow(), &nodes);
    assert!(trace.is_answered());
    // The hash is a vector of `model::flow_hash`. Its bucket is 0x307 = 775.
    let servers: Vec<(IpAddr, u8)> = (1..=3).map(|number| ([192, 0, 2, number].into(), 10)).collect();
    let chosen = 1 + table::fill(LENGTH, &servers)[775];
    let expected = json!({
        "node": "node-a", "result": "Server", "vip": "203.0.113.10 tcp 80", "frontend": "shop/web", "encap": "gre4",
        "tableLength": 1024, "hash": "0xae2f9b07", "bucket": 775, "backend": format!("shop/web-{chosen}"),
        "address": format!("192.0.2.{chosen}"), "inVpp": 10, "effective": 10,
        "because": "up, and pool primary is active",
    });
    let json = serde_json::to_value(&trace).unwrap();
    assert_eq!((&json["perNode"][0], &json["agree"]), (&expected, &json!(true)));
    assert_eq!(json["source"], "198.51.100.7:40312");
    let text = text(&trace);
    for part in
        ["tcp from 198.51.100.7:40312 to 203.0.113.10:80", "775 of 1024", "gre4    0xae2f9b07\n", "tracks already"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("disagree"), "{text}");
}

#[test]
fn other_hash_function_gives_another_bucket() {
    let nodes = vec![web_node("node-a", even())];
    let dumps = dumps(&nodes);
    let json = |function| serde_json::to_value(Trace::new(&web_flow(), function, nodes.clone(), &dumps)).unwrap();
    let (auto, crc32c, xxhash) = (json(HashFunction::Auto), json(HashFunction::Crc32c), json(HashFunction::XxHash));
    assert_eq!(auto["perNode"], crc32c["perNode"]);
    assert_eq!((&xxhash["perNode"][0]["hash"], &xxhash["perNode"][0]["bucket"]), (&json!("0x431d7361"), &json!(0x361)));
    let limits = |json: &Value| json["limits"].as_array().unwrap().len();
    assert_eq!((limits(&auto), limits(&crc32c)), (3, 2), "only auto assumes something");
}

#[test]
fn disagreement_is_stated_with_the_nodes() {
    let chosen = answer(&web_flow(), web_node("node-a", even()))["address"].as_str().unwrap().to_owned();
    let servers: Vec<_> = (1..=3).map(|n| (n, if chosen == format!("192.0.2.{n}") { 0 } else { 10 })).collect();
    let nodes = [web_node("node-a", even()), web_node("node-b", state(&servers)), web_node("node-c", even())];
    let trace = trace(&web_flow(), &nodes);
    assert!(!trace.is_answered());
    let text = text(&trace);
    assert!(text.contains("the nodes disagree: "), "{text}");
    assert!(text.contains(&format!("{chosen} on node-a, node-c")) && text.contains(" on node-b"), "{text}");
}

#[test]
fn node_without_a_backend_is_a_problem() {
    let mut lost = web_node("node-d", even());
    lost.view.vpp = None;
    for (node, result, because) in [
        (
            web_node("node-a", state(&[(1, 0), (2, 0)])),
            "NoServer",
            "no server of the VIP has a weight, so VPP drops the packets: see `maglevc show frontend shop/web`",
        ),
        (
            node("node-b", &[web_frontend()], &[(other_port(), even())]),
            "NoPort",
            "VPP has no VIP for tcp 80 and drops the packets: the address has udp 53; Frontend shop/web has it: see \
             `maglevc why frontend shop/web`",
        ),
        (node("node-c", &[], &[]), "NoVip", "VPP has no VIP on 203.0.113.10"),
        (lost, "Unknown", "the agent is not connected to VPP"),
        (
            web_node("node-e", VipState { table_length: None, ..even() }),
            "Unknown",
            "the length of VPP's table could not be read",
        ),
    ] {
        let trace = trace(&web_flow(), &[node]);
        assert!(!trace.is_answered() && trace.agree, "{result}");
        let json = serde_json::to_value(&trace).unwrap()["perNode"][0].clone();
        assert_eq!((&json["result"], &json["because"]), (&json!(result), &json!(because)));
        assert_eq!(json.get("backend"), None);
        assert!(text(&trace).contains("none"), "{result}");
    }
}

fn other_port() -> VppVip {
    VppVip { protocol: 17, port: 53, ..vip(WEB).into() }
}

#[test]
fn unknown_answer_is_no_disagreement() {
    let mut lost = web_node("node-b", even());
    lost.view.vpp = None;
    let trace = trace(&web_flow(), &[web_node("node-a", even()), lost]);
    assert!(trace.agree && !trace.is_answered());
}

#[test]
fn silent_node_is_a_problem() {
    let silent = NodeState { link: LinkState::Connecting, ..web_node("node-b", even()) };
    let trace = trace(&web_flow(), &[web_node("node-a", even()), silent]);
    assert!(!trace.is_answered());
    assert!(text(&trace).contains("1 of 2 nodes report"));
}

#[test]
fn ports_do_not_count_with_session_affinity() {
    let sticky = || web_node("node-a", VipState { sticky: Some(true), ..even() });
    let bucket = |source, node| answer(&flow(source, "203.0.113.10:80"), node)["bucket"].clone();
    let (first, second) = ("198.51.100.7:40312", "198.51.100.7:40313");
    assert_eq!(bucket(first, sticky()), bucket(second, sticky()));
    assert_ne!(bucket(first, web_node("node-a", even())), bucket(second, web_node("node-a", even())));
    let text = text(&trace(&web_flow(), &[sticky()]));
    assert!(text.contains("node-a: session affinity ClientIP: only the addresses count"), "{text}");
}

#[test]
fn notes_and_warnings_name_what_the_answer_depends_on() {
    let with = |change: fn(&mut VipState)| {
        let mut state = even();
        change(&mut state);
        text(&trace(&web_flow(), &[web_node("node-a", state)]))
    };
    let l3dsr = with(|state| state.encap = Some(ActualEncap { kind: 2, dscp: 7, target_port: 0 }));
    assert!(l3dsr.contains("the server's address as destination and DSCP 7"), "{l3dsr}");
    let nat = with(|state| state.encap = Some(ActualEncap { kind: 3, ..GRE4 }));
    assert!(nat.contains("the VIP has NAT"), "{nat}");
    let unread = with(|state| state.sticky = None);
    assert!(unread.contains("could not be read; computed without it"), "{unread}");
    let mut weightless = web_node("node-a", state(&[(1, 1), (2, 1)]));
    weightless.view.vpp.as_mut().unwrap().weightless = true;
    let weightless = text(&trace(&web_flow(), &[weightless]));
    assert!(weightless.contains("this VPP has no weights"), "{weightless}");
}

#[test]
fn vip_of_all_ports_gets_flows_of_udp_and_ipv6() {
    let key = VipKey { address: ip("2001:db8:1::10"), service: Service::AllPorts };
    let all = node("node-a", &[Frontend { vip: key, ..web_frontend() }], &[(key.into(), even())]);
    let flow = flow_of(Protocol::Udp, "[2001:db8::7]:40312", "[2001:db8:1::10]:443");
    let trace = trace(&flow, &[all]);
    assert!(trace.is_answered());
    let text = text(&trace);
    // 0x51eddbe2 is a vector of `model::flow_hash`.
    for part in ["2001:db8:1::10 any port", "994 of 1024", "0x51eddbe2", "the VIP has all protocols and ports"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn length_of_65536_buckets_is_reported_as_0() {
    let json = answer(&web_flow(), web_node("node-a", VipState { table_length: Some(0), ..even() }));
    assert_eq!((&json["tableLength"], &json["bucket"]), (&json!(65536), &json!(0x9b07)));
}

#[test]
fn table_is_compared_with_the_bucket_counts_of_vpp() {
    let node = web_node("node-a", even());
    let warnings = |response| {
        let dumps = Responses::from([(Arc::clone(&node.node), response)]);
        let trace = Trace::new(&web_flow(), HashFunction::Auto, vec![node.clone()], &dumps);
        assert!(trace.is_answered());
        trace.per_node[0].warnings.join("; ")
    };
    assert_eq!(warnings(Ok(dump(&node))), "");

    let mut wrong = dump(&node);
    let ases = &mut wrong.actual.vips.get_mut(&vip(WEB).into()).unwrap().ases;
    let (first, second) = (ip("192.0.2.1"), ip("192.0.2.2"));
    let expected = ases[&first].buckets;
    ases.get_mut(&first).unwrap().buckets += 1;
    ases.get_mut(&second).unwrap().buckets -= 1;
    let text = warnings(Ok(wrong.clone()));
    let count = format!("192.0.2.1 has {} buckets instead of {expected}, and 1 more differ", expected + 1);
    assert!(text.contains("the table of this VPP is not the expected one") && text.ends_with(&count), "{text}");

    wrong.actual.vips.get_mut(&vip(WEB).into()).unwrap().ases.get_mut(&first).unwrap().weight = 20;
    assert!(warnings(Ok(wrong.clone())).contains("which are older than its weights"));
    wrong.actual.vips.clear();
    assert!(warnings(Ok(wrong)).contains("which are older than its weights"));
    assert!(warnings(Err("unavailable".to_owned())).ends_with("bucket counts: unavailable"));
}

#[test]
fn weight_that_is_not_synced_yet_is_a_warning() {
    let trace = trace(&web_flow(), &[web_node("node-a", state(&[(1, 50)]))]);
    let warning = "VPP has weight 50 for shop/web-1, which the next sync changes to 10";
    assert_eq!(trace.per_node[0].warnings, [warning]);
}

#[test]
fn server_without_backend_and_vip_without_frontend_are_explained() {
    let unclaimed = answer(&web_flow(), web_node("node-a", state(&[(9, 10)])));
    let because = "no pool of shop/web has this server: its removal is held or not done yet";
    assert_eq!((&unclaimed["because"], unclaimed.get("backend")), (&json!(because), None));
    assert_eq!(unclaimed["address"], "192.0.2.9");
    let foreign = answer(&web_flow(), node("node-a", &[], &[(vip(WEB).into(), even())]));
    assert_eq!((&foreign["because"], foreign.get("frontend")), (&json!("no Frontend claims the VIP"), None));
}

#[test]
fn weight_of_a_server_in_two_pools_is_that_of_the_active_pool() {
    let mut pools = vec![pool("primary", &[&web(1)]), pool("standby", &[&web(1)])];
    pools[0].members[0].weight = Weight::ZERO;
    let standby = node("node-a", &[Frontend { pools, ..web_frontend() }], &[(vip(WEB).into(), state(&[(1, 10)]))]);
    assert_eq!(answer(&web_flow(), standby)["because"], "up, and pool standby is active");
}
