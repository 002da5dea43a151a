//! Pools with targets Endpoints, and the rules about several slices.

use serde_json::{Value, json};

use super::{
    super::fixture::{IndexFixture, frontend, policy, tcp, vip, with},
    DRAINING, NOT_READY, READY, backends, broken, endpoints, fixture, following, following_at, members, port, slice,
    stored, workers,
};
use crate::{AddressType, EndpointSliceObject, Object, SliceContent, SlicePort};
use maglev_model::{
    config::{Check, Kind},
    problem::Reason,
    vip::{Family, Protocol},
};

#[test]
fn ready_endpoints_have_the_weight_and_terminating_ones_keep_their_flows() {
    let rows = [("10.0.0.1", "", READY), ("10.0.0.2", "", DRAINING), ("10.0.0.3", "", NOT_READY)];
    let mut fixture = fixture(&endpoints(), vec![slice("web-1", 1, &rows)]);
    assert_eq!(members(&fixture), ["shop/web@10.0.0.1 10.0.0.1 10", "shop/web@10.0.0.2 10.0.0.2 0*"]);
    assert_eq!(backends(&fixture), ["shop/web@10.0.0.1", "shop/web@10.0.0.2"]);
    assert_eq!(fixture.health_check("shop/web@10.0.0.1"), Check::None, "readiness is all");
    fixture.apply(stored(slice("web-1", 2, &rows[1..])));
    assert_eq!(
        members(&fixture),
        ["shop/web@10.0.0.2 10.0.0.2 0*", "shop/web@10.0.0.3 10.0.0.3 0*"],
        "a Service that is not ready is no removal"
    );
}

#[test]
fn endpoint_that_reappears_is_as_before() {
    let rows = [("10.0.0.1", "", READY), ("10.0.0.2", "", READY)];
    let mut fixture = fixture(&endpoints(), vec![slice("web-1", 1, &rows)]);
    let before = members(&fixture);
    fixture.apply(stored(slice("web-1", 2, &rows[..1])));
    assert_eq!(members(&fixture), before[..1]);
    fixture.apply(stored(slice("web-1", 3, &rows)));
    assert_eq!(members(&fixture), before);
}

#[test]
fn newest_generation_of_a_duplicate_counts() {
    let old = [("10.0.0.1", "", READY), ("10.0.0.2", "", READY)];
    let moved = [("10.0.0.2", "", DRAINING), ("10.0.0.3", "", READY)];
    let mut fixture = fixture(&endpoints(), vec![slice("web-a", 3, &old), slice("web-b", 7, &moved)]);
    let all = |second: &str| {
        ["shop/web@10.0.0.1 10.0.0.1 10", second, "shop/web@10.0.0.3 10.0.0.3 10"].map(str::to_owned).to_vec()
    };
    assert_eq!(members(&fixture), all("shop/web@10.0.0.2 10.0.0.2 0"));
    fixture.apply(stored(slice("web-a", 8, &old)));
    assert_eq!(members(&fixture), all("shop/web@10.0.0.2 10.0.0.2 10"));
    fixture.apply(stored(slice("web-a", 7, &old)));
    assert_eq!(members(&fixture), all("shop/web@10.0.0.2 10.0.0.2 10"), "the better state of equal generations");
}

#[test]
fn only_slices_of_the_family_of_the_vip_count() {
    let four = slice("web-4", 1, &[("10.0.0.1", "w1", READY)]);
    let six = slice("web-6", 1, &[("2001:db8::1", "w1", READY), ("2001:db8::2", "w1", READY)]);
    let mut fixture = fixture(&endpoints(), vec![four.clone(), six.clone()]);
    assert_eq!(members(&fixture), ["shop/web@10.0.0.1 10.0.0.1 10"]);
    fixture.apply(following_at("2001:db8:f::1", &endpoints()));
    assert_eq!(members(&fixture), ["shop/web@2001:db8::1 2001:db8::1 10", "shop/web@2001:db8::2 2001:db8::2 10"]);
    fixture.apply(following(&json!({"targets": "Nodes"})));
    assert_eq!(members(&fixture), ["node:w1 192.0.2.1 10"], "a pod counts once");
    fixture.apply(following(&endpoints()));
    fixture.delete(Kind::EndpointSlice, "shop/web-4");
    assert_eq!(members(&fixture).len(), 2, "the other family, if the Service has no other");
    let names = EndpointSliceObject { address_type: Some(AddressType::Fqdn), ..slice("web-f", 1, &[]) };
    fixture.apply(stored(names));
    assert_eq!(members(&fixture).len(), 2);
}

/// A slice with `ports`.
fn with_ports(name: &str, ports: Vec<SlicePort>, address: &str) -> EndpointSliceObject {
    let mut slice = slice(name, 1, &[(address, "", READY)]);
    slice.content = slice.content.map(|content| SliceContent { ports, ..content });
    slice
}

#[test]
fn port_selects_the_slices() {
    let http = || with_ports("web-1", vec![port("http", 8080), port("admin", 9090)], "10.0.0.1");
    let admin = || with_ports("web-2", vec![port("admin", 9090)], "10.0.0.2");
    let mut fixture = fixture(&endpoints(), vec![http(), admin()]);
    let several = [(Reason::ServicePortNotFound, "spec.pools[primary].service".to_owned())];
    assert_eq!(fixture.standing("shop/web"), "held ServicePortNotFound spec.pools[primary].service");
    assert_eq!(fixture.reasons(Kind::Frontend, "shop/web"), several);
    assert!(fixture.problems(Kind::Frontend, "shop/web")[0].message.contains("admin, http"));

    let with_port = |field: &str, value: Value| following(&with(endpoints(), field, value));
    fixture.apply(with_port("port", json!("http")));
    assert_eq!(members(&fixture), ["shop/web@10.0.0.1 10.0.0.1 10"]);
    fixture.apply(with_port("targetPort", json!(9090)));
    assert_eq!(members(&fixture).len(), 2);
    fixture.apply(with_port("port", json!("https")));
    assert_eq!(fixture.standing("shop/web"), "held ServicePortNotFound spec.pools[primary].service");
    assert_eq!(members(&fixture), ["shop/web@unknown - 0?"], "nothing is withdrawn");
    // A Service without endpoints has no ports in its slices.
    fixture.apply(stored(slice("web-1", 2, &[])));
    fixture.apply(stored(slice("web-2", 2, &[])));
    assert_eq!(fixture.standing("shop/web"), "serving");
}

#[test]
fn port_has_the_protocol_of_the_frontend() {
    let dns = |protocol| SlicePort {
        protocol: Some(protocol),
        ..port(if protocol == Protocol::Tcp { "tcp" } else { "udp" }, 53)
    };
    let mut fixture =
        fixture(&endpoints(), vec![with_ports("web-1", vec![dns(Protocol::Tcp), dns(Protocol::Udp)], "10.0.0.1")]);
    assert_eq!(members(&fixture).len(), 1);
    fixture.apply(stored(with_ports("web-1", vec![dns(Protocol::Udp)], "10.0.0.1")));
    assert_eq!(fixture.standing("shop/web"), "held ServicePortNotFound spec.pools[primary].service");
    let pools = json!([{"name": "primary", "service": {"name": "web", "targets": "Endpoints"}}]);
    let all = json!({"address": "203.0.113.1", "pools": pools});
    fixture.apply(frontend("shop/web", 1, &all));
    assert_eq!(members(&fixture).len(), 1, "a Frontend for all traffic needs no port");
}

#[test]
fn endpoints_have_the_health_check_of_the_pool() {
    let probed = json!({"targets": "Endpoints", "healthCheckRef": {"name": "c"}});
    let mut fixture = fixture(&probed, vec![slice("web-1", 1, &[("10.0.0.1", "", READY)])]);
    assert_eq!(members(&fixture), ["shop/web@10.0.0.1+c 10.0.0.1 10"]);
    assert!(matches!(fixture.health_check("shop/web@10.0.0.1+c"), Check::Missing(_)));
    fixture.apply(tcp("shop/c"));
    let Check::Probe(check) = fixture.health_check("shop/web@10.0.0.1+c") else { panic!("the check exists") };
    assert_eq!(check.name.as_str(), "shop/c");
    let pools = json!([{"name": "primary", "service": {"name": "web", "targets": "Endpoints"}}]);
    fixture.apply(frontend("shop/other", 2, &with(vip("203.0.113.2", 80, &[]), "pools", pools)));
    assert_eq!(backends(&fixture), ["shop/web@10.0.0.1", "shop/web@10.0.0.1+c"], "each with its own check");
}

#[test]
fn policies_decide_on_endpoints_as_on_backends() {
    let rows = [("10.0.0.1", "", READY), ("10.0.0.2", "", READY), ("203.0.113.1", "", READY)];
    let mut fixture = fixture(&endpoints(), vec![slice("web-1", 1, &rows)]);
    let kept = |number: u8| format!("shop/web@10.0.0.{number} 10.0.0.{number} 10?");
    assert_eq!(members(&fixture)[2], "shop/web@203.0.113.1 203.0.113.1 10?", "the address of a Frontend");
    let spec = json!({"namespaces": {"names": ["shop"]}, "frontends": {"addresses": ["203.0.113.0/24"]}, "backends": {"addresses": ["10.0.0.1/32"]}});
    fixture.apply(policy("p", &spec));
    assert_eq!(members(&fixture)[1], kept(2));
    assert_eq!(backends(&fixture), ["shop/web@10.0.0.1"]);
    let reasons = fixture.reasons(Kind::Frontend, "shop/web");
    assert_eq!(
        reasons,
        [(Reason::BackendUnreadable, "spec.pools[primary].service".to_owned())],
        "once for all of them"
    );
}

#[test]
fn derived_backends_have_no_events_and_survive_a_list_of_backends() {
    let mut fixture = fixture(&endpoints(), vec![slice("web-1", 1, &[("10.0.0.1", "", READY)])]);
    let changes = fixture.apply(stored(slice("web-1", 2, &[("10.0.0.2", "", READY)])));
    assert!(changes.is_empty(), "{changes:?}");
    fixture.index.reset(Kind::Backend, Vec::<Object>::new());
    assert_eq!(members(&fixture), ["shop/web@10.0.0.2 10.0.0.2 10"]);
    assert_eq!(backends(&fixture), ["shop/web@10.0.0.2"]);
}

#[test]
fn slice_of_another_service_is_ignored_and_can_be_relabelled() {
    let other = |generation| EndpointSliceObject {
        service: super::super::fixture::name("shop/other"),
        ..slice("web-1", generation, &[("10.0.0.1", "", READY)])
    };
    let mut fixture = fixture(&endpoints(), vec![other(1)]);
    assert!(members(&fixture).is_empty());
    fixture.apply(stored(slice("web-1", 2, &[("10.0.0.1", "", READY)])));
    assert_eq!(members(&fixture).len(), 1);
    fixture.apply(stored(other(3)));
    assert!(members(&fixture).is_empty());
    let family = Family::V4;
    assert_eq!(other(1).address_type, Some(AddressType::Ip(family)));
}

#[test]
fn frontends_of_one_service_have_the_members_that_each_has_alone() {
    let ports = |names: &[&str], slice: EndpointSliceObject| {
        let SliceContent { endpoints, .. } = slice.content.unwrap();
        let ports = names.iter().map(|name| port(name, 8080)).collect();
        Object::EndpointSlice(EndpointSliceObject { content: Ok(SliceContent { ports, endpoints }), ..slice })
    };
    let rows = [("10.0.0.1", "w1", READY), ("10.0.0.2", "w1", READY), ("10.0.0.3", "w2", DRAINING)];
    let six = slice("web-6", 1, &[("2001:db8::1", "w3", READY)]);
    let mut objects = workers();
    objects.push(tcp("shop/c"));
    objects.push(ports(&["http", "admin"], slice("web-a", 1, &rows)));
    objects.push(ports(&["http"], slice("web-b", 1, &[("10.0.0.4", "w4", READY), ("10.0.0.5", "w3", NOT_READY)])));
    objects.push(ports(&["http"], six.clone()));
    objects.push(stored(EndpointSliceObject { address_type: six.address_type, ..broken("web-c") }));
    let settings = [
        json!({"targets": "Nodes", "port": "http"}),
        json!({"targets": "Nodes", "port": "http"}),
        json!({"targets": "Nodes", "port": "http", "weight": 3}),
        json!({"targets": "Nodes", "port": "admin", "weight": 3}),
        json!({"targets": "Nodes", "port": "admin", "externalTrafficPolicy": "Cluster"}),
        json!({"targets": "Endpoints", "port": "admin"}),
        json!({"targets": "Endpoints", "port": "http"}),
        json!({"targets": "Endpoints", "port": "http", "healthCheckRef": {"name": "c"}}),
        json!({"targets": "Endpoints", "port": "http"}),
        json!({"targets": "Endpoints", "port": "none"}),
    ];
    let mut frontends = Vec::new();
    // By name, those with VIPs of one family are next to each other.
    for (family, network) in [("four", "203.0.113."), ("six", "2001:db8:f::")] {
        for (number, settings) in settings.iter().enumerate() {
            let mut service = json!({"name": "web"});
            service.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
            let pool = json!([{"name": "primary", "service": service}]);
            let spec = with(vip(&format!("{network}{}", number + 1), 80, &[]), "pools", pool);
            frontends.push((format!("shop/{family}-{number}"), spec));
        }
    }
    let objects = |frontends: &[(String, Value)]| {
        let frontends = frontends.iter().map(|(name, spec)| frontend(name, 1, spec));
        objects.iter().cloned().chain(frontends).collect()
    };
    let mut all = IndexFixture::new(objects(&frontends));
    let changed = slice("web-a", 2, &rows[1..]);
    for change in [None, Some(ports(&["http", "admin"], changed))] {
        change.iter().for_each(|change| drop(all.apply(change.clone())));
        for one in &frontends {
            let mut alone = IndexFixture::new(objects(std::slice::from_ref(one)));
            change.iter().for_each(|change| drop(alone.apply(change.clone())));
            assert_eq!(all.frontend(&one.0), alone.frontend(&one.0));
            assert_eq!(all.problems(Kind::Frontend, &one.0), alone.problems(Kind::Frontend, &one.0));
        }
    }
    let [first, second] = ["shop/four-0", "shop/four-1"].map(|name| all.frontend(name).pools[0].members.as_ptr());
    assert_eq!(first, second, "they share the list");
}
