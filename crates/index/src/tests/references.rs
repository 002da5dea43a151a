//! Tests of references between objects.

use serde_json::json;

use super::fixture::{IndexFixture, at, backend, check, frontend, probed, tcp, vip, with};
use maglev_model::{
    config::{Check, Kind, MemberTarget, Probe},
    problem::Reason,
    vip::Encap,
};

const VIP: &str = "203.0.113.1";

#[test]
fn frontend_is_resolved_through_backends_to_health_checks() {
    let fixture = IndexFixture::new(vec![
        tcp("shop/tcp"),
        probed("shop/web-1", "10.0.0.1", "tcp"),
        at("shop/web-2", "10.0.0.2"),
        frontend("shop/web", 1, &vip(VIP, 80, &["web-1", "web-2"])),
    ]);
    assert_eq!(fixture.standing("shop/web"), "serving");
    assert_eq!(fixture.frontend("shop/web").encap, Some(Encap::Gre4));
    assert_eq!(fixture.frontend("shop/web").vip.to_string(), "203.0.113.1 tcp 80");
    let members = fixture.members("shop/web");
    let MemberTarget::Backend(first) = &members[0].target else { panic!("web-1 is readable") };
    let Check::Probe(check) = &first.check else { panic!("tcp is usable") };
    assert_eq!((check.name.as_str(), check.rise, check.fall), ("shop/tcp", 2, 3));
    assert_eq!(members[0].weight.get(), 10);
    let MemberTarget::Backend(second) = &members[1].target else { panic!("web-2 is readable") };
    assert_eq!(second.check, Check::None);
    for kind in Kind::ALL {
        for name in ["shop/tcp", "shop/web-1", "shop/web-2", "shop/web"] {
            assert_eq!(fixture.problems(kind, name), []);
        }
    }
}

#[test]
fn references_resolve_in_the_same_namespace_only() {
    let fixture = IndexFixture::new(vec![
        tcp("other/tcp"),
        at("other/web-2", "10.0.0.2"),
        probed("shop/web-1", "10.0.0.1", "tcp"),
        frontend("shop/web", 1, &vip(VIP, 80, &["web-1", "web-2"])),
    ]);
    assert_eq!(fixture.member_names("shop/web"), ["shop/web-1"]);
    assert!(matches!(fixture.health_check("shop/web-1"), Check::Missing(_)));
}

#[test]
fn missing_backend_is_dropped_with_a_problem() {
    let mut fixture = IndexFixture::new(vec![
        at("shop/web-2", "10.0.0.2"),
        frontend("shop/web", 1, &vip(VIP, 80, &["web-1", "web-2"])),
    ]);
    assert_eq!(fixture.member_names("shop/web"), ["shop/web-2"]);
    assert_eq!(fixture.standing("shop/web"), "serving");
    let problems = fixture.problems(Kind::Frontend, "shop/web");
    assert_eq!(problems[0].reason, Reason::BackendNotFound);
    assert_eq!(problems[0].field, "spec.pools[primary].backends[web-1]");
    assert!(problems[0].message.contains("Frontend shop/web"), "{}", problems[0].message);

    fixture.apply(at("shop/web-1", "10.0.0.1"));
    assert_eq!(fixture.member_names("shop/web"), ["shop/web-1", "shop/web-2"]);
    assert_eq!(fixture.problems(Kind::Frontend, "shop/web"), []);

    fixture.delete(Kind::Backend, "shop/web-2");
    assert_eq!(fixture.member_names("shop/web"), ["shop/web-1"]);
    assert_eq!(fixture.reasons(Kind::Frontend, "shop/web")[0].0, Reason::BackendNotFound);
}

#[test]
fn frontend_without_backend_has_no_encap() {
    let fixture = IndexFixture::new(vec![frontend("shop/web", 1, &vip(VIP, 80, &["web-1"]))]);
    assert_eq!(fixture.standing("shop/web"), "serving");
    assert_eq!(fixture.frontend("shop/web").encap, None);
    let no_backends = (Reason::NoBackends, "spec.pools".to_owned());
    assert!(fixture.reasons(Kind::Frontend, "shop/web").contains(&no_backends));
}

#[test]
fn second_backend_with_an_address_is_dropped() {
    let mut fixture = IndexFixture::new(vec![
        at("shop/a", "10.0.0.1"),
        at("shop/b", "10.0.0.1"),
        at("shop/c", "10.0.0.3"),
        frontend("shop/web", 1, &vip(VIP, 80, &["c", "b", "a"])),
    ]);
    assert_eq!(fixture.member_names("shop/web"), ["shop/c", "shop/b"]);
    let duplicate = (Reason::DuplicateAddress, "spec.pools[primary].backends[a]".to_owned());
    assert_eq!(fixture.reasons(Kind::Frontend, "shop/web"), [duplicate]);

    fixture.apply(at("shop/b", "10.0.0.2"));
    assert_eq!(fixture.member_names("shop/web"), ["shop/c", "shop/b", "shop/a"]);
    assert_eq!(fixture.problems(Kind::Frontend, "shop/web"), []);
}

#[test]
fn backend_may_be_in_several_pools() {
    let pools = json!([
        {"name": "primary", "backends": [{"name": "a", "weight": 3}]},
        {"name": "standby", "backends": [{"name": "a"}, {"name": "b"}]},
    ]);
    let fixture = IndexFixture::new(vec![
        at("shop/a", "10.0.0.1"),
        at("shop/b", "10.0.0.1"),
        frontend("shop/web", 1, &with(vip(VIP, 80, &[]), "pools", pools)),
    ]);
    let web = fixture.frontend("shop/web");
    assert_eq!(web.pools.iter().map(|pool| pool.members.len()).collect::<Vec<_>>(), [1, 1]);
    assert_eq!((web.pools[0].members[0].weight.get(), web.pools[1].members[0].weight.get()), (3, 10));
    let duplicate = (Reason::DuplicateAddress, "spec.pools[standby].backends[b]".to_owned());
    assert_eq!(fixture.reasons(Kind::Frontend, "shop/web"), [duplicate]);
}

#[test]
fn unreadable_backend_stays_a_member_with_its_readable_address() {
    let broken = json!({"address": "10.0.0.1", "adminState": "Asleep"});
    let mut fixture = IndexFixture::new(vec![
        backend("shop/web-1", &broken),
        at("shop/web-2", "10.0.0.2"),
        frontend("shop/web", 1, &vip(VIP, 80, &["web-1", "web-2"])),
    ]);
    let target = fixture.members("shop/web")[0].target.clone();
    assert_eq!(target, MemberTarget::Unreadable { address: Some("10.0.0.1".parse().unwrap()) });
    assert!(!fixture.config().backends.contains_key(&super::fixture::name("shop/web-1")));
    let own = fixture.problems(Kind::Backend, "shop/web-1");
    assert_eq!((own[0].reason, own[0].field.as_str()), (Reason::Unreadable, "spec.adminState"));
    assert!(own[0].message.contains("Asleep"), "{}", own[0].message);
    let field = "spec.pools[primary].backends[web-1]".to_owned();
    assert_eq!(fixture.reasons(Kind::Frontend, "shop/web"), [(Reason::BackendUnreadable, field)]);

    fixture.apply(backend("shop/web-1", &json!({"address": 5})));
    assert_eq!(fixture.members("shop/web")[0].target, MemberTarget::Unreadable { address: None });
}

#[test]
fn missing_health_check_stops_probing_and_is_not_always_up() {
    let mut fixture = IndexFixture::new(vec![probed("shop/web-1", "10.0.0.1", "tcp")]);
    let Check::Missing(problem) = fixture.health_check("shop/web-1") else { panic!("there is no HealthCheck") };
    assert_eq!((problem.reason, problem.field.as_str()), (Reason::HealthCheckNotFound, "spec.healthCheckRef"));
    assert_eq!(fixture.problems(Kind::Backend, "shop/web-1"), [problem]);

    fixture.apply(tcp("shop/tcp"));
    assert!(matches!(fixture.health_check("shop/web-1"), Check::Probe(_)));
    assert_eq!(fixture.problems(Kind::Backend, "shop/web-1"), []);

    fixture.apply(check("shop/tcp", &json!({"type": "TCP", "port": 0})));
    let Check::Missing(problem) = fixture.health_check("shop/web-1") else { panic!("the HealthCheck is unreadable") };
    assert_eq!(problem.reason, Reason::HealthCheckUnreadable);
    assert_eq!(fixture.reasons(Kind::HealthCheck, "shop/tcp"), [(Reason::Unreadable, "spec.port".to_owned())]);

    fixture.delete(Kind::HealthCheck, "shop/tcp");
    let Check::Missing(problem) = fixture.health_check("shop/web-1") else { panic!("the HealthCheck is gone") };
    assert_eq!(problem.reason, Reason::HealthCheckNotFound);
}

#[test]
fn every_type_is_probed_except_icmp_without_capability() {
    let objects = || {
        let grpc = check("shop/grpc", &json!({"type": "GRPC", "port": 1, "grpc": {"service": "shop.v1.Cart"}}));
        let icmp = check("shop/icmp", &json!({"type": "ICMP"}));
        vec![icmp, grpc, probed("shop/a", "10.0.0.1", "icmp"), probed("shop/b", "10.0.0.2", "grpc")]
    };
    let able = IndexFixture::new(objects());
    let Check::Probe(icmp) = able.health_check("shop/a") else { panic!("ICMP is probed") };
    assert_eq!(icmp.probe, Probe::Icmp);
    let Check::Probe(grpc) = able.health_check("shop/b") else { panic!("GRPC is probed") };
    assert!(matches!(&grpc.probe, Probe::Grpc { service, tls: None, .. } if service == "shop.v1.Cart"));

    let mut unable = IndexFixture::without_icmp("this needs a capability");
    unable.list_all(objects());
    let missing = (Reason::MissingCapability, "spec.type".to_owned());
    assert_eq!(unable.reasons(Kind::HealthCheck, "shop/icmp"), [missing]);
    assert!(unable.problems(Kind::HealthCheck, "shop/icmp")[0].message.contains("this needs a capability"));
    let Check::NotSupported(problem) = unable.health_check("shop/a") else { panic!("it cannot be probed here") };
    assert_eq!(problem.reason, Reason::MissingCapability);
    assert!(matches!(unable.health_check("shop/b"), Check::Probe(_)), "all else runs on");
}

#[test]
fn weights_too_large_for_the_table_are_a_warning_only() {
    let weighing = |weight: u8| {
        let pools = json!([{"name": "primary", "backends": [{"name": "a", "weight": weight}, {"name": "b"}]}]);
        frontend("shop/web", 1, &with(with(vip(VIP, 80, &[]), "pools", pools), "tableLength", 256.into()))
    };
    let mut fixture = IndexFixture::new(vec![at("shop/a", "10.0.0.1"), at("shop/b", "10.0.0.2"), weighing(6)]);
    assert_eq!(fixture.problems(Kind::Frontend, "shop/web"), []);
    fixture.apply(weighing(7));
    let warning = (Reason::WeightsTooLarge, "spec.pools[primary]".to_owned());
    assert_eq!(fixture.reasons(Kind::Frontend, "shop/web"), [warning]);
    assert_eq!(fixture.standing("shop/web"), "serving");
    assert_eq!(fixture.members("shop/web")[0].weight.get(), 7);
}
