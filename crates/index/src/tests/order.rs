//! Property tests: equal objects give an equal configuration and equal problems regardless of their order, and VPP accepts
//! the serving Frontends.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{prelude::*, sample::select, strategy::Union};
use serde_json::{Value, json};

use super::fixture::{IndexFixture, NODE, name, namespace, node, object};
use crate::{Changes, NodeObject, Object};
use maglev_model::{
    Name,
    config::{Config, Kind, Standing},
    problem::Problem,
    vip::{Encap, Service},
};

/// All objects that can be stored: few names, so that versions, addresses and references collide.
fn slots() -> Vec<(Kind, &'static str)> {
    let mut slots = Vec::new();
    slots.extend(["a/c0", "a/c1", "b/c0"].map(|name| (Kind::HealthCheck, name)));
    slots.extend(["a/b0", "a/b1", "a/b2", "b/b0", "b/b1"].map(|name| (Kind::Backend, name)));
    slots.extend(["a/f0", "a/f1", "a/f2", "a/f3", "b/f0", "b/f1"].map(|name| (Kind::Frontend, name)));
    slots.extend(["l0", "l1", "l2"].map(|name| (Kind::LoadBalancerConfig, name)));
    slots.extend(["p0", "p1", "p2"].map(|name| (Kind::AddressPolicy, name)));
    slots.extend(["a", "b"].map(|name| (Kind::Namespace, name)));
    slots.push((Kind::Node, "node-b"));
    slots
}

fn check_spec() -> impl Strategy<Value = Value> {
    select(vec![
        json!({"type": "TCP", "port": 80}),
        json!({"type": "TCP", "port": 81}),
        json!({"type": "ICMP"}),
        json!({"type": "TCP"}),
        json!({"type": "TCP", "port": 80, "interval": "1y"}),
        json!({"type": "TCP", "port": 1, "tls": {"serverName": "a", "caCertificateRef": {"name": "ca"}}}),
    ])
}

fn backend_spec() -> impl Strategy<Value = Value> {
    let address = select(vec!["10.0.0.1", "10.0.0.2", "10.0.0.3", "2001:db8::1", "203.0.113.1", "203.0.113.2"]);
    let check = select(vec![None, Some("c0"), Some("c1"), Some("c9")]);
    let whole = (address, check, select(vec!["Enabled", "Paused", "Disabled"])).prop_map(|(address, check, admin)| {
        json!({"address": address, "healthCheckRef": check.map(|name| json!({"name": name})), "adminState": admin})
    });
    let broken = select(vec![
        json!({"address": "10.0.0.1", "adminState": "Asleep"}),
        json!({"address": "127.0.0.1"}),
        json!({"address": 5}),
        Value::Null,
    ]);
    prop_oneof![6 => whole, 1 => broken]
}

fn encap() -> impl Strategy<Value = Value> {
    select(vec![
        json!({}),
        json!({}),
        json!({"type": "NAT", "nat": {"targetPort": 8080}}),
        json!({"type": "L3DSR", "l3dsr": {"dscp": 7}}),
        json!({"type": "L3DSR", "l3dsr": {"dscp": 7}}),
    ])
}

/// Mostly on one address, so that claims collide.
fn frontend_spec() -> impl Strategy<Value = Value> {
    let address = prop_oneof![5 => Just("203.0.113.1"), 1 => Just("203.0.113.2"), 1 => Just("2001:db8:f::1")];
    let service = prop_oneof![
        4 => Just((json!("TCP"), json!(80))),
        4 => Just((json!("TCP"), json!(443))),
        4 => Just((json!("UDP"), json!(80))),
        1 => Just((Value::Null, Value::Null)),
    ];
    let pools = prop::collection::vec(prop::collection::btree_set(select(vec!["b0", "b1", "b2", "b9"]), 0..3), 1..3);
    let whole = (address, service, encap(), pools).prop_map(|(address, (protocol, port), encap, pools)| {
        let entries = |names: BTreeSet<&str>| names.into_iter().map(|name| json!({"name": name})).collect::<Vec<_>>();
        let pools: Vec<Value> = pools
            .into_iter()
            .enumerate()
            .map(|(i, names)| json!({"name": format!("p{i}"), "backends": entries(names)}))
            .collect();
        json!({
            "address": address, "protocol": protocol, "port": port, "encap": encap, "tableLength": 256, "pools": pools,
        })
    });
    let flaw = select(vec![
        ("tableLength", json!(1000)),
        ("pools", json!([{"name": "p0", "backends": [{"name": "b0", "weight": 200}]}])),
        ("pools", json!([{"name": "p0", "backends": [{"name": "b0", "weight": 100}]}])),
        ("encap", json!({"type": "NAT"})),
        ("encap", json!({"type": "VXLAN"})),
        ("port", Value::Null),
        ("port", json!(0)),
        ("address", json!("127.0.0.9")),
        ("address", json!("web.example")),
    ]);
    (whole, prop::option::weighted(0.2, flaw)).prop_map(|(mut spec, flaw)| {
        if let Some((field, value)) = flaw {
            spec[field] = value;
        }
        spec
    })
}

fn lb_config_spec() -> impl Strategy<Value = Value> {
    select(vec![
        json!({}),
        json!({"nodeSelector": {"role": "lb"}, "vpp": {"flowTimeout": "40s"}}),
        json!({"nodeSelector": {"role": "web"}, "sync": {"interval": "9s"}}),
        json!({"nodeSelector": {"role": "lb"}, "sync": {"interval": "soon"}}),
        json!({"nodeSelector": 7}),
    ])
}

/// A spec of an AddressPolicy that allows some of the generated objects.
pub fn policy_spec() -> impl Strategy<Value = Value> {
    let namespaces = select(vec![
        Value::Null,
        json!({"names": ["a"]}),
        json!({"names": ["b"]}),
        json!({"selector": {"matchLabels": {"team": "one"}}}),
    ]);
    let frontends = select(vec![
        Value::Null,
        json!({"addresses": ["203.0.113.0/24", "2001:db8:f::/64"]}),
        json!({"addresses": ["203.0.113.1/32"], "ports": [{"protocol": "TCP", "from": 80}]}),
        json!({"addresses": ["0.0.0.0/0"], "encaps": ["GRE"]}),
    ]);
    let backends = select(vec![
        Value::Null,
        json!({"addresses": ["10.0.0.0/30", "2001:db8::/32"], "except": ["10.0.0.2/32"]}),
        json!({"addresses": ["0.0.0.0/0"]}),
    ]);
    let probes = select(vec![Value::Null, json!({"types": ["TCP"], "ports": [{"from": 80}]})]);
    let limits = select(vec![json!({}), json!({"frontends": 1, "backends": 2}), json!({"tableEntries": 256})]);
    let mode = prop_oneof![4 => Just("Enforce"), 1 => Just("Audit"), 1 => Just("Odd")];
    let parts = (namespaces, frontends, backends, probes, limits, mode, select(vec!["Hold", "Hold", "Withdraw"]));
    parts.prop_map(|(namespaces, frontends, backends, probes, limits, mode, on_revoke)| {
        json!({
            "namespaces": namespaces, "frontends": frontends, "backends": backends, "probes": probes, "limits": limits,
            "mode": mode, "onRevoke": on_revoke,
        })
    })
}

fn any_namespace(name: &'static str) -> impl Strategy<Value = Object> {
    select(vec!["one", "two"]).prop_map(move |team| namespace(name, "team", team))
}

/// A version of the object in a slot.
pub fn version((kind, name): (Kind, &'static str)) -> BoxedStrategy<Object> {
    let spec = match kind {
        Kind::HealthCheck => check_spec().boxed(),
        Kind::Backend => backend_spec().boxed(),
        Kind::Frontend => frontend_spec().boxed(),
        Kind::AddressPolicy => policy_spec().boxed(),
        Kind::Node => return other_node(name).boxed(),
        Kind::Namespace => return any_namespace(name).boxed(),
        Kind::EndpointSlice => unreachable!("see services/properties.rs"),
        Kind::LoadBalancerConfig => lb_config_spec().boxed(),
    };
    (0..3_i64, 1..3_i64, spec)
        .prop_map(move |(created, generation, spec)| object(kind, name, created, generation, &spec))
        .boxed()
}

fn any_version() -> impl Strategy<Value = Object> {
    Union::new(slots().into_iter().map(version))
}

/// A Node other than the own one, at times with the address of a Frontend.
fn other_node(name: &'static str) -> impl Strategy<Value = Object> {
    let addresses = select(vec![vec![], vec!["192.0.2.8"], vec!["192.0.2.8", "203.0.113.1"], vec!["203.0.113.2"]]);
    addresses.prop_map(move |addresses| {
        let addresses = addresses.into_iter().map(|address| address.parse().unwrap()).collect();
        Object::Node(NodeObject { name: name.to_owned(), addresses, ..NodeObject::default() })
    })
}

fn any_node() -> impl Strategy<Value = Object> {
    select(vec!["lb", "web", "none"]).prop_map(|role| node("role", role))
}

/// An input of the index.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a few dozen of them live at a time")]
enum Step {
    Apply(Object),
    Delete(Kind, Name),
    Reset(Kind, Vec<Object>),
    Publish,
}

fn any_step() -> impl Strategy<Value = Step> {
    let list = (select(Kind::ALL.to_vec()), prop::collection::vec(any_version(), 0..6));
    prop_oneof![
        6 => any_version().prop_map(Step::Apply),
        1 => any_node().prop_map(Step::Apply),
        2 => select(slots()).prop_map(|(kind, object_name)| Step::Delete(kind, name(object_name))),
        1 => list.prop_map(|(kind, objects)| {
            Step::Reset(kind, objects.into_iter().filter(|object| object.kind() == kind).collect())
        }),
        3 => Just(Step::Publish),
    ]
}

/// The objects stored at the end.
fn final_objects() -> impl Strategy<Value = Vec<Object>> {
    let slots: Vec<_> =
        slots().into_iter().map(|slot| prop_oneof![1 => Just(None), 4 => version(slot).prop_map(Some)]).collect();
    (slots, any_node()).prop_map(|(slots, node)| slots.into_iter().flatten().chain([node]).collect())
}

/// Steps that lead from any state to `objects`: by a list for the kinds in `relisted`, one by one for the others.
fn finish(objects: &[Object], relisted: &BTreeSet<Kind>) -> Vec<Step> {
    let listed = |kind| objects.iter().filter(move |object| object.kind() == kind).cloned();
    let mut steps: Vec<Step> = relisted.iter().map(|kind| Step::Reset(*kind, listed(*kind).collect())).collect();
    let left = |kind: &Kind| !relisted.contains(kind);
    steps.extend(objects.iter().filter(|object| left(&object.kind())).cloned().map(Step::Apply));
    let stored: BTreeSet<(Kind, Name)> = objects.iter().map(|object| (object.kind(), object.name())).collect();
    let gone =
        slots().into_iter().map(|(kind, object_name)| (kind, name(object_name))).filter(|slot| !stored.contains(slot));
    steps.extend(gone.filter(|(kind, _)| left(kind)).map(|(kind, name)| Step::Delete(kind, name)));
    steps
}

prop_compose! {
    /// Objects, and a history that ends in them.
    fn history()(
        objects in final_objects(),
        before in prop::collection::vec(any_step(), 0..25),
        relisted in prop::collection::btree_set(select(Kind::ALL.to_vec()), 0..5),
    )(
        first_lists in Just(Kind::ALL.map(|kind| Step::Reset(kind, vec![])).to_vec()).prop_shuffle(),
        last in Just(finish(&objects, &relisted)).prop_shuffle(),
        cut in 0..=before.len(),
        publishing in prop::collection::vec(any::<bool>(), 40),
        objects in Just(objects),
        before in Just(before),
    ) -> (Vec<Object>, Vec<Step>) {
        let mut steps = before[..cut].to_vec();
        steps.extend(first_lists);
        steps.extend(before[cut..].iter().cloned());
        for (step, publish) in last.into_iter().zip(publishing.into_iter().cycle()) {
            steps.push(step);
            if publish {
                steps.push(Step::Publish);
            }
        }
        (objects, steps)
    }
}

/// The contents of a configuration as a comparable value.
fn contents(config: &Config) -> impl PartialEq + std::fmt::Debug + use<> {
    let Config { frontends, backends, health_checks, node, claims_unknown, written: _ } = config.clone();
    (frontends, backends, health_checks, node, claims_unknown)
}

fn all_problems(fixture: &IndexFixture) -> Vec<(Kind, &'static str, Vec<Problem>)> {
    slots().into_iter().map(|(kind, name)| (kind, name, fixture.problems(kind, name))).collect()
}

/// Applies `step` to the stored objects. The own Node stays as last seen.
fn store(stored: &mut BTreeMap<(Kind, Name), Object>, step: &Step) {
    match step {
        Step::Apply(object) => drop(stored.insert((object.kind(), object.name()), object.clone())),
        Step::Delete(kind, name) => drop(stored.remove(&(*kind, name.clone()))),
        Step::Reset(kind, objects) => {
            stored.retain(|(stored_kind, name), _| stored_kind != kind || name.as_str() == NODE);
            stored.extend(objects.iter().map(|object| ((*kind, object.name()), object.clone())));
        }
        Step::Publish => {}
    }
}

/// Replays `steps`. Returns the problems that appeared and have not vanished since.
fn replay(fixture: &mut IndexFixture, steps: Vec<Step>) -> BTreeSet<(Kind, Name, Problem)> {
    let mut appeared = BTreeSet::new();
    apply_all(fixture, steps, |changes| {
        for old in changes.vanished {
            assert!(appeared.remove(&(old.kind, old.name, old.problem)), "only a problem that has appeared can vanish");
        }
        appeared.extend(changes.appeared.into_iter().map(|new| (new.kind, new.name, new.problem)));
    });
    appeared
}

fn apply_all(fixture: &mut IndexFixture, steps: Vec<Step>, mut observe: impl FnMut(Changes)) {
    let mut batch = fixture.index.batch();
    for step in steps {
        match step {
            Step::Apply(object) => batch.apply(object),
            Step::Delete(kind, name) => batch.delete(kind, &name),
            Step::Reset(kind, objects) => batch.reset(kind, objects),
            Step::Publish => {
                observe(batch.publish());
                batch = fixture.index.batch();
            }
        }
    }
    observe(batch.publish());
}

/// Asserts the rules of VPP (unique claims, either all ports or single ports, one encap per address) and one namespace per
/// address.
fn assert_vpp_accepts(config: &Config) {
    let mut on_address: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for frontend in config.frontends.values() {
        if !matches!(frontend.standing, Standing::Withdrawn(_)) {
            on_address.entry(frontend.vip.address).or_default().push(frontend.clone());
        }
    }
    for frontends in on_address.values() {
        let services: BTreeSet<Service> = frontends.iter().map(|frontend| frontend.vip.service).collect();
        assert_eq!(services.len(), frontends.len(), "one claim, one Frontend: {frontends:?}");
        // Held VIPs of Frontends that are not allowed may stay in VPP beside those of the owner.
        let frontends: Vec<_> = frontends.iter().filter(|frontend| frontend.standing == Standing::Serving).collect();
        let services: BTreeSet<Service> = frontends.iter().map(|frontend| frontend.vip.service).collect();
        assert!(services.len() <= 1 || !services.contains(&Service::AllPorts), "{frontends:?}");
        let namespaces: BTreeSet<&str> = frontends.iter().map(|frontend| frontend.name.namespace()).collect();
        assert!(namespaces.len() <= 1, "{frontends:?}");
        let encaps: BTreeSet<Encap> = frontends.iter().filter_map(|frontend| frontend.encap).collect();
        assert!(encaps.len() <= 1, "{frontends:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_step_equals_a_fresh_list(
        objects in final_objects(),
        steps in prop::collection::vec(any_step(), 1..12),
    ) {
        let mut stored: BTreeMap<(Kind, Name), Object> =
            objects.iter().map(|object| ((object.kind(), object.name()), object.clone())).collect();
        let mut fixture = IndexFixture::new(objects);
        for step in steps {
            store(&mut stored, &step);
            apply_all(&mut fixture, vec![step], |_| {});
            let fresh = IndexFixture::new(stored.values().cloned().collect());
            prop_assert_eq!(contents(&fresh.config()), contents(&fixture.config()));
            prop_assert_eq!(all_problems(&fresh), all_problems(&fixture));
            assert_vpp_accepts(&fixture.config());
        }
    }

    #[test]
    fn equal_objects_give_equal_configuration_after_any_history((objects, steps) in history()) {
        let at_once = IndexFixture::new(objects);
        let mut one_by_one = IndexFixture::unlisted(false);
        let appeared = replay(&mut one_by_one, steps);

        prop_assert_eq!(contents(&at_once.config()), contents(&one_by_one.config()));
        prop_assert_eq!(all_problems(&at_once), all_problems(&one_by_one));
        let standing: BTreeSet<_> = all_problems(&at_once)
            .into_iter()
            .flat_map(|(kind, object_name, problems)| problems.into_iter().map(move |problem| (kind, name(object_name), problem)))
            .collect();
        prop_assert_eq!(appeared, standing, "published problems equal the current problems");
        assert_vpp_accepts(&at_once.config());
    }
}
