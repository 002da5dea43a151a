//! Services and Frontends with hostile texts.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;

use super::{Generated, Pages};
use crate::{address::Addresses, service::ServiceExplanation};
use maglev_crd::{Condition, FrontendSpec};
use maglev_index::{Meta, PolicyExplainer, Stored};
use maglev_kube::{
    ReadFrontend, ReadService,
    service_objects::{FrontendObject, FrontendOwner, ServiceObject, ServiceSpec},
};
use maglev_model::{Name, config::Revision, vip::Service};

fn condition(set: &mut Generated, kind: &str) -> Condition {
    serde_json::from_value(json!({
        "type": kind, "status": set.text(), "reason": set.text(), "message": set.text(),
        "lastTransitionTime": "2026-11-23T02:00:00Z",
    }))
    .expect("a condition")
}

fn service(set: &mut Generated, name: &Name) -> ReadService {
    let annotations = BTreeMap::from([("address".to_owned(), set.text())]);
    let object = ServiceObject {
        name: name.clone(),
        uid: set.text().into(),
        version: set.text(),
        generation: 1,
        created: set.time(),
        is_deleting: false,
        spec: set.rng.bool().then(|| ServiceSpec { annotations, ..ServiceSpec::default() }.into()),
        ingress: vec![[203, 0, 113, 1].into()],
        has_foreign_ingress: false,
        conditions: vec![
            condition(set, "maglev.vpp.io/Accepted"),
            condition(set, &format!("c{}", set.names[0].clone())),
        ],
    };
    ReadService { service_type: set.text(), class: Some(set.text()), object: Some(object) }
}

fn frontend(set: &mut Generated, service: &Name, is_made: bool) -> ReadFrontend {
    let name = service.sibling(&format!("f{}", set.text()));
    let spec = json!({"address": "203.0.113.1", "pools": [{"name": "p", "backends": []}]});
    let spec: FrontendSpec = serde_json::from_value(spec).expect("a spec");
    let owner = FrontendOwner { service: service.clone(), uid: set.text().into() };
    let object = FrontendObject {
        name: name.clone(),
        uid: set.text().into(),
        version: set.text(),
        created: set.time(),
        is_deleting: false,
        owner: is_made.then_some(owner),
        address: Some([203, 0, 113, 1].into()),
        traffic: Some(Service::AllPorts),
        spec: json!(set.text()),
        conditions: vec![condition(set, "Accepted"), condition(set, "Programmed")],
    };
    let meta = Meta { name, revision: Revision::default(), created: Timestamp::UNIX_EPOCH };
    ReadFrontend { object, stored: Stored { meta, spec: Ok(spec) } }
}

/// The texts of the commands on addresses and Services.
pub fn add(pages: &mut Pages, set: &mut Generated) {
    let name = Name::namespaced(&set.text(), &set.text());
    let frontends = [frontend(set, &name, true), frontend(set, &name, false)];
    let mut explainer = PolicyExplainer::new(Vec::new(), Vec::new());
    pages.add("show addresses", &Addresses::new(&frontends, &[], &mut explainer));
    let service = service(set, &name);
    pages.add("why service", &ServiceExplanation::new(&name, &service, &frontends));
}
