//! Property tests: the result depends on the stored objects only, not on their history, and unknown endpoints withdraw
//! nothing.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{prelude::*, sample::select};
use serde_json::{Value, json};

use super::{
    super::fixture::{IndexFixture, frontend, lb_config, name, tcp, vip, with},
    DRAINING, NOT_READY, READY, broken, port, slice, worker, workers,
};
use crate::{AddressType, EndpointSliceObject, NodeObject, Object};
use maglev_model::{
    Name,
    config::{AdminState, Backend, Check, Kind, Member, MemberTarget, Standing},
    problem::Problem,
    vip::Family,
};

const SLICES: [&str; 4] = ["web-a", "web-b", "web-c", "api-a"];

/// A version of a slice; few addresses, so that slices have duplicates.
fn any_slice() -> impl Strategy<Value = EndpointSliceObject> {
    let address = select(vec!["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "2001:db8::1", "2001:db8::2"]);
    let node = select(vec!["", "w1", "w2", "w3", "w9"]);
    let row = (address, node, select(vec![READY, READY, DRAINING, NOT_READY]));
    let rows = prop::collection::vec(row, 0..5);
    let ports = select(vec![vec!["http"], vec!["http"], vec!["http", "admin"], vec!["admin"], vec![]]);
    let kind = prop_oneof![6 => Just(0), 1 => Just(1), 1 => Just(2)];
    (select(SLICES.to_vec()), 1..4_i64, rows, ports, kind).prop_map(|(slice_name, generation, rows, ports, kind)| {
        let mut new = match kind {
            0 => {
                let v6 = rows.first().is_some_and(|row| row.0.contains(':'));
                let rows: Vec<_> = rows.into_iter().filter(|row| row.0.contains(':') == v6).collect();
                slice(slice_name, generation, &rows)
            }
            1 => broken(slice_name),
            _ => EndpointSliceObject { address_type: None, ..broken(slice_name) },
        };
        if let Ok(content) = &mut new.content {
            content.ports = ports.into_iter().map(|name| port(name, 8080)).collect();
        }
        if slice_name.starts_with("api") {
            new.service = name("shop/api");
        }
        new
    })
}

fn any_pool() -> impl Strategy<Value = Value> {
    let targets = select(vec![
        json!({"targets": "Nodes"}),
        json!({"targets": "Nodes", "externalTrafficPolicy": "Cluster"}),
        json!({"targets": "Endpoints"}),
        json!({"targets": "Endpoints", "healthCheckRef": {"name": "c"}}),
    ]);
    (targets, select(vec!["web", "web", "api"]), select(vec![Value::Null, json!("http")])).prop_map(
        |(mut service, name, port)| {
            service["name"] = json!(name);
            service["port"] = port;
            service
        },
    )
}

fn any_frontend() -> impl Strategy<Value = Object> {
    let addresses = select(vec!["203.0.113.1", "203.0.113.2", "2001:db8:f::1"]);
    (select(vec!["shop/web", "shop/two"]), addresses, prop::collection::vec(any_pool(), 0..3)).prop_map(
        |(frontend_name, address, services)| {
            let pool = |(index, service)| json!({"name": format!("p{index}"), "service": service});
            let pools: Vec<Value> = services.into_iter().enumerate().map(pool).collect();
            frontend(frontend_name, 1, &with(vip(address, 80, &[]), "pools", json!(pools)))
        },
    )
}

fn any_worker() -> impl Strategy<Value = Object> {
    let addresses = select(vec![vec![], vec!["192.0.2.1"], vec!["192.0.2.2", "2001:db8:2::2"], vec!["2001:db8:3::3"]]);
    let drain = select(vec![None, None, Some("true"), Some("10m Flush"), Some("odd"), Some("false")]);
    let fields = (select(vec!["w1", "w2", "w3"]), addresses, any::<bool>(), drain, any::<bool>());
    fields.prop_map(|(node, addresses, is_excluded, drain, unschedulable)| {
        let mut node = NodeObject { drain: drain.map(str::to_owned), unschedulable, ..worker(node, &addresses) };
        if is_excluded {
            node.labels.insert("node.kubernetes.io/exclude-from-external-load-balancers".into(), "true".into());
        }
        Object::Node(node)
    })
}

#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a few dozen of them live at a time")]
enum Step {
    Apply(Object),
    Delete(Kind, Name),
    /// A complete list of slices.
    List(Vec<EndpointSliceObject>),
}

fn any_step() -> impl Strategy<Value = Step> {
    let deleted = select(vec![
        (Kind::Frontend, "shop/web"),
        (Kind::Frontend, "shop/two"),
        (Kind::Node, "w1"),
        (Kind::Node, "w2"),
        (Kind::HealthCheck, "shop/c"),
        (Kind::LoadBalancerConfig, "l"),
    ]);
    let settings = select(vec![json!({}), json!({"drainOn": ["Unschedulable"]})]);
    let settings = settings.prop_map(|services| lb_config("l", 1, &json!({ "services": services })));
    prop_oneof![
        6 => any_slice().prop_map(|slice| Step::Apply(Object::EndpointSlice(slice))),
        3 => any_frontend().prop_map(Step::Apply),
        2 => any_worker().prop_map(Step::Apply),
        1 => Just(Step::Apply(tcp("shop/c"))),
        1 => settings.prop_map(Step::Apply),
        1 => deleted.prop_map(|(kind, object)| Step::Delete(kind, name(object))),
        2 => select(SLICES.to_vec()).prop_map(|slice| Step::Delete(Kind::EndpointSlice, name(&format!("shop/{slice}")))),
        1 => prop::collection::vec(any_slice(), 0..4).prop_map(Step::List),
    ]
}

type Stored = BTreeMap<(Kind, Name), Object>;

fn initial() -> Stored {
    workers().into_iter().map(|object| ((object.kind(), object.name()), object)).collect()
}

fn store(stored: &mut Stored, step: &Step) {
    match step {
        Step::Apply(object) => drop(stored.insert((object.kind(), object.name()), object.clone())),
        Step::Delete(kind, name) => drop(stored.remove(&(*kind, name.clone()))),
        Step::List(slices) => {
            stored.retain(|(kind, _), _| *kind != Kind::EndpointSlice);
            let slices = slices.iter().map(|slice| ((Kind::EndpointSlice, slice.name.clone()), slice.clone()));
            stored.extend(slices.map(|(key, slice)| (key, Object::EndpointSlice(slice))));
        }
    }
}

fn apply(fixture: &mut IndexFixture, step: Step) {
    match step {
        Step::Apply(object) => drop(fixture.apply(object)),
        Step::Delete(kind, name) => drop(fixture.index.delete(kind, &name)),
        Step::List(slices) => {
            drop(fixture.index.reset(Kind::EndpointSlice, slices.into_iter().map(Object::EndpointSlice).collect()));
        }
    }
}

fn contents(fixture: &IndexFixture) -> impl PartialEq + std::fmt::Debug + use<> {
    let config = fixture.config();
    let problems: Vec<Vec<Problem>> =
        ["shop/web", "shop/two"].iter().map(|name| fixture.problems(Kind::Frontend, name)).collect();
    (config.frontends, config.backends, config.health_checks, problems)
}

fn all_members(fixture: &IndexFixture) -> Vec<Member> {
    let frontends = fixture.config().frontends;
    frontends.values().flat_map(|frontend| &frontend.pools).flat_map(|pool| pool.members.to_vec()).collect()
}

/// The Backends that are paused.
fn paused(fixture: &IndexFixture) -> BTreeSet<Name> {
    let config = fixture.config();
    let is_paused = |backend: &Backend| backend.admin_state == AdminState::Paused;
    config.backends.iter().filter(|(_, backend)| is_paused(backend)).map(|(name, _)| name.clone()).collect()
}

/// Derived Backends are those that the members name, or have the address of one that precedes them.
fn assert_consistent(fixture: &IndexFixture) {
    let config = fixture.config();
    let used: BTreeSet<_> = all_members(fixture).iter().filter_map(|member| member.target.address()).collect();
    for (name, backend) in &config.backends {
        assert!(used.contains(&backend.address), "{name} is not used");
        let check = match &backend.check {
            Check::Probe(check) => Some(&check.name),
            _ => None,
        };
        assert!(check.is_none_or(|check| config.health_checks.contains_key(check)), "{check:?} cannot be looked up");
    }
    for Member { backend, target, .. } in all_members(fixture) {
        let MemberTarget::Backend(target) = target else { continue };
        let in_config: &Backend = &config.backends[&backend];
        assert_eq!(*target, *in_config);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_step_equals_a_fresh_list(steps in prop::collection::vec(any_step(), 1..20)) {
        let mut stored = initial();
        let mut fixture = IndexFixture::new(stored.values().cloned().collect());
        for step in steps {
            store(&mut stored, &step);
            apply(&mut fixture, step);
            let fresh = IndexFixture::new(stored.values().cloned().collect());
            prop_assert_eq!(contents(&fresh), contents(&fixture));
            assert_consistent(&fixture);
        }
    }

    #[test]
    fn order_of_slices_does_not_matter(
        (first, second) in prop::collection::vec(any_slice(), 0..8).prop_map(|slices| {
            let by_name: BTreeMap<Name, EndpointSliceObject> =
                slices.into_iter().map(|slice| (slice.name.clone(), slice)).collect();
            by_name.into_values().collect::<Vec<_>>()
        }).prop_flat_map(|slices| (Just(slices.clone()), Just(slices).prop_shuffle())),
        frontend in any_frontend(),
    ) {
        let resolve = |slices: Vec<EndpointSliceObject>| {
            let mut fixture = IndexFixture::new(workers().into_iter().chain([frontend.clone()]).collect());
            slices.into_iter().for_each(|slice| drop(fixture.apply(Object::EndpointSlice(slice))));
            contents(&fixture)
        };
        prop_assert_eq!(resolve(first), resolve(second));
    }

    /// A slice of the family of the VIP stops to decode: no server leaves the Frontend for certain, and none that had a
    /// weight gets weight 0.
    #[test]
    fn slice_that_stops_to_decode_withdraws_nothing(
        slices in prop::collection::vec(any_slice(), 1..4),
        lost in any::<prop::sample::Index>(),
        pool in any_pool(),
    ) {
        let web = |pool: &Value| {
            let pools = json!([{"name": "p", "service": pool}]);
            frontend("shop/web", 1, &with(vip("203.0.113.1", 80, &[]), "pools", pools))
        };
        let mut objects: Vec<Object> = workers().into_iter().chain([web(&pool)]).collect();
        objects.extend(slices.iter().cloned().map(Object::EndpointSlice));
        let mut fixture = IndexFixture::new(objects);
        let before = fixture.frontend("shop/web");
        let lost = lost.get(&slices);
        let is_followed = before.standing == Standing::Serving && lost.service.name() == pool["name"];
        let weights = |members: &[Member]| -> BTreeMap<Name, (u8, bool)> {
            let is_known = |member: &Member| matches!(member.target, MemberTarget::Backend(_));
            members.iter().map(|member| (member.backend.clone(), (member.weight.get(), is_known(member)))).collect()
        };
        let unreadable = EndpointSliceObject { content: Err("odd".to_owned()), ..lost.clone() };
        // Slices of the other family are not part of the pool.
        if !is_followed || unreadable.address_type != Some(AddressType::Ip(Family::V4)) {
            return Ok(());
        }
        fixture.apply(Object::EndpointSlice(unreadable));
        let after = fixture.frontend("shop/web");
        let (old, new) = (weights(&before.pools[0].members), weights(&after.pools[0].members));
        let keeps_unclaimed = after.pools[0].members.iter().any(|member| member.target.address().is_none());
        prop_assert!(keeps_unclaimed || after.standing != Standing::Serving, "{:?}", after);
        for (server, (weight, _)) in old.iter().filter(|(_, (weight, _))| *weight > 0) {
            if let Some((now, is_known)) = new.get(server) {
                prop_assert!(*now > 0 || !is_known, "{} had {} and has {}", server, weight, now);
            }
        }
    }

    /// The drain of a Node pauses its servers and changes nothing else; its end restores everything.
    #[test]
    fn drain_of_a_node_only_pauses_its_servers(
        slices in prop::collection::vec(any_slice(), 1..4),
        frontends in prop::collection::vec(any_frontend(), 1..3),
    ) {
        let mut fixture = IndexFixture::new(workers().into_iter().chain(frontends).collect());
        slices.into_iter().for_each(|slice| drop(fixture.apply(Object::EndpointSlice(slice))));
        let before = contents(&fixture);
        let weights = |fixture: &IndexFixture| -> Vec<_> {
            all_members(fixture).into_iter().map(|member| (member.backend, member.weight)).collect()
        };
        let (old, paused_before) = (weights(&fixture), paused(&fixture));
        let drained = NodeObject { drain: Some("true".to_owned()), ..worker("w1", &["192.0.2.1"]) };
        fixture.apply(Object::Node(drained));
        prop_assert_eq!(weights(&fixture), old);
        let config = fixture.config();
        let node = config.backends.keys().filter(|name| name.as_str().starts_with("node:w1")).cloned();
        let mut expected: BTreeSet<Name> = paused_before;
        expected.extend(node);
        let now = paused(&fixture);
        let is_endpoint = |name: &Name| name.name().contains('@');
        prop_assert!(expected.is_subset(&now));
        prop_assert!(now.difference(&expected).all(is_endpoint), "{:?}", now);
        fixture.apply(Object::Node(worker("w1", &["192.0.2.1"])));
        prop_assert_eq!(contents(&fixture), before);
    }
}
