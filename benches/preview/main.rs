//! The time for the effect of one changed Frontend among 1,000 on 10 nodes, as `maglevc diff` computes it: the objects are
//! resolved for each node before and after the change, and the changed address is planned. Not included: the dry run at the API
//! server, the lists of objects, and the reports of the agents. The goal is 1 s.
//!
//! For comparison: the same without the incremental index, with two complete resolutions per node and a plan of all addresses.
//!
//! `cargo bench --bench preview` prints the times, and fails above the goal.
#![expect(clippy::print_stdout, reason = "prints the results")]

use std::{
    collections::BTreeMap,
    hint::black_box,
    net::Ipv6Addr,
    process::ExitCode,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use imbl::{OrdMap, OrdSet};
use jiff::Timestamp;
use maglev_crd::{BackendSpec, FrontendSpec, HealthCheckSpec};
use maglev_index::{ChangedObjects, ConfigPair, IndexOptions, Meta, NodeObject, Object, Stored};
use maglev_model::{
    Name,
    actual::{ActualConf, VppVip},
    change::{VipState, VppInfo},
    config::{Config, Revision},
    health::{BackendHealth, BackendState},
    preview::{NodeInputs, NodePreview},
    view::{View, VppView},
};
use serde_json::{Value, json};

const FRONTENDS: usize = 1000;
const MEMBERS: usize = 16;
const NODES: usize = 10;
const ROUNDS: usize = 7;
const GOAL: Duration = Duration::from_secs(1);
/// The changed Frontend.
const CHANGED: usize = 500;

fn decode<S: serde::de::DeserializeOwned>(name: &str, generation: i64, spec: Value) -> Stored<S> {
    let revision = Revision { uid: name.into(), generation };
    let meta = Meta { name: Name::namespaced("bench", name), revision, created: Timestamp::UNIX_EPOCH };
    Stored { meta, spec: Ok(serde_json::from_value(spec).expect("the spec is well-formed")) }
}

fn backend(number: usize) -> Object {
    let spec = json!({
        "address": format!("10.{}.{}.{}", number / 62_500, number / 250 % 250, number % 250 + 1),
        "healthCheckRef": {"name": "tcp"},
    });
    Object::Backend(decode::<BackendSpec>(&format!("backend-{number}"), 1, spec))
}

/// Frontend `number` with its own Backends, of which the first has this weight.
fn frontend(number: usize, generation: i64, weight: u8) -> Object {
    let member = |at: usize| json!({"name": format!("backend-{}", number * MEMBERS + at), "weight": if at == 0 { weight } else { 10 }});
    let spec = json!({
        "address": format!("203.0.{}.{}", number / 250, number % 250 + 1), "protocol": "TCP", "port": 80, "tableLength": 8192,
        "pools": [{"name": "primary", "backends": (0..MEMBERS).map(member).collect::<Vec<_>>()}],
    });
    Object::Frontend(decode::<FrontendSpec>(&format!("frontend-{number}"), generation, spec))
}

fn node_name(number: usize) -> String {
    format!("node-{number}")
}

/// The stored objects, and a changed weight of one Frontend.
fn objects() -> ChangedObjects {
    let check = json!({"type": "TCP", "port": 80});
    let mut stored = vec![Object::HealthCheck(decode::<HealthCheckSpec>("tcp", 1, check))];
    stored.extend((0..FRONTENDS * MEMBERS).map(backend));
    stored.extend((0..FRONTENDS).map(|number| frontend(number, 1, 10)));
    stored.extend((0..NODES).map(|number| {
        let address = [192, 0, 2, u8::try_from(number + 1).expect("few nodes")].into();
        Object::Node(NodeObject { name: node_name(number), addresses: vec![address], ..NodeObject::default() })
    }));
    ChangedObjects { stored, changed: vec![frontend(CHANGED, 2, 50)], certificates: BTreeMap::new() }
}

fn options(node: usize) -> IndexOptions {
    IndexOptions { node_name: Some(node_name(node)), ..IndexOptions::default() }
}

/// The view of an agent in sync with `config`, all of whose backends are up.
fn view(config: &Config) -> View {
    let mut view = View {
        backends: config.backends.clone(),
        frontends: config.frontends.clone(),
        node: Some(Arc::clone(&config.node)),
        ..View::default()
    };
    view.health.backends = config
        .backends
        .iter()
        .map(|(name, backend)| {
            let state = BackendState::Up;
            let health = BackendHealth {
                address: backend.address,
                state,
                ever_known: true,
                in_doubt: false,
                history: Arc::default(),
            };
            (name.clone(), health)
        })
        .collect();
    let vips: OrdMap<VppVip, VipState> = config
        .frontends
        .values()
        .map(|frontend| {
            let effective = view.effective_weights(frontend);
            let servers = effective.ases.iter().map(|(address, server)| (*address, server.weight.effective(None)));
            let state = VipState {
                encap: frontend.encap.map(Into::into),
                sticky: Some(false),
                table_length: Some(frontend.table_length.get()),
                servers: servers.collect(),
            };
            (VppVip::from(frontend.vip), state)
        })
        .collect();
    let conf = ActualConf {
        ipv4_source: [192, 0, 2, 1].into(),
        ipv6_source: Ipv6Addr::LOCALHOST,
        sticky_buckets_per_core: 1024,
        flow_timeout: 40,
    };
    view.vpp = Some(VppView {
        info: Arc::new(VppInfo::default()),
        since: Timestamp::UNIX_EPOCH,
        conf: Some(conf),
        vips,
        weightless: false,
        foreign: OrdSet::new(),
    });
    view
}

/// The effect on one node.
fn incremental(objects: &ChangedObjects, node: usize, view: &View) -> NodePreview {
    let ConfigPair { before, after } = objects.resolve(options(node)).expect("the node is stored");
    preview(view, &before, &after)
}

/// The effect on one node by two complete resolutions, whose configurations share nothing.
fn complete(objects: &ChangedObjects, node: usize, view: &View) -> NodePreview {
    let resolve = |stored: Vec<Object>| {
        let all = ChangedObjects { stored, ..ChangedObjects::default() };
        all.resolve(options(node)).expect("the node is stored").before
    };
    let before = resolve(objects.stored.clone());
    let is_changed =
        |object: &Object| objects.changed.iter().any(|new| (new.kind(), new.name()) == (object.kind(), object.name()));
    let kept = objects.stored.iter().filter(|object| !is_changed(object)).chain(&objects.changed);
    let mut after = resolve(kept.cloned().collect());
    // Another setting of the node makes all addresses be planned.
    let mut settings = (*after.node).clone();
    settings.vpp.flow_timeout = Some(41);
    after.node = Arc::new(settings);
    preview(view, &before, &after)
}

fn preview(view: &View, before: &Config, after: &Config) -> NodePreview {
    let (mut before, mut after) =
        (NodeInputs::new(before, view.health.clone()), NodeInputs::new(after, view.health.clone()));
    NodeInputs::adopt_reported(&mut before, &mut after, view);
    after.assume_up(&before);
    NodePreview::new(view, &before, &after).expect("VPP is known")
}

/// The time for all nodes, divided among the cores as by maglevc.
fn measure(
    objects: &ChangedObjects,
    views: &[View],
    effect: fn(&ChangedObjects, usize, &View) -> NodePreview,
) -> Duration {
    let start = Instant::now();
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let size = views.len().div_ceil(threads);
    let numbered: Vec<(usize, &View)> = views.iter().enumerate().collect();
    thread::scope(|scope| {
        for part in numbered.chunks(size) {
            scope.spawn(move || {
                for (node, view) in part {
                    let preview = black_box(effect(objects, *node, view));
                    assert_eq!(preview.vips.len(), 1, "one VIP changes");
                }
            });
        }
    });
    start.elapsed()
}

fn main() -> ExitCode {
    let objects = objects();
    let views: Vec<View> =
        (0..NODES).map(|node| view(&objects.resolve(options(node)).expect("the node is stored").before)).collect();
    let (mut times, mut complete_times) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        times.push(measure(&objects, &views, incremental));
        complete_times.push(measure(&objects, &views, complete));
    }
    times.sort();
    complete_times.sort();
    let seconds = |times: &[Duration]| {
        let at = |index: usize| times[index].as_secs_f64();
        format!("{:.3} s (quartiles {:.3}-{:.3})", at(ROUNDS / 2), at(ROUNDS / 4), at(ROUNDS * 3 / 4))
    };
    println!(
        "one changed Frontend of {FRONTENDS} x {MEMBERS}, {NODES} nodes: {}, goal {} s",
        seconds(&times),
        GOAL.as_secs()
    );
    println!("two complete resolutions per node, all addresses: {}", seconds(&complete_times));
    if times[ROUNDS / 2] <= GOAL { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
