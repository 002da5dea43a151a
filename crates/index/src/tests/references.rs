//! Names that lead to other objects, and what happens where they do not.

use serde_json::json;

use super::world::{World, at, backend, check, frontend, probed, tcp, vip, with};
use maglev_model::{
    config::{Check, Kind, Probe, Target},
    problem::Reason,
    vip::Encap,
};

const VIP: &str = "203.0.113.1";

#[test]
fn a_frontend_is_resolved_through_backends_to_health_checks() {
    let world = World::of(vec![
        tcp("shop/tcp"),
        probed("shop/web-1", "10.0.0.1", "tcp"),
        at("shop/web-2", "10.0.0.2"),
        frontend("shop/web", 1, &vip(VIP, 80, &["web-1", "web-2"])),
    ]);
    assert_eq!(world.standing("shop/web"), "serving");
    assert_eq!(world.frontend("shop/web").encap, Some(Encap::Gre4));
    assert_eq!(world.frontend("shop/web").vip.to_string(), "203.0.113.1 tcp 80");
    let members = world.members("shop/web");
    let Target::Backend(first) = &members[0].target else { panic!("web-1 is readable") };
    let Check::Probe(check) = &first.check else { panic!("tcp is usable") };
    assert_eq!((check.name.as_str(), check.rise, check.fall), ("shop/tcp", 2, 3));
    assert_eq!(members[0].weight.get(), 10);
    let Target::Backend(second) = &members[1].target else { panic!("web-2 is readable") };
    assert_eq!(second.check, Check::None);
    for kind in Kind::ALL {
        for name in ["shop/tcp", "shop/web-1", "shop/web-2", "shop/web"] {
            assert_eq!(world.problems(kind, name), []);
        }
    }
}

#[test]
fn names_lead_only_to_objects_of_the_same_namespace() {
    let world = World::of(vec![
        tcp("other/tcp"),
        at("other/web-2", "10.0.0.2"),
        probed("shop/web-1", "10.0.0.1", "tcp"),
        frontend("shop/web", 1, &vip(VIP, 80, &["web-1", "web-2"])),
    ]);
    assert_eq!(world.member_names("shop/web"), ["shop/web-1"]);
    assert!(matches!(world.check_of("shop/web-1"), Check::Missing(_)));
}

#[test]
fn a_missing_backend_is_dropped_and_named_by_its_field() {
    let mut world =
        World::of(vec![at("shop/web-2", "10.0.0.2"), frontend("shop/web", 1, &vip(VIP, 80, &["web-1", "web-2"]))]);
    assert_eq!(world.member_names("shop/web"), ["shop/web-2"]);
    assert_eq!(world.standing("shop/web"), "serving");
    let problems = world.problems(Kind::Frontend, "shop/web");
    assert_eq!(problems[0].reason, Reason::BackendNotFound);
    assert_eq!(problems[0].field, "spec.pools[primary].backends[web-1]");
    assert!(problems[0].message.contains("Frontend shop/web"), "{}", problems[0].message);

    world.apply(at("shop/web-1", "10.0.0.1"));
    assert_eq!(world.member_names("shop/web"), ["shop/web-1", "shop/web-2"]);
    assert_eq!(world.problems(Kind::Frontend, "shop/web"), []);

    world.delete(Kind::Backend, "shop/web-2");
    assert_eq!(world.member_names("shop/web"), ["shop/web-1"]);
    assert_eq!(world.reasons(Kind::Frontend, "shop/web")[0].0, Reason::BackendNotFound);
}

#[test]
fn without_any_backend_the_encap_is_as_vpp_has_it() {
    let world = World::of(vec![frontend("shop/web", 1, &vip(VIP, 80, &["web-1"]))]);
    assert_eq!(world.standing("shop/web"), "serving");
    assert_eq!(world.frontend("shop/web").encap, None);
    let no_backends = (Reason::NoBackends, "spec.pools".to_owned());
    assert!(world.reasons(Kind::Frontend, "shop/web").contains(&no_backends));
}

#[test]
fn the_second_backend_with_an_address_is_ignored() {
    let mut world = World::of(vec![
        at("shop/a", "10.0.0.1"),
        at("shop/b", "10.0.0.1"),
        at("shop/c", "10.0.0.3"),
        frontend("shop/web", 1, &vip(VIP, 80, &["c", "b", "a"])),
    ]);
    assert_eq!(world.member_names("shop/web"), ["shop/c", "shop/b"]);
    let duplicate = (Reason::DuplicateAddress, "spec.pools[primary].backends[a]".to_owned());
    assert_eq!(world.reasons(Kind::Frontend, "shop/web"), [duplicate]);

    world.apply(at("shop/b", "10.0.0.2"));
    assert_eq!(world.member_names("shop/web"), ["shop/c", "shop/b", "shop/a"]);
    assert_eq!(world.problems(Kind::Frontend, "shop/web"), []);
}

#[test]
fn one_backend_may_be_in_several_pools() {
    let pools = json!([
        {"name": "primary", "backends": [{"name": "a", "weight": 3}]},
        {"name": "standby", "backends": [{"name": "a"}, {"name": "b"}]},
    ]);
    let world = World::of(vec![
        at("shop/a", "10.0.0.1"),
        at("shop/b", "10.0.0.1"),
        frontend("shop/web", 1, &with(vip(VIP, 80, &[]), "pools", pools)),
    ]);
    let web = world.frontend("shop/web");
    assert_eq!(web.pools.iter().map(|pool| pool.members.len()).collect::<Vec<_>>(), [1, 1]);
    assert_eq!((web.pools[0].members[0].weight.get(), web.pools[1].members[0].weight.get()), (3, 10));
    let duplicate = (Reason::DuplicateAddress, "spec.pools[standby].backends[b]".to_owned());
    assert_eq!(world.reasons(Kind::Frontend, "shop/web"), [duplicate]);
}

#[test]
fn an_unreadable_backend_stays_a_member_with_the_address_that_can_be_read() {
    let broken = json!({"address": "10.0.0.1", "adminState": "Asleep"});
    let mut world = World::of(vec![
        backend("shop/web-1", &broken),
        at("shop/web-2", "10.0.0.2"),
        frontend("shop/web", 1, &vip(VIP, 80, &["web-1", "web-2"])),
    ]);
    let target = world.members("shop/web")[0].target.clone();
    assert_eq!(target, Target::Unreadable { address: Some("10.0.0.1".parse().unwrap()) });
    assert!(!world.config().backends.contains_key(&super::world::name("shop/web-1")));
    let own = world.problems(Kind::Backend, "shop/web-1");
    assert_eq!((own[0].reason, own[0].field.as_str()), (Reason::Unreadable, "spec.adminState"));
    assert!(own[0].message.contains("Asleep"), "{}", own[0].message);
    let field = "spec.pools[primary].backends[web-1]".to_owned();
    assert_eq!(world.reasons(Kind::Frontend, "shop/web"), [(Reason::BackendUnreadable, field)]);

    world.apply(backend("shop/web-1", &json!({"address": 5})));
    assert_eq!(world.members("shop/web")[0].target, Target::Unreadable { address: None });
}

#[test]
fn a_missing_health_check_stops_probing_and_is_never_always_up() {
    let mut world = World::of(vec![probed("shop/web-1", "10.0.0.1", "tcp")]);
    let Check::Missing(problem) = world.check_of("shop/web-1") else { panic!("there is no HealthCheck") };
    assert_eq!((problem.reason, problem.field.as_str()), (Reason::HealthCheckNotFound, "spec.healthCheckRef"));
    assert_eq!(world.problems(Kind::Backend, "shop/web-1"), [problem]);

    world.apply(tcp("shop/tcp"));
    assert!(matches!(world.check_of("shop/web-1"), Check::Probe(_)));
    assert_eq!(world.problems(Kind::Backend, "shop/web-1"), []);

    world.apply(check("shop/tcp", &json!({"type": "TCP", "port": 0})));
    let Check::Missing(problem) = world.check_of("shop/web-1") else { panic!("the HealthCheck is unreadable") };
    assert_eq!(problem.reason, Reason::HealthCheckUnreadable);
    assert_eq!(world.reasons(Kind::HealthCheck, "shop/tcp"), [(Reason::Unreadable, "spec.port".to_owned())]);

    world.delete(Kind::HealthCheck, "shop/tcp");
    let Check::Missing(problem) = world.check_of("shop/web-1") else { panic!("the HealthCheck is gone") };
    assert_eq!(problem.reason, Reason::HealthCheckNotFound);
}

#[test]
fn every_type_is_probed_unless_the_node_lacks_what_icmp_needs() {
    let objects = || {
        let grpc = check("shop/grpc", &json!({"type": "GRPC", "port": 1, "grpc": {"service": "shop.v1.Cart"}}));
        let icmp = check("shop/icmp", &json!({"type": "ICMP"}));
        vec![icmp, grpc, probed("shop/a", "10.0.0.1", "icmp"), probed("shop/b", "10.0.0.2", "grpc")]
    };
    let able = World::of(objects());
    let Check::Probe(icmp) = able.check_of("shop/a") else { panic!("ICMP is probed") };
    assert_eq!(icmp.probe, Probe::Icmp);
    let Check::Probe(grpc) = able.check_of("shop/b") else { panic!("GRPC is probed") };
    assert!(matches!(&grpc.probe, Probe::Grpc { service, tls: None, .. } if service == "shop.v1.Cart"));

    let mut unable = World::without_icmp("this needs a capability");
    unable.list_all(objects());
    let missing = (Reason::MissingCapability, "spec.type".to_owned());
    assert_eq!(unable.reasons(Kind::HealthCheck, "shop/icmp"), [missing]);
    assert!(unable.problems(Kind::HealthCheck, "shop/icmp")[0].message.contains("this needs a capability"));
    let Check::NotSupported(problem) = unable.check_of("shop/a") else { panic!("it cannot be probed here") };
    assert_eq!(problem.reason, Reason::MissingCapability);
    assert!(matches!(unable.check_of("shop/b"), Check::Probe(_)), "all else runs on");
}

#[test]
fn weights_too_large_for_the_table_are_a_warning_that_changes_nothing() {
    let weighing = |weight: u8| {
        let pools = json!([{"name": "primary", "backends": [{"name": "a", "weight": weight}, {"name": "b"}]}]);
        frontend("shop/web", 1, &with(with(vip(VIP, 80, &[]), "pools", pools), "tableLength", 256.into()))
    };
    let mut world = World::of(vec![at("shop/a", "10.0.0.1"), at("shop/b", "10.0.0.2"), weighing(6)]);
    assert_eq!(world.problems(Kind::Frontend, "shop/web"), []);
    world.apply(weighing(7));
    let warning = (Reason::WeightsTooLarge, "spec.pools[primary]".to_owned());
    assert_eq!(world.reasons(Kind::Frontend, "shop/web"), [warning]);
    assert_eq!(world.standing("shop/web"), "serving");
    assert_eq!(world.members("shop/web")[0].weight.get(), 7);
}
