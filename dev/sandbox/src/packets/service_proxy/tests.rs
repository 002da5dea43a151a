use etherparse::PacketBuilder;
use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use serde_json::json;

use super::*;

const CLIENT: &str = "198.51.100.1:40000";
const VIP: &str = "203.0.113.8:80";

fn address(text: &str) -> SocketAddrV4 {
    text.parse().unwrap()
}

fn tcp(source: &str, destination: &str, flag: &str) -> Vec<u8> {
    let (source, destination) = (address(source), address(destination));
    let mut packet = Vec::new();
    let builder = PacketBuilder::ipv4(source.ip().octets(), destination.ip().octets(), 64);
    let builder = builder.tcp(source.port(), destination.port(), 7, 100);
    let builder = match flag {
        "syn" => builder.syn(),
        "fin" => builder.fin().ack(8),
        _ => builder.ack(8),
    };
    builder.write(&mut packet, b"abc").unwrap();
    packet
}

/// The rules of a Service with these endpoints, all on the node `a`.
fn rules(endpoints: &[&str]) -> Rules {
    let spec = json!({"externalTrafficPolicy": "Local", "externalIPs": ["203.0.113.8"], "ports": [{"port": 80}]});
    let service = json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": spec});
    let service: Service = serde_json::from_value(service).unwrap();
    let endpoints: Vec<_> = endpoints.iter().map(|e| json!({"addresses": [e], "nodeName": "a"})).collect();
    let labels = json!({"kubernetes.io/service-name": "web"});
    let metadata = json!({"name": "web-1", "namespace": "shop", "labels": labels});
    let ports = json!([{"port": 8080, "protocol": "TCP"}]);
    let slice = json!({"metadata": metadata, "addressType": "IPv4", "ports": ports, "endpoints": endpoints});
    let slice: EndpointSlice = serde_json::from_value(slice).unwrap();
    Rules::new([&service], [&slice])
}

/// The endpoint that gets a packet at the node `a`.
fn endpoint(proxy: &ServiceProxy, flag: &str, now: Instant) -> Option<String> {
    let (pod, packet) = proxy.forward(&Arc::from("a"), &tcp(CLIENT, VIP, flag), now)?;
    let pod = format!("{pod}:8080");
    assert_eq!(packet, tcp(CLIENT, &pod, flag));
    Some(pod)
}

#[test]
fn answers_have_the_address_and_port_of_the_service() {
    let (proxy, now) = (ServiceProxy::default(), Instant::now());
    assert_eq!(endpoint(&proxy, "syn", now), None, "no rules");
    proxy.set_rules(rules(&["10.244.1.1"]));
    assert_eq!(proxy.answer(&tcp("10.244.1.1:8080", CLIENT, "ack")), None, "no flow");
    let pod = endpoint(&proxy, "syn", now).unwrap();
    assert_eq!(proxy.answer(&tcp(&pod, CLIENT, "ack")), Some(tcp(VIP, CLIENT, "ack")));
    assert_eq!(proxy.forward(&Arc::from("b"), &tcp(CLIENT, VIP, "syn"), now), None, "no endpoint on the node");
}

#[test]
fn flow_stays_with_its_endpoint_until_that_is_gone() {
    let (proxy, now) = (ServiceProxy::default(), Instant::now());
    proxy.set_rules(rules(&["10.244.1.1"]));
    assert_eq!(endpoint(&proxy, "syn", now).unwrap(), "10.244.1.1:8080");
    proxy.set_rules(rules(&["10.244.1.2"]));
    assert_eq!(endpoint(&proxy, "ack", now).unwrap(), "10.244.1.1:8080");
    proxy.forget("10.244.1.1".parse().unwrap());
    assert_eq!(proxy.answer(&tcp("10.244.1.1:8080", CLIENT, "ack")), None);
    assert_eq!(endpoint(&proxy, "ack", now).unwrap(), "10.244.1.2:8080");
}

#[test]
fn port_that_is_used_again_opens_another_flow() {
    let (proxy, now) = (ServiceProxy::default(), Instant::now());
    proxy.set_rules(rules(&["10.244.1.1"]));
    endpoint(&proxy, "syn", now).unwrap();
    proxy.set_rules(rules(&["10.244.1.2"]));
    assert_eq!(endpoint(&proxy, "syn", now).unwrap(), "10.244.1.1:8080", "the first packet is repeated");
    endpoint(&proxy, "fin", now).unwrap();
    assert_eq!(endpoint(&proxy, "ack", now).unwrap(), "10.244.1.1:8080");
    assert_eq!(endpoint(&proxy, "syn", now).unwrap(), "10.244.1.2:8080");
}

#[test]
fn idle_flows_are_forgotten() {
    let (proxy, start) = (ServiceProxy::default(), Instant::now());
    proxy.set_rules(rules(&["10.244.1.1"]));
    endpoint(&proxy, "syn", start).unwrap();
    let other = |now| {
        let packet = tcp("198.51.100.2:40000", VIP, "syn");
        proxy.forward(&Arc::from("a"), &packet, now).unwrap();
    };
    other(start + IDLE_CLOSED);
    assert_eq!(proxy.flows.lock().flows.len(), 2);
    endpoint(&proxy, "fin", start + IDLE_CLOSED).unwrap();
    // Both flows are idle, and one of them is closed. The third one triggers the sweep.
    let packet = tcp("198.51.100.3:40000", VIP, "syn");
    proxy.forward(&Arc::from("a"), &packet, start + 2 * IDLE_CLOSED).unwrap();
    assert_eq!(proxy.flows.lock().flows.len(), 2);
    assert_eq!(proxy.flows.lock().answers.len(), 2);
}
