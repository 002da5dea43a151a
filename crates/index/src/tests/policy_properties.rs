//! Property tests of AddressPolicies: no edit of one removes a VIP that VPP has, and a namespace cannot affect the addresses
//! of another one. `order` tests that the order of objects has no effect.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{prelude::*, sample::select};
use serde_json::{Value, json};

use super::{
    fixture::{IndexFixture, namespace, object, policy},
    order::{policy_spec, version},
};
use crate::Object;
use maglev_model::{
    Name,
    config::{Config, Kind, MemberTarget, Standing},
    vip::VipKey,
};

/// A change of the AddressPolicies or of the labels that they select.
#[derive(Clone, Debug)]
enum Edit {
    Apply(&'static str, Value),
    Delete(&'static str),
    Label(&'static str, &'static str),
}

fn edit() -> impl Strategy<Value = Edit> {
    let policies = || select(vec!["p0", "p1", "p2"]);
    // A VIP is removed only because of `Withdraw`.
    let held = policy_spec().prop_map(|mut spec| {
        spec["onRevoke"] = json!("Hold");
        spec
    });
    prop_oneof![
        4 => (policies(), held).prop_map(|(name, spec)| Edit::Apply(name, spec)),
        1 => policies().prop_map(Edit::Delete),
        1 => (select(vec!["a", "b"]), select(vec!["one", "two"])).prop_map(|(name, team)| Edit::Label(name, team)),
    ]
}

fn apply(fixture: &mut IndexFixture, edit: &Edit, generation: i64) {
    match edit {
        Edit::Apply(name, spec) => drop(fixture.apply(object(Kind::AddressPolicy, name, 0, generation, spec))),
        Edit::Delete(name) => drop(fixture.delete(Kind::AddressPolicy, name)),
        Edit::Label(name, team) => drop(fixture.apply(namespace(name, "team", team))),
    }
}

/// Frontends and Backends of two namespaces.
fn users() -> impl Strategy<Value = Vec<Object>> {
    let slots = [
        (Kind::Frontend, "a/f0"),
        (Kind::Frontend, "a/f1"),
        (Kind::Frontend, "a/f2"),
        (Kind::Frontend, "b/f0"),
        (Kind::Frontend, "b/f1"),
        (Kind::Backend, "a/b0"),
        (Kind::Backend, "a/b1"),
        (Kind::Backend, "a/b2"),
        (Kind::Backend, "b/b0"),
        (Kind::Backend, "b/b1"),
        (Kind::HealthCheck, "a/c0"),
    ];
    slots.map(version).to_vec()
}

/// The VIPs that the agents add, with their Frontend and its servers.
fn served(config: &Config) -> BTreeMap<VipKey, (Name, BTreeSet<std::net::IpAddr>)> {
    let serving = config.frontends.values().filter(|it| it.standing == Standing::Serving && it.encap.is_some());
    let servers = |frontend: &maglev_model::config::Frontend| {
        let members = frontend.pools.iter().flat_map(|pool| &pool.members);
        members
            .filter_map(|member| match &member.target {
                MemberTarget::Backend(backend) => Some(backend.address),
                MemberTarget::Unreadable { .. } => None,
            })
            .collect()
    };
    serving.map(|frontend| (frontend.vip, (frontend.name.clone(), servers(frontend)))).collect()
}

/// The Frontends that keep their VIP in VPP, with the addresses of all their members.
fn kept(config: &Config) -> BTreeMap<VipKey, (Name, BTreeSet<std::net::IpAddr>)> {
    let kept = config.frontends.values().filter(|frontend| !matches!(frontend.standing, Standing::Withdrawn(_)));
    kept.map(|frontend| {
        let members = frontend.pools.iter().flat_map(|pool| &pool.members);
        (frontend.vip, (frontend.name.clone(), members.filter_map(|member| member.target.address()).collect()))
    })
    .collect()
}

/// The state of namespace `a`: the standings of its Frontends, its Backends, and the problems of both.
fn state_of_a(fixture: &IndexFixture) -> impl PartialEq + std::fmt::Debug + use<> {
    let config = fixture.config();
    let frontends: BTreeMap<_, _> = config.frontends.into_iter().filter(|(name, _)| name.namespace() == "a").collect();
    let backends: BTreeMap<_, _> = config.backends.into_iter().filter(|(name, _)| name.namespace() == "a").collect();
    let objects =
        [(Kind::Frontend, "a/f0"), (Kind::Frontend, "a/f1"), (Kind::Frontend, "a/f2"), (Kind::Backend, "a/b0")];
    let problems = objects.map(|(kind, name)| fixture.problems(kind, name)).to_vec();
    (frontends, backends, problems)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_edit_of_a_policy_removes_a_vip_or_server_that_vpp_has(
        users in users(),
        edits in prop::collection::vec(edit(), 1..12),
    ) {
        let mut fixture = IndexFixture::new(users);
        let mut programmed = served(&fixture.config());
        for (generation, edit) in (1..).zip(&edits) {
            apply(&mut fixture, edit, generation);
            let config = fixture.config();
            let kept = kept(&config);
            for (vip, (frontend, servers)) in &programmed {
                let holder = kept.get(vip);
                prop_assert!(holder.is_some(), "{vip} of {frontend} is removed by {edit:?}");
                if let Some((name, addresses)) = holder
                    && name == frontend
                {
                    prop_assert!(servers.is_subset(addresses), "{servers:?} of {vip} after {edit:?}: {addresses:?}");
                }
            }
            for (vip, (frontend, servers)) in served(&config) {
                let entry = programmed.entry(vip).or_insert_with(|| (frontend.clone(), BTreeSet::new()));
                if entry.0 != frontend {
                    *entry = (frontend, BTreeSet::new());
                }
                entry.1.extend(servers);
            }
        }
    }

    /// `a` may use every address of the Frontends, and `b` none of them: its objects, of whatever age, in whatever order with the deletion and the
    /// creation of those of `a`, change nothing for `a`, and never serve an address of `a`.
    #[test]
    fn squatter_changes_nothing_for_the_owner(
        users in users(),
        steps in prop::collection::vec((any::<bool>(), 0..11_usize, users()), 1..8),
    ) {
        let policies = || vec![
            policy("a", &json!({"namespaces": {"names": ["a"]}, "frontends": {"addresses": ["203.0.113.0/24", "2001:db8:f::/64", "127.0.0.9/32"]}, "backends": {"addresses": ["0.0.0.0/0", "::/0"]}})),
            policy("b", &json!({"namespaces": {"names": ["b"]}, "frontends": {"addresses": ["198.51.100.0/24"]}, "backends": {"addresses": ["10.0.0.0/8"]}})),
        ];
        let mut stored: BTreeMap<(Kind, Name), Object> =
            users.into_iter().map(|object| ((object.kind(), object.name()), object)).collect();
        let mut fixture = IndexFixture::new(policies().into_iter().chain(stored.values().cloned()).collect());
        for (delete, index, others) in steps {
            let object = others[index].clone();
            let (kind, object_name) = (object.kind(), object.name());
            if delete {
                stored.remove(&(kind, object_name.clone()));
                fixture.delete(kind, object_name.as_str());
            } else {
                stored.insert((kind, object_name), object.clone());
                fixture.apply(object);
            }
            let only_a = stored.values().filter(|object| object.name().namespace() == "a").cloned();
            let alone = IndexFixture::new(policies().into_iter().chain(only_a).collect());
            prop_assert_eq!(state_of_a(&alone), state_of_a(&fixture));
            for frontend in fixture.config().frontends.values() {
                prop_assert!(frontend.name.namespace() == "a" || frontend.standing != Standing::Serving);
            }
        }
    }
}
