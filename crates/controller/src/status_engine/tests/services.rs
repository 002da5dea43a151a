//! Frontends whose pools follow a Service.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::json;

use super::scene::{Scene, name};
use maglev_index::{AddressType, EndpointSliceObject, EndpointState, Object, SliceContent, SliceEndpoint, SlicePort};
use maglev_kube::{KindUpdate, ObservedObject, StoredStatus};
use maglev_model::{
    config::Kind,
    event::{FrontendState, ProgramResult},
    vip::{Family, Protocol},
};

/// Delivers a complete list with one slice of shop/web.
fn deliver(scene: &mut Scene, endpoints: &[(&str, EndpointState)]) {
    let endpoint = |(address, state): &(&str, EndpointState)| SliceEndpoint {
        address: address.parse().unwrap(),
        state: *state,
        node: None,
    };
    deliver_endpoints(scene, endpoints.iter().map(endpoint).collect());
}

fn deliver_endpoints(scene: &mut Scene, endpoints: Vec<SliceEndpoint>) {
    let port = SlicePort { name: "http".into(), port: Some(8080), protocol: Some(Protocol::Tcp) };
    let slice = EndpointSliceObject {
        name: name("shop/web-1"),
        service: name("shop/web"),
        generation: 1,
        address_type: Some(AddressType::Ip(Family::V4)),
        content: Ok(SliceContent { ports: vec![port], endpoints }),
    };
    let objects = vec![ObservedObject { object: Object::EndpointSlice(slice), stored: StoredStatus::default() }];
    let services = Some(Arc::new(BTreeSet::from([name("shop/web")])));
    let update = KindUpdate { kind: Kind::EndpointSlice, services, first: true, deleted: Vec::new(), objects };
    scene.engine.apply_kinds(vec![update]);
}

#[test]
fn endpoints_count_as_backends_and_have_no_status() {
    let (ready, draining) = (EndpointState::Ready, EndpointState::Draining);
    let mut scene = Scene::with_nodes(&["a", "b"]);
    let pools = json!([{"name": "primary", "service": {"name": "web", "targets": "Endpoints"}}]);
    scene.frontend("shop/web", &json!({"address": "203.0.113.1", "protocol": "TCP", "port": 80, "pools": pools}));
    scene.reconcile();
    assert_eq!(scene.frontend_status("shop/web").backends_summary, None, "the endpoints are not known");
    assert_eq!(scene.condition("shop/web", "ResolvedRefs"), "True ResolvedRefs");

    deliver(&mut scene, &[("10.0.0.1", ready), ("10.0.0.2", ready)]);
    for node in ["a", "b"] {
        scene.report_program(node, "shop/web", ProgramResult::Programmed, "");
        scene.report_state(node, "shop/web", FrontendState::Up);
    }
    let written = scene.reconcile();
    assert!(written.iter().all(|write| !write.contains("Backend")), "{written:?}");
    assert_eq!(scene.frontend_status("shop/web").backends_summary.as_deref(), Some("2/2"));
    assert_eq!(scene.condition("shop/web", "Ready"), "True Ready");

    // A rollout: the agents report nothing new.
    deliver(&mut scene, &[("10.0.0.1", ready), ("10.0.0.2", draining), ("10.0.0.3", ready)]);
    let written = scene.reconcile();
    assert!(written.iter().all(|write| !write.contains("Backend")), "{written:?}");
    assert_eq!(scene.frontend_status("shop/web").backends_summary.as_deref(), Some("2/3"));
    assert_eq!(scene.condition("shop/web", "Programmed"), "True Programmed");
    assert_eq!(scene.condition("shop/web", "Ready"), "True Ready");
}

#[test]
fn available_names_the_drained_nodes() {
    let mut scene = Scene::with_nodes(&["a"]);
    for (node, address) in [("w1", "192.0.2.1"), ("w2", "192.0.2.2")] {
        scene.node(node, &[]);
        scene.node_address(node, address);
    }
    let pools = json!([{"name": "primary", "service": {"name": "web", "targets": "Nodes"}}]);
    scene.frontend("shop/web", &json!({"address": "203.0.113.1", "protocol": "TCP", "port": 80, "pools": pools}));
    let on = |node: &str, last: u8| SliceEndpoint {
        address: [10, 0, 0, last].into(),
        state: EndpointState::Ready,
        node: Some(node.into()),
    };
    deliver_endpoints(&mut scene, vec![on("w1", 1), on("w2", 2)]);
    scene.report_program("a", "shop/web", ProgramResult::Programmed, "");
    scene.report_state("a", "shop/web", FrontendState::Up);
    scene.reconcile();
    let available = "every node has a backend to send traffic to";
    assert_eq!(scene.message("shop/web", "Available"), available);

    scene.drain_node("w1", Some("true"));
    scene.reconcile();
    let first = "Node w1 has the annotation maglev.vpp.io/drain: no new flows to it";
    assert_eq!(scene.message("shop/web", "Available"), format!("{available}; {first}"));
    scene.drain_node("w2", Some("true"));
    scene.report_state("a", "shop/web", FrontendState::Down);
    scene.reconcile();
    assert_eq!(scene.condition("shop/web", "Available"), "False NoBackendUp");
    assert_eq!(
        scene.message("shop/web", "Available"),
        format!("no backend takes traffic on 1 of 1 nodes: a; {first}, nor to 1 more drained Nodes")
    );
    scene.report_state("a", "shop/web", FrontendState::Up);
    scene.drain_node("w1", None);
    scene.drain_node("w2", None);
    scene.reconcile();
    assert_eq!(scene.message("shop/web", "Available"), available);
}
