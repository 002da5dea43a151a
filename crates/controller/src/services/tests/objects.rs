//! Builders of Services and Frontends.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::services::desired::DesiredFrontend;
use maglev_crd::Condition;
use maglev_kube::service_objects::{FrontendObject, FrontendOwner, ServiceObject, ServicePort, ServiceSpec};
use maglev_model::{
    Name,
    vip::{Family, Protocol, Service},
};

pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A port of protocol TCP.
pub fn port(name: &str, port: u16) -> ServicePort {
    ServicePort { name: name.to_owned(), protocol: "TCP".to_owned(), port: port.try_into().unwrap() }
}

/// An IPv4 Service with the port 80.
pub fn service(name: &str, change: impl FnOnce(&mut ServiceSpec)) -> ServiceObject {
    let mut spec = ServiceSpec {
        ports: vec![port("http", 80)],
        families: vec![Family::V4],
        has_selector: true,
        ..ServiceSpec::default()
    };
    change(&mut spec);
    let (namespace, short) = name.split_once('/').unwrap();
    ServiceObject {
        name: Name::namespaced(namespace, short),
        uid: format!("uid-{name}").into(),
        version: "1".to_owned(),
        generation: 0,
        created: at(0),
        is_deleting: false,
        spec: Some(Arc::new(spec)),
        ingress: Vec::new(),
        has_foreign_ingress: false,
        conditions: Vec::new(),
    }
}

/// The Frontend that the API server stores for a manifest.
pub fn stored(desired: &DesiredFrontend, created: i64) -> FrontendObject {
    let owner = &desired.manifest["metadata"]["ownerReferences"][0];
    FrontendObject {
        name: desired.name.clone(),
        uid: format!("uid-{}-{created}", desired.name).into(),
        version: created.to_string(),
        created: at(created),
        is_deleting: false,
        owner: Some(FrontendOwner {
            service: desired.name.sibling(owner["name"].as_str().unwrap()),
            uid: owner["uid"].as_str().unwrap().into(),
        }),
        address: Some(desired.address),
        traffic: Some(desired.traffic),
        spec: desired.manifest["spec"].clone(),
        conditions: Vec::new(),
    }
}

/// A Frontend that was made by hand on port 80.
pub fn by_hand(name: &Name, address: &str, created: i64) -> FrontendObject {
    FrontendObject {
        name: name.clone(),
        uid: format!("uid-{name}-{created}").into(),
        version: created.to_string(),
        created: at(created),
        is_deleting: false,
        owner: None,
        address: address.parse().ok(),
        traffic: Some(Service::Port { protocol: Protocol::Tcp, port: 80.try_into().unwrap() }),
        spec: Value::Null,
        conditions: Vec::new(),
    }
}

pub fn condition(kind: &str, status: &str, reason: &str) -> Condition {
    serde_json::from_value(json!({
        "type": kind, "status": status, "reason": reason, "message": format!("{reason} it is"), "observedGeneration": 0,
        "lastTransitionTime": "2026-11-23T02:00:00Z",
    }))
    .unwrap()
}
