//! The objects of the API server, as Kubernetes and the controller write them.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::{NODES, PORTS, SERVICES, SLICES_PER_SERVICE};

/// The Node that maglevd runs on.
pub const OWN_NODE: &str = "bench";
/// Number of endpoints of a slice.
const ENDPOINTS: usize = NODES / SLICES_PER_SERVICE;
const PORT_NUMBERS: [u16; PORTS] = [80, 443, 8443];

/// The address of a Node, on loopback.
fn node_address(number: usize) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 1)) + u32::try_from(number).expect("few Nodes"))
}

fn metadata(name: &str, namespace: Option<&str>, generation: i64) -> Value {
    json!({
        "name": name, "namespace": namespace, "uid": format!("uid-{name}"), "resourceVersion": generation.to_string(),
        "generation": generation, "creationTimestamp": "2026-01-01T00:00:00Z",
    })
}

pub fn nodes() -> Vec<Value> {
    let node = |name: &str, address: Ipv4Addr| {
        let addresses = json!([{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}]);
        json!({"metadata": metadata(name, None, 1), "spec": {}, "status": {"addresses": addresses}})
    };
    let workers = (0..NODES).map(|number| node(&node_name(number), node_address(number)));
    workers.chain([node(OWN_NODE, Ipv4Addr::new(127, 0, 0, 1))]).collect()
}

fn node_name(number: usize) -> String {
    format!("worker-{number:03}.example.com")
}

pub fn load_balancer_config(health_port: u16) -> Value {
    let spec = json!({
        "vpp": {"ipv4SourceAddress": "192.0.2.254"}, "services": {"nodeHealthCheck": {"port": health_port}},
        "sync": {"startupMinDelay": "500ms"},
    });
    json!({"metadata": metadata("default", None, 1), "spec": spec})
}

fn service_name(number: usize) -> String {
    format!("service-{number:04}")
}

/// The Frontends of all Services.
pub fn frontends() -> Vec<Value> {
    let frontend = |service: usize, port: u16| {
        let [.., high, low] = (service + 1).to_be_bytes();
        let name = service_name(service);
        let pool = json!({
            "name": "service",
            "service": {
                "name": name, "targets": "Nodes", "externalTrafficPolicy": "Local", "port": format!("port-{port}"),
                "weight": 10,
            },
        });
        let spec = json!({
            "address": Ipv4Addr::new(198, 18, high, low), "protocol": "TCP", "port": port, "pools": [pool],
            "encap": {"type": "GRE"}, "tableLength": 1024,
        });
        json!({"metadata": metadata(&format!("{name}-{port}-tcp"), Some("shop"), 1), "spec": spec})
    };
    (0..SERVICES).flat_map(|service| PORT_NUMBERS.map(|port| frontend(service, port))).collect()
}

/// All EndpointSlices.
pub fn slices() -> Vec<Value> {
    let parts = (0..SERVICES).flat_map(|service| (0..SLICES_PER_SERVICE).map(move |part| (service, part)));
    parts.map(|(service, part)| slice(service, part, 1, false)).collect()
}

/// The slice `part` of a Service. `terminates` is true if its first endpoint does.
pub fn slice(service: usize, part: usize, generation: i64, terminates: bool) -> Value {
    let endpoint = |index: usize| {
        let number = part * ENDPOINTS + index;
        let terminates = terminates && index == 0;
        let [.., high, low] = service.to_be_bytes();
        let last = u8::try_from(number + 1).expect("few Nodes");
        json!({
            "addresses": [Ipv4Addr::new(10, high, low, last)],
            "conditions": {"ready": !terminates, "serving": true, "terminating": terminates},
            "nodeName": node_name(number),
            "targetRef": {
                "kind": "Pod", "namespace": "shop", "name": format!("{}-5d4f8c7b9-{number:05}", service_name(service)),
                "uid": format!("7c0a9a5e-3f0b-4a53-9d3c-{service:06}{number:06}"),
            },
            "zone": "zone-a",
        })
    };
    let ports: Vec<Value> = PORT_NUMBERS
        .iter()
        .map(|port| json!({"name": format!("port-{port}"), "port": 8000 + port % 1000, "protocol": "TCP"}))
        .collect();
    let mut metadata = metadata(&format!("{}-{part}", service_name(service)), Some("shop"), generation);
    metadata["labels"] = json!({
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        "kubernetes.io/service-name": service_name(service),
    });
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata, "addressType": "IPv4",
        "ports": ports, "endpoints": (0..ENDPOINTS).map(endpoint).collect::<Vec<_>>(),
    })
}
