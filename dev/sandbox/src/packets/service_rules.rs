//! The rules of the Service proxies: the addresses and ports of Services, and the endpoints behind them.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddrV4},
};

use k8s_openapi::api::{
    core::v1::{Service, ServicePort},
    discovery::v1::{Endpoint, EndpointSlice},
};
use kube::ResourceExt as _;

/// The label with the name of a slice's Service.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// The address and port of a Service, with the IP protocol number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ServiceAddress {
    pub protocol: u8,
    pub address: SocketAddrV4,
}

/// The endpoints of one port of a Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// True if each node uses its own endpoints only: `externalTrafficPolicy: Local`.
    local: bool,
    endpoints: Vec<Target>,
}

/// An endpoint that takes packets.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    address: SocketAddrV4,
    node: Option<String>,
    /// False for an endpoint that is serving and terminating.
    ready: bool,
}

/// All rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    rules: HashMap<ServiceAddress, Rule>,
}

impl Rules {
    /// The rules for packets from outside of the cluster: to `status.loadBalancer.ingress` with `ipMode: VIP`, and to
    /// `spec.externalIPs`.
    pub fn new<'a>(
        services: impl IntoIterator<Item = &'a Service>,
        slices: impl IntoIterator<Item = &'a EndpointSlice>,
    ) -> Self {
        let mut by_service: HashMap<(String, String), Vec<&EndpointSlice>> = HashMap::new();
        for slice in slices {
            if let Some(service) = slice.labels().get(SERVICE_LABEL) {
                by_service.entry((slice.namespace().unwrap_or_default(), service.clone())).or_default().push(slice);
            }
        }
        let mut rules = HashMap::new();
        for service in services {
            let key = (service.namespace().unwrap_or_default(), service.name_any());
            let slices = by_service.get(&key).map(Vec::as_slice).unwrap_or_default();
            for port in service.spec.iter().flat_map(|spec| spec.ports.iter().flatten()) {
                let rule = rule(service, port, slices);
                rules.extend(addresses(service, port).into_iter().map(|address| (address, rule.clone())));
            }
        }
        Self { rules }
    }

    /// The endpoints for a new flow that arrives at `node`: those that are ready, else those that are serving and
    /// terminating. `None` for an address without a Service.
    pub fn targets(&self, node: &str, address: ServiceAddress) -> Option<Vec<SocketAddrV4>> {
        let rule = self.rules.get(&address)?;
        let usable = rule.endpoints.iter().filter(|target| !rule.local || target.node.as_deref() == Some(node));
        let (ready, terminating): (Vec<_>, Vec<_>) = usable.partition(|target| target.ready);
        let chosen = if ready.is_empty() { terminating } else { ready };
        Some(chosen.into_iter().map(|target| target.address).collect())
    }
}

fn protocol(name: Option<&String>) -> Option<u8> {
    match name.map_or("TCP", String::as_str) {
        "TCP" => Some(6),
        "UDP" => Some(17),
        _ => None,
    }
}

fn addresses(service: &Service, port: &ServicePort) -> Vec<ServiceAddress> {
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let ingress = balancer.iter().flat_map(|balancer| balancer.ingress.iter().flatten());
    let vips = ingress.filter(|entry| entry.ip_mode.as_deref() != Some("Proxy")).filter_map(|entry| entry.ip.as_ref());
    let external = service.spec.iter().flat_map(|spec| spec.external_ips.iter().flatten());
    let (Some(protocol), Ok(number)) = (protocol(port.protocol.as_ref()), u16::try_from(port.port)) else {
        return Vec::new();
    };
    let ipv4 = vips.chain(external).filter_map(|address| address.parse::<Ipv4Addr>().ok());
    ipv4.map(|address| ServiceAddress { protocol, address: SocketAddrV4::new(address, number) }).collect()
}

fn rule(service: &Service, port: &ServicePort, slices: &[&EndpointSlice]) -> Rule {
    let policy = service.spec.as_ref().and_then(|spec| spec.external_traffic_policy.as_deref());
    let ipv4 = slices.iter().filter(|slice| slice.address_type == "IPv4");
    let endpoints = ipv4.filter_map(|slice| Some((slice, number(slice, port)?)));
    let endpoints = endpoints.flat_map(|(slice, number)| slice.endpoints.iter().filter_map(move |e| target(e, number)));
    Rule { local: policy == Some("Local"), endpoints: endpoints.collect() }
}

/// The number of the Service's port in a slice.
fn number(slice: &EndpointSlice, port: &ServicePort) -> Option<u16> {
    let name = |name: Option<&String>| name.cloned().unwrap_or_default();
    let mut ports = slice.ports.iter().flatten();
    let same = ports.find(|candidate| {
        name(candidate.name.as_ref()) == name(port.name.as_ref())
            && protocol(candidate.protocol.as_ref()) == protocol(port.protocol.as_ref())
    });
    same?.port.and_then(|number| u16::try_from(number).ok())
}

fn target(endpoint: &Endpoint, port: u16) -> Option<Target> {
    let conditions = endpoint.conditions.clone().unwrap_or_default();
    let ready = conditions.ready.unwrap_or(true);
    let draining = conditions.serving.unwrap_or(ready) && conditions.terminating.unwrap_or(false);
    let address = endpoint.addresses.first()?.parse().ok()?;
    (ready || draining).then(|| Target {
        address: SocketAddrV4::new(address, port),
        node: endpoint.node_name.clone(),
        ready,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn service(policy: &str) -> Service {
        let spec = json!({
            "externalTrafficPolicy": policy, "externalIPs": ["203.0.113.9", "2001:db8::9"],
            "ports": [{"name": "http", "port": 80}, {"name": "dns", "port": 53, "protocol": "UDP"}],
        });
        let ingress = json!([{"ip": "203.0.113.8", "ipMode": "VIP"}, {"ip": "203.0.113.7", "ipMode": "Proxy"}]);
        let metadata = json!({"name": "web", "namespace": "shop"});
        let status = json!({"loadBalancer": {"ingress": ingress}});
        serde_json::from_value(json!({"metadata": metadata, "spec": spec, "status": status})).unwrap()
    }

    fn slice(namespace: &str, endpoints: &[(&str, &str, [bool; 3])]) -> EndpointSlice {
        let endpoint = |(address, node, [ready, serving, terminating]): &(&str, &str, [bool; 3])| {
            let conditions = json!({"ready": ready, "serving": serving, "terminating": terminating});
            json!({"addresses": [address], "nodeName": node, "conditions": conditions})
        };
        let endpoints: Vec<_> = endpoints.iter().map(endpoint).collect();
        let labels = json!({"kubernetes.io/service-name": "web"});
        let metadata = json!({"name": "web-1", "namespace": namespace, "labels": labels});
        let ports = json!([{"name": "http", "port": 8080, "protocol": "TCP"}]);
        let object = json!({"metadata": metadata, "addressType": "IPv4", "ports": ports, "endpoints": endpoints});
        serde_json::from_value(object).unwrap()
    }

    fn targets(rules: &Rules, node: &str, address: &str) -> Option<Vec<String>> {
        let address = ServiceAddress { protocol: 6, address: address.parse().unwrap() };
        rules.targets(node, address).map(|targets| targets.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn nodes_use_their_own_endpoints_or_all_of_them() {
        let ready = [true, true, false];
        let slices = [slice("shop", &[("10.244.1.1", "a", ready), ("10.244.2.1", "b", ready)])];
        let local = Rules::new([&service("Local")], &slices);
        for address in ["203.0.113.8:80", "203.0.113.9:80"] {
            assert_eq!(targets(&local, "a", address), Some(vec!["10.244.1.1:8080".to_owned()]));
            assert_eq!(targets(&local, "c", address), Some(Vec::new()));
        }
        assert_eq!(targets(&local, "a", "203.0.113.7:80"), None);
        assert_eq!(targets(&local, "a", "203.0.113.8:53"), None);
        let all = Rules::new([&service("Cluster")], &slices);
        assert_eq!(targets(&all, "c", "203.0.113.8:80").unwrap().len(), 2);
        let elsewhere = Rules::new([&service("Cluster")], [&slice("other", &[("10.244.1.1", "a", ready)])]);
        assert_eq!(targets(&elsewhere, "a", "203.0.113.8:80"), Some(Vec::new()));
    }

    #[test]
    fn terminating_endpoints_are_used_if_no_other_is_ready() {
        let (ready, draining, gone) = ([true, true, false], [false, true, true], [false, false, true]);
        let of_node = |endpoints: &[(&str, &str, [bool; 3])]| {
            let rules = Rules::new([&service("Local")], [&slice("shop", endpoints)]);
            targets(&rules, "a", "203.0.113.8:80").unwrap()
        };
        let (first, second) = (("10.244.1.1", "a", draining), ("10.244.1.2", "a", ready));
        assert_eq!(of_node(&[first, second]), ["10.244.1.2:8080"]);
        assert_eq!(of_node(&[first, ("10.244.1.3", "a", gone)]), ["10.244.1.1:8080"]);
        // A ready endpoint of another node does not count.
        assert_eq!(of_node(&[first, ("10.244.2.1", "b", ready)]), ["10.244.1.1:8080"]);
    }
}
