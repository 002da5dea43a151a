//! A changed slice costs its own Service only.

use serde_json::json;

use super::{
    super::fixture::{IndexFixture, frontend, name, vip, with},
    READY, nodes, slice, stored, worker, workers,
};
use crate::{EndpointSliceObject, Object, Work};

const SERVICES: usize = 50;
const ENDPOINTS: usize = 1000;

/// The slices of a Service: 100 endpoints each, on the Nodes `w1` to `w4`.
fn slices(service: usize, generation: i64) -> Vec<EndpointSliceObject> {
    let addresses: Vec<(String, String)> = (0..ENDPOINTS)
        .map(|number| (format!("10.{service}.{}.{}", number / 200, number % 200 + 1), format!("w{}", number % 4 + 1)))
        .collect();
    addresses
        .chunks(100)
        .enumerate()
        .map(|(part, rows)| {
            let rows: Vec<_> = rows.iter().map(|(address, node)| (address.as_str(), node.as_str(), READY)).collect();
            EndpointSliceObject {
                service: name(&format!("shop/s{service}")),
                ..slice(&format!("s{service}-{part}"), generation, &rows)
            }
        })
        .collect()
}

fn fixture(targets: &str) -> IndexFixture {
    let mut objects = workers();
    for service in 0..SERVICES {
        let pools = json!([{"name": "p", "service": {"name": format!("s{service}"), "targets": targets}}]);
        let spec = with(vip(&format!("203.0.113.{}", service + 1), 80, &[]), "pools", pools);
        objects.push(frontend(&format!("shop/f{service}"), 1, &spec));
        objects.extend(slices(service, 1).into_iter().map(Object::EndpointSlice));
    }
    IndexFixture::new(objects)
}

fn cost(fixture: &mut IndexFixture, object: Object) -> Work {
    let before = fixture.index.work();
    fixture.apply(object);
    let after = fixture.index.work();
    Work {
        backends: after.backends - before.backends,
        frontends: after.frontends - before.frontends,
        endpoints: after.endpoints - before.endpoints,
        published: after.published - before.published,
        ..Work::default()
    }
}

#[test]
fn changed_slice_resolves_its_service_only() {
    let mut nodes = fixture("Nodes");
    assert_eq!(nodes.config().backends.len(), 4, "one derived Backend for each Node");
    let mut changed = slices(7, 2).remove(3);
    changed.content.as_mut().unwrap().endpoints.pop();
    let work = cost(&mut nodes, stored(changed.clone()));
    // Every Node has the weight 100 either way.
    assert_eq!(work, Work { frontends: 1, endpoints: 999, ..Work::default() });
    assert_eq!(cost(&mut nodes, stored(changed)), Work::default(), "an equal slice costs nothing");

    let mut all = fixture("Endpoints");
    assert_eq!(all.config().backends.len(), SERVICES * ENDPOINTS);
    let mut changed = slices(7, 2).remove(3);
    changed.content.as_mut().unwrap().endpoints.pop();
    let work = cost(&mut all, stored(changed));
    assert_eq!(work, Work { backends: 1, frontends: 1, endpoints: 999, published: 1, ..Work::default() });
}

#[test]
fn heartbeat_of_a_node_costs_nothing() {
    let mut fixture = fixture("Nodes");
    assert_eq!(cost(&mut fixture, Object::Node(worker("w1", &["192.0.2.1"]))), Work::default());
    let mut labelled = worker("w1", &["192.0.2.1"]);
    labelled.labels.insert("team".into(), "one".into());
    assert_eq!(cost(&mut fixture, Object::Node(labelled)), Work::default());
    assert_eq!(nodes(), json!({"targets": "Nodes"}));
}
