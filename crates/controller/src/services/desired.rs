//! Translates a Service with its addresses to Frontends: one for each port and address. Pure.

use std::net::IpAddr;

use serde_json::{Map, Value, json};
use xxhash_rust::xxh64::xxh64;

use super::request::{Request, RequestedPort};
use maglev_crd as crd;
use maglev_kube::service_objects::{FrontendObject, SERVICE_LABEL, ServiceObject, ServiceSpec};
use maglev_model::{
    Name,
    vip::{Family, Protocol, Service},
};

/// Name of the only pool that the controller writes.
pub const POOL: &str = "service";
/// Longest name of a Frontend, in bytes: that of a label's value.
const MAX_NAME: usize = 63;
/// The fields of the pool's `service` that the controller writes, or removes.
const POOL_FIELDS: [&str; 5] = ["name", "targets", "port", "targetPort", "externalTrafficPolicy"];

/// A Frontend that a Service should have.
#[derive(Clone, Debug, PartialEq)]
pub struct DesiredFrontend {
    pub name: Name,
    pub address: IpAddr,
    pub traffic: Service,
    /// The object with all fields that the controller writes.
    pub manifest: Value,
}

/// The Frontends of a Service, in the order of its ports and addresses.
pub fn frontends(
    service: &ServiceObject,
    spec: &ServiceSpec,
    request: &Request,
    addresses: &[IpAddr],
) -> Vec<DesiredFrontend> {
    let ports = request.ports.iter();
    ports.flat_map(|port| addresses.iter().map(|address| frontend(service, spec, request, port, *address))).collect()
}

fn frontend(
    service: &ServiceObject,
    spec: &ServiceSpec,
    request: &Request,
    port: &RequestedPort,
    address: IpAddr,
) -> DesiredFrontend {
    let name = service.name.sibling(&frontend_name(service.name.name(), port.traffic, Family::from_address(address)));
    let owner = json!({
        "apiVersion": "v1", "kind": "Service", "name": service.name.name(), "uid": &*service.uid, "controller": true,
    });
    let affinity = if spec.has_affinity { crd::SessionAffinity::ClientIP } else { crd::SessionAffinity::None };
    let manifest = json!({
        "apiVersion": format!("{}/{}", crd::GROUP, crd::VERSION),
        "kind": "Frontend",
        "metadata": {
            "name": name.name(),
            "namespace": name.namespace(),
            "labels": { SERVICE_LABEL: service.name.name() },
            "ownerReferences": [owner],
        },
        "spec": {
            "address": address,
            "protocol": port.traffic.protocol().to_uppercase(),
            "port": port.traffic.port(),
            "encap": { "type": crd::EncapType::Gre },
            "sessionAffinity": affinity,
            "onBackendDown": request.on_backend_down,
            "tableLength": request.table_length,
            "pools": [{ "name": POOL, "service": pool(service.name.name(), spec, &port.name) }],
        },
    });
    DesiredFrontend { name, address, traffic: port.traffic, manifest }
}

/// The pool's `service`. The EndpointSlices of a Service without selector list machines that are not Nodes.
fn pool(service: &str, spec: &ServiceSpec, port: &str) -> Value {
    let mut pool = Map::from_iter([("name".to_owned(), json!(service))]);
    if !port.is_empty() {
        pool.insert("port".to_owned(), json!(port));
    }
    if spec.has_selector {
        let policy = if spec.is_local { "Local" } else { "Cluster" };
        pool.insert("targets".to_owned(), json!("Nodes"));
        pool.insert("externalTrafficPolicy".to_owned(), json!(policy));
    } else {
        pool.insert("targets".to_owned(), json!("Endpoints"));
    }
    Value::Object(pool)
}

/// `NAME-PORT-PROTOCOL`, followed by `-v6` for an IPv6 address. A name that would be too long has a part of the Service's
/// name and its hash.
pub fn frontend_name(service: &str, traffic: Service, family: Family) -> String {
    let (protocol, port) = match traffic {
        Service::Port { protocol: Protocol::Tcp, port } => ("tcp", port.get()),
        Service::Port { protocol: Protocol::Udp, port } => ("udp", port.get()),
        Service::AllPorts => ("any", 0),
    };
    let family = if family == Family::V6 { "-v6" } else { "" };
    let end = format!("-{port}-{protocol}{family}");
    if service.len() + end.len() <= MAX_NAME {
        return format!("{service}{end}");
    }
    let hash = format!("-{:08x}", xxh64(service.as_bytes(), 0) >> 32);
    let start = &service[..service.floor_char_boundary(MAX_NAME - end.len() - hash.len())];
    format!("{}{hash}{end}", start.trim_end_matches('-'))
}

impl DesiredFrontend {
    /// True if `stored` is a Frontend on the same VIP. These fields of a Frontend cannot be changed.
    pub fn has_vip_of(&self, stored: &FrontendObject) -> bool {
        stored.address == Some(self.address) && stored.traffic == Some(self.traffic)
    }

    /// True if the fields of `stored` that the controller writes are as they should be. Other fields, and other pools,
    /// belong to other field managers.
    pub fn is_stored(&self, stored: &FrontendObject) -> bool {
        let wanted = &self.manifest["spec"];
        let fields = ["/encap/type", "/sessionAffinity", "/onBackendDown", "/tableLength"];
        let pool = |spec: &Value| -> Option<Value> {
            let pools = spec.get("pools")?.as_array()?;
            pools.iter().find(|pool| pool["name"] == POOL)?.get("service").cloned()
        };
        let (wanted_pool, stored_pool) = (pool(wanted), pool(&stored.spec));
        let same_pool = wanted_pool
            .zip(stored_pool)
            .is_some_and(|(wanted, stored)| POOL_FIELDS.iter().all(|field| wanted.get(*field) == stored.get(*field)));
        same_pool && fields.iter().all(|field| wanted.pointer(field) == stored.spec.pointer(field))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::services::tests::objects::{service, stored};

    fn names(spec: &ServiceSpec, service: &ServiceObject, addresses: &[&str]) -> Vec<(String, String)> {
        let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
        let request = Request::read(spec).unwrap();
        let desired = frontends(service, spec, &request, &addresses);
        desired.iter().map(|frontend| (frontend.name.to_string(), frontend.address.to_string())).collect()
    }

    fn tcp(port: u16) -> Service {
        Service::Port { protocol: Protocol::Tcp, port: port.try_into().unwrap() }
    }

    #[test]
    fn each_port_and_family_has_a_frontend() {
        let service = service("shop/web", |spec| spec.families = vec![Family::V4, Family::V6]);
        let spec = service.spec.clone().unwrap();
        assert_eq!(
            names(&spec, &service, &["203.0.113.1", "2001:db8::1"]),
            [("shop/web-80-tcp", "203.0.113.1"), ("shop/web-80-tcp-v6", "2001:db8::1")]
                .map(|(name, address)| (name.to_owned(), address.to_owned()))
        );
    }

    #[test]
    fn settings_of_the_service_are_those_of_its_frontends() {
        let desired = |change: fn(&mut ServiceSpec)| {
            let service = service("shop/web", change);
            let spec = service.spec.clone().unwrap();
            let request = Request::read(&spec).unwrap();
            frontends(&service, &spec, &request, &["203.0.113.1".parse().unwrap()]).remove(0).manifest
        };
        let plain = desired(|_| {});
        assert_eq!(plain["metadata"]["ownerReferences"][0]["uid"], "uid-shop/web");
        assert_eq!(plain["metadata"]["labels"][SERVICE_LABEL], "web");
        let expected = json!({
            "address": "203.0.113.1", "protocol": "TCP", "port": 80, "encap": {"type": "GRE"}, "sessionAffinity": "None",
            "onBackendDown": "Flush", "tableLength": 8192,
            "pools": [{"name": "service", "service": {
                "name": "web", "port": "http", "targets": "Nodes", "externalTrafficPolicy": "Cluster",
            }}],
        });
        assert_eq!(plain["spec"], expected);
        assert!(serde_json::from_value::<crd::FrontendSpec>(plain["spec"].clone()).is_ok());
        let set = desired(|spec| {
            (spec.is_local, spec.has_affinity) = (true, true);
            spec.ports[0].name.clear();
            spec.annotations = [("table-length".to_owned(), "256".to_owned())].into();
        });
        assert_eq!((&set["spec"]["sessionAffinity"], &set["spec"]["tableLength"]), (&json!("ClientIP"), &json!(256)));
        let pool = json!({"name": "web", "targets": "Nodes", "externalTrafficPolicy": "Local"});
        assert_eq!(set["spec"]["pools"][0]["service"], pool);
        let outside = desired(|spec| spec.has_selector = false);
        let pool = json!({"name": "web", "port": "http", "targets": "Endpoints"});
        assert_eq!(outside["spec"]["pools"][0]["service"], pool);
    }

    #[test]
    fn only_fields_of_the_controller_are_compared() {
        let service = service("shop/web", |_| {});
        let spec: Arc<ServiceSpec> = service.spec.clone().unwrap();
        let request = Request::read(&spec).unwrap();
        let desired = frontends(&service, &spec, &request, &["203.0.113.1".parse().unwrap()]).remove(0);
        let with = |change: fn(&mut Value)| {
            let mut stored = stored(&desired, 1);
            change(&mut stored.spec);
            desired.is_stored(&stored)
        };
        assert!(with(|_| {}));
        assert!(with(|spec| spec["disruption"] = json!({"maxPercent": 5})));
        assert!(with(|spec| spec["pools"][0]["service"]["weight"] = json!(5)));
        assert!(with(|spec| spec["pools"].as_array_mut().unwrap().insert(0, json!({"name": "spare", "backends": []}))));
        assert!(!with(|spec| spec["tableLength"] = json!(256)));
        assert!(!with(|spec| spec["encap"]["type"] = json!("L3DSR")));
        assert!(!with(|spec| spec["pools"] = json!([])));
        assert!(!with(|spec| spec["pools"][0]["service"]["targets"] = json!("Endpoints")));
        assert!(!with(|spec| spec["pools"][0]["service"]["targetPort"] = json!(80)));
        let mut moved = stored(&desired, 1);
        assert!(desired.has_vip_of(&moved));
        moved.address = "203.0.113.2".parse().ok();
        assert!(!desired.has_vip_of(&moved));
    }

    #[test]
    fn long_names_are_shortened_and_stay_different() {
        let long = "a".repeat(63);
        let name = frontend_name(&long, tcp(65535), Family::V6);
        assert_eq!(name.len(), 63);
        assert!(name.ends_with("-65535-tcp-v6"), "{name}");
        let other = "a".repeat(62) + "b";
        assert_ne!(name, frontend_name(&other, tcp(65535), Family::V6));
        assert_eq!(frontend_name(&"a".repeat(56), tcp(80), Family::V4), "a".repeat(56) + "-80-tcp");
        // A part of a name does not end with a hyphen.
        let hyphens = format!("{}{}b", "a".repeat(30), "-".repeat(32));
        let name = frontend_name(&hyphens, tcp(80), Family::V4);
        assert!(name.starts_with(&"a".repeat(30)) && !name.contains("--"), "{name}");
    }

    proptest! {
        /// Names are valid labels, and different for different Services, ports, protocols and families.
        #[test]
        fn names_are_valid_and_unique(
            services in prop::collection::btree_set("[a-z]([-a-z0-9]{0,61}[a-z0-9])?", 1..6),
            ports in prop::collection::btree_set(1..=u16::MAX, 1..6),
        ) {
            let mut names = std::collections::BTreeSet::new();
            for (service, port) in services.iter().flat_map(|service| ports.iter().map(move |port| (service, *port))) {
                for protocol in [Protocol::Tcp, Protocol::Udp] {
                    for family in [Family::V4, Family::V6] {
                        let traffic = Service::Port { protocol, port: port.try_into().unwrap() };
                        let name = frontend_name(service, traffic, family);
                        prop_assert!(name.len() <= 63, "{}", name);
                        let is_alphanumeric = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
                        prop_assert!(name.starts_with(is_alphanumeric) && name.ends_with(is_alphanumeric), "{}", name);
                        prop_assert!(names.insert(name.clone()), "{} twice", name);
                    }
                }
            }
        }
    }
}
