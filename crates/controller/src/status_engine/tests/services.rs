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
    let port = SlicePort { name: "http".into(), port: Some(8080), protocol: Some(Protocol::Tcp) };
    let endpoint = |(address, state): &(&str, EndpointState)| SliceEndpoint {
        address: address.parse().unwrap(),
        state: *state,
        node: None,
    };
    let slice = EndpointSliceObject {
        name: name("shop/web-1"),
        service: name("shop/web"),
        generation: 1,
        address_type: Some(AddressType::Ip(Family::V4)),
        content: Ok(SliceContent { ports: vec![port], endpoints: endpoints.iter().map(endpoint).collect() }),
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
