//! Addresses and Frontends of single Services.

use std::collections::BTreeSet;

use serde_json::json;

use super::{
    objects::port,
    world::{Leader, World, auto, name},
};
use maglev_kube::service_objects::ServiceSpec;
use maglev_model::vip::Family;

const POOL: &str = "203.0.113.0/29";

fn world() -> (World, Leader) {
    (World::new(&[("pool", auto(&[POOL]))]), Leader::default())
}

fn dual(spec: &mut ServiceSpec) {
    spec.families = vec![Family::V4, Family::V6];
}

/// Creates a Service with the port 80 that asks for `addresses`.
fn create_asking(world: &mut World, service: &str, number: u16, addresses: &str) {
    world.create(service, |spec| {
        spec.ports = vec![port("p", number)];
        spec.annotations.insert("address".to_owned(), addresses.to_owned());
    });
}

/// The message of the condition Accepted.
fn message(world: &World, service: &str) -> String {
    let conditions = &world.services[&name(service)].conditions;
    let accepted = conditions.iter().find(|found| found.type_ == crate::services::ACCEPTED);
    accepted.map(|accepted| accepted.message.clone()).unwrap_or_default()
}

#[test]
fn service_gets_an_address_and_frontends() {
    let (mut world, mut leader) = world();
    world.create("shop/web", |spec| spec.ports.push(port("https", 443)));
    world.settle(&mut leader);
    assert_eq!(world.frontends(), ["shop/web-443-tcp 203.0.113.1", "shop/web-80-tcp 203.0.113.1"]);
    assert_eq!(world.state("shop/web"), "203.0.113.1 Accepted");
    let written = world.clock;
    world.settle(&mut leader);
    assert_eq!(world.clock, written, "nothing is written again");
    world.delete("shop/web");
    world.settle(&mut leader);
    assert!(world.frontends().is_empty());
}

#[test]
fn addresses_survive_restarts_and_policy_edits() {
    let (mut world, mut leader) = world();
    for service in ["a/one", "a/two", "b/three"] {
        world.create(service, |_| {});
    }
    world.settle(&mut leader);
    let before = world.frontends();
    let written = world.clock;
    world.settle(&mut Leader::default());
    assert_eq!((world.frontends(), world.clock), (before.clone(), written), "a new leader writes nothing");
    world.policies.insert("pool".to_owned(), auto(&["198.51.100.0/24"]));
    world.settle(&mut leader);
    world.policies.clear();
    world.settle(&mut Leader::default());
    assert_eq!(world.frontends(), before);
    assert_eq!(world.state("b/three"), "203.0.113.3 Accepted");
}

#[test]
fn exhausted_pool_is_refused_until_an_address_is_free() {
    let (mut world, mut leader) = world();
    for number in 0..7 {
        world.create(&format!("shop/s{number}"), |_| {});
    }
    world.settle(&mut leader);
    assert_eq!(world.state("shop/s6"), "NoAddressLeft");
    assert_eq!(
        message(&world, "shop/s6"),
        "Service shop/s6: spec.ipFamilies: every IPv4 address that AddressPolicies give to namespace shop is in use; \
         delete a Service, or let an administrator add addresses to an AddressPolicy; until then it has no Frontends"
    );
    // The network address is given only on request.
    create_asking(&mut world, "shop/first", 80, "203.0.113.0");
    world.settle(&mut leader);
    assert_eq!(world.state("shop/first"), "203.0.113.0 Accepted");
    world.delete("shop/s2");
    world.settle(&mut leader);
    assert_eq!(world.state("shop/s6"), "203.0.113.3 Accepted");
}

#[test]
fn without_a_policy_only_requested_addresses_are_given() {
    let (mut world, mut leader) = (World::default(), Leader::default());
    world.create("shop/web", |_| {});
    create_asking(&mut world, "shop/asks", 80, "198.51.100.7");
    world.settle(&mut leader);
    assert_eq!(world.state("shop/web"), "NoAddressPolicy");
    assert!(message(&world, "shop/web").contains("no AddressPolicy gives IPv4 addresses"));
    assert_eq!(world.state("shop/asks"), "198.51.100.7 Accepted");
    world.policies.insert("pool".to_owned(), json!({"frontends": {"addresses": [POOL]}}));
    world.settle(&mut leader);
    assert_eq!(world.state("shop/web"), "NoAddressPolicy", "assign is OnRequest");
    world.policies.insert("pool".to_owned(), auto(&[POOL]));
    world.settle(&mut leader);
    assert_eq!(world.state("shop/web"), "203.0.113.1 Accepted");
}

#[test]
fn refused_request_names_field_and_reason() {
    let (mut world, mut leader) = world();
    world.create("bank/web", |_| {});
    world.settle(&mut leader);
    create_asking(&mut world, "shop/outside", 80, "198.51.100.1");
    create_asking(&mut world, "shop/taken", 81, "203.0.113.1");
    world.create("shop/deprecated", |spec| spec.load_balancer_ip = Some("203.0.113.1".to_owned()));
    world.create("shop/sctp", |spec| spec.ports[0].protocol = "SCTP".to_owned());
    world.settle(&mut leader);
    assert_eq!(world.state("shop/outside"), "AddressNotAllowed");
    let text = message(&world, "shop/outside");
    assert!(text.contains("maglev.vpp.io/address]: 198.51.100.1 is not allowed") && text.contains(POOL), "{text}");
    assert_eq!(world.state("shop/taken"), "AddressTaken");
    let text = message(&world, "shop/taken");
    assert!(text.contains("203.0.113.1 is in use by another namespace") && !text.contains("bank"), "{text}");
    assert!(message(&world, "shop/deprecated").contains("spec.loadBalancerIP: 203.0.113.1 is in use"));
    assert_eq!(world.state("shop/sctp"), "UnsupportedProtocol");
    assert_eq!(world.frontends(), ["bank/web-80-tcp 203.0.113.1"]);
}

#[test]
fn services_of_one_namespace_share_an_address_that_both_ask_for() {
    let (mut world, mut leader) = world();
    create_asking(&mut world, "shop/web", 80, "203.0.113.5");
    create_asking(&mut world, "shop/api", 81, "203.0.113.5");
    create_asking(&mut world, "shop/same", 80, "203.0.113.5");
    create_asking(&mut world, "bank/api", 82, "203.0.113.5");
    world.settle(&mut leader);
    assert_eq!(world.frontends(), ["shop/api-81-tcp 203.0.113.5", "shop/web-80-tcp 203.0.113.5"]);
    assert_eq!((world.state("shop/same"), world.state("bank/api")), ("AddressTaken".into(), "AddressTaken".into()));
    assert!(message(&world, "shop/same").contains("in use by Service shop/web"));
    // One that does not ask any more keeps it, and so does the other one.
    world.ask("shop/web", "");
    world.settle(&mut leader);
    world.settle(&mut Leader::default());
    assert_eq!(world.frontends().len(), 2);
    // A port of the other Service is refused, and the Frontends stay.
    world.ask("shop/web", "203.0.113.5");
    world.edit("shop/api", |spec| spec.ports.push(port("q", 80)));
    world.settle(&mut leader);
    assert_eq!(world.state("shop/api"), "203.0.113.5 AddressTaken");
    assert_eq!(world.frontends().len(), 2);
    world.delete("shop/web");
    world.settle(&mut leader);
    assert_eq!(world.state("shop/api"), "203.0.113.5 Accepted");
    assert_eq!(world.frontends(), ["shop/api-80-tcp 203.0.113.5", "shop/api-81-tcp 203.0.113.5"]);
}

#[test]
fn requested_address_replaces_the_former_one() {
    let (mut world, mut leader) = world();
    world.create("shop/web", |_| {});
    world.settle(&mut leader);
    world.ask("shop/web", "203.0.113.6");
    world.settle(&mut leader);
    assert_eq!(world.frontends(), ["shop/web-80-tcp 203.0.113.6"]);
    assert_eq!(world.state("shop/web"), "203.0.113.6 Accepted");
    world.ask("shop/web", "");
    world.settle(&mut Leader::default());
    assert_eq!(world.state("shop/web"), "203.0.113.6 Accepted", "it stays");
    world.ask("shop/web", "198.51.100.1");
    world.settle(&mut leader);
    assert_eq!(world.state("shop/web"), "203.0.113.6 AddressNotAllowed");
    assert_eq!(world.frontends(), ["shop/web-80-tcp 203.0.113.6"]);
    assert!(message(&world, "shop/web").contains("its Frontends stay as they are: web-80-tcp"));
}

#[test]
fn families_follow_the_service() {
    let (mut world, mut leader) = world();
    world.create("shop/prefers", dual);
    world.create("shop/needs", |spec| {
        dual(spec);
        spec.needs_all_families = true;
    });
    world.settle(&mut leader);
    assert_eq!(world.state("shop/prefers"), "203.0.113.1 Accepted", "a preference is satisfied with one family");
    assert_eq!(world.state("shop/needs"), "NoAddressPolicy");
    world.policies.insert("wide".to_owned(), auto(&["2001:db8::/64"]));
    world.settle(&mut leader);
    assert_eq!(world.state("shop/prefers"), "203.0.113.1,2001:db8::1 Accepted");
    assert_eq!(world.state("shop/needs"), "203.0.113.2,2001:db8::2 Accepted");
    assert!(world.frontends().contains(&"shop/needs-80-tcp-v6 2001:db8::2".to_owned()));
    world.edit("shop/needs", |spec| spec.families = vec![Family::V6]);
    world.settle(&mut leader);
    assert_eq!(world.state("shop/needs"), "2001:db8::2 Accepted");
}

#[test]
fn frontends_leave_with_ports_class_and_owner() {
    let (mut world, mut leader) = world();
    world.create("shop/web", |spec| spec.ports.push(port("https", 443)));
    world.settle(&mut leader);
    world.edit("shop/web", |spec| drop(spec.ports.remove(0)));
    world.settle(&mut leader);
    assert_eq!(world.frontends(), ["shop/web-443-tcp 203.0.113.1"]);
    // A Service of the same name is another one.
    world.delete("shop/web");
    world.create("shop/web", |_| {});
    world.settle(&mut leader);
    assert_eq!(world.frontends(), ["shop/web-80-tcp 203.0.113.2"]);
    world.set_type("shop/web", false);
    world.settle(&mut leader);
    assert_eq!((world.frontends().len(), world.state("shop/web").as_str()), (0, "none"));
}

#[test]
fn frontend_made_by_hand_is_left_alone() {
    let (mut world, mut leader) = world();
    world.create_by_hand("shop/web-80-tcp", "203.0.113.9");
    world.create_by_hand("shop/hand", "203.0.113.1");
    world.create("shop/web", |_| {});
    world.create("shop/other", |_| {});
    create_asking(&mut world, "shop/asks", 81, "203.0.113.1");
    world.settle(&mut leader);
    assert_eq!(world.state("shop/web"), "NameTaken");
    assert!(message(&world, "shop/web").contains("Frontend shop/web-80-tcp exists"));
    assert_eq!(world.state("shop/other"), "203.0.113.2 Accepted");
    assert_eq!(world.state("shop/asks"), "AddressTaken");
    assert!(message(&world, "shop/asks").contains("in use by Frontend shop/hand"));
    assert_eq!(world.frontends.len(), 3);
}

#[test]
fn killed_leader_leaves_nothing_behind() {
    for limit in 0..5 {
        let (mut world, mut leader) = world();
        for service in ["shop/one", "shop/two"] {
            world.create(service, |spec| spec.ports.push(port("https", 443)));
        }
        leader.sync(&world);
        leader.work(&mut world, limit);
        let mut next = Leader::default();
        world.settle(&mut next);
        let states = [world.state("shop/one"), world.state("shop/two")];
        assert_eq!(states, ["203.0.113.1 Accepted", "203.0.113.2 Accepted"], "after {limit} writes");
        assert_eq!(world.frontends.len(), 4);
    }
}

#[test]
fn late_write_of_a_former_leader_does_not_take_an_address_away() {
    let (mut world, mut former) = world();
    world.create("a/late", |_| {});
    former.sync(&world);
    let plans = former.plans(0);
    let mut leader = Leader::default();
    world.create("b/web", |_| {});
    // The leader gives the address of the write that is under way to another Service.
    world.delete("a/late");
    world.settle(&mut leader);
    world.create("a/late", |_| {});
    let now = &world.services[&name("a/late")];
    assert_ne!(plans[0].apply[0].frontend.manifest["metadata"]["ownerReferences"][0]["uid"], &*now.uid);
    assert_eq!(world.state("b/web"), "203.0.113.1 Accepted");
    former.send(&mut world, &plans[0], &mut 1);
    world.settle(&mut leader);
    assert_eq!(world.frontends(), ["a/late-80-tcp 203.0.113.2", "b/web-80-tcp 203.0.113.1"]);
}

#[test]
fn written_frontend_that_is_never_delivered_counts_as_deleted() {
    let (mut world, mut leader) = world();
    world.create("shop/web", |_| {});
    leader.sync(&world);
    leader.work(&mut world, 1);
    let created = world.frontends.clone();
    // Somebody deletes it before the watch delivers it.
    world.frontends.clear();
    leader.sync(&world);
    let plans = leader.plans(1);
    assert!(plans.iter().all(|plan| plan.apply.is_empty()), "the cache has the Frontend");
    leader.engine.expire(tokio::time::Instant::now() + std::time::Duration::from_secs(31));
    world.settle(&mut leader);
    assert_eq!((world.frontends(), created.len()), (vec!["shop/web-80-tcp 203.0.113.1".to_owned()], 1));
}

#[test]
fn bad_edit_does_not_end_the_sharing_of_an_address() {
    let (mut world, mut leader) = world();
    create_asking(&mut world, "shop/web", 80, "203.0.113.5");
    create_asking(&mut world, "shop/api", 81, "203.0.113.5");
    world.settle(&mut leader);
    for service in ["shop/web", "shop/api"] {
        world.edit(service, |spec| spec.annotations.extend([("encap".to_owned(), "NAT".to_owned())]));
    }
    world.settle(&mut leader);
    assert_eq!(world.frontends().len(), 2);
    assert_eq!(world.state("shop/api"), "203.0.113.5 UnsupportedEncap");
}

#[test]
fn port_of_another_service_is_refused_on_an_address_that_is_no_longer_asked_for() {
    let (mut world, mut leader) = world();
    create_asking(&mut world, "shop/web", 80, "203.0.113.5");
    create_asking(&mut world, "shop/api", 81, "203.0.113.5");
    world.settle(&mut leader);
    world.ask("shop/web", "");
    world.edit("shop/web", |spec| spec.ports = vec![port("p", 81)]);
    world.settle(&mut leader);
    assert_eq!(world.state("shop/web"), "203.0.113.5 AddressTaken");
    assert!(message(&world, "shop/web").contains("spec.ports: 203.0.113.5 is in use by Service shop/api"));
    assert_eq!(world.frontends(), ["shop/api-81-tcp 203.0.113.5", "shop/web-80-tcp 203.0.113.5"]);
}

#[test]
fn refused_port_takes_no_address_from_a_service_with_two() {
    let (mut world, mut leader) = world();
    world.policies.insert("wide".to_owned(), auto(&["2001:db8::/64"]));
    create_asking(&mut world, "shop/web", 80, "203.0.113.5");
    world.edit("shop/web", dual);
    create_asking(&mut world, "shop/api", 81, "203.0.113.5");
    world.settle(&mut leader);
    world.ask("shop/web", "");
    world.edit("shop/web", |spec| spec.ports = vec![port("p", 81)]);
    world.settle(&mut leader);
    assert_eq!(world.state("shop/web"), "203.0.113.5,2001:db8::1 AddressTaken");
}

#[test]
fn services_of_one_look_get_different_addresses() {
    let (mut world, mut leader) = world();
    for service in ["a/one", "a/two", "b/three"] {
        world.create(service, |_| {});
    }
    leader.sync(&world);
    let addresses = leader.plans(0).iter().map(|plan| plan.apply[0].frontend.address).collect::<BTreeSet<_>>();
    assert_eq!(addresses.len(), 3, "although no Frontend has been stored yet");
}

#[test]
fn published_address_is_kept_against_an_older_frontend() {
    let (mut world, mut former) = world();
    world.create("a/late", |_| {});
    former.sync(&world);
    let late = former.plans(0);
    // The leader has not seen the Service of the write that is under way, and gives its address to another one.
    let service = world.services.remove(&name("a/late")).unwrap();
    world.create("a/web", |spec| spec.ports = vec![port("p", 81)]);
    let mut leader = Leader::default();
    leader.sync(&world);
    let plans = leader.plans(0);
    world.services.insert(service.name.clone(), service);
    former.send(&mut world, &late[0], &mut 1);
    leader.send(&mut world, &plans[0], &mut 1);
    assert_eq!(world.frontends(), ["a/late-80-tcp 203.0.113.1", "a/web-81-tcp 203.0.113.1"]);
    world.services.get_mut(&name("a/web")).unwrap().ingress = vec!["203.0.113.1".parse().unwrap()];
    world.settle(&mut Leader::default());
    assert_eq!(world.frontends(), ["a/late-80-tcp 203.0.113.2", "a/web-81-tcp 203.0.113.1"]);
}
