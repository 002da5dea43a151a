use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use jiff::Timestamp;

use super::*;
use crate::{
    change::{SyncHold, VipState, VppInfo},
    config::{AdminState, Backend, Check, DisruptionBudget, Frontend, MemberTarget, NodeConfig, Pool, Standing},
    desired::Mismatch,
    health::{BackendHealth, BackendState},
    operator_change::OperatorChange,
    plan::VipChange,
    problem::Reason,
    test_objects::{backend, frontend, health_check, name, pool},
    vip::{Encap, TableLength, Weight},
};

/// A probed Backend at 10.0.0.`last`.
fn probed(last: u8) -> Arc<Backend> {
    let check = Check::Probe(Arc::new(health_check()));
    Arc::new(Backend { check, ..(*backend(&format!("web-{last}"), last)).clone() })
}

fn server(last: u8) -> IpAddr {
    [10, 0, 0, last].into()
}

fn web(number: u8, members: &[u8]) -> Frontend {
    let backends: Vec<_> = members.iter().map(|last| probed(*last)).collect();
    let pools = vec![pool("primary", &backends.iter().collect::<Vec<_>>())];
    let table_length = TableLength::new(1024).unwrap();
    Frontend { table_length, ..(*frontend(&format!("web{number}"), [203, 0, 113, number], pools)).clone() }
}

fn up(last: u8) -> BackendHealth {
    BackendHealth {
        address: server(last),
        state: BackendState::Up,
        ever_known: true,
        in_doubt: false,
        history: Arc::default(),
    }
}

/// The view of a node in sync with `frontends`, all of whose backends are up.
fn view(frontends: &[Frontend]) -> View {
    let mut view = View { node: Some(Arc::new(NodeConfig::default())), ..View::default() };
    let mut vips = OrdMap::new();
    for frontend in frontends {
        view.frontends.insert(frontend.name.clone(), Arc::new(frontend.clone()));
        for last in 1..20 {
            view.health.backends.insert(name(&format!("web-{last}")), up(last));
        }
        let effective = view.effective_weights(frontend);
        let servers = effective.ases.iter().map(|(address, server)| (*address, server.weight.effective(None)));
        let state = VipState {
            encap: frontend.encap.map(Into::into),
            sticky: Some(frontend.sticky),
            table_length: Some(frontend.table_length.get()),
            servers: servers.collect(),
        };
        vips.insert(VppVip::from(frontend.vip), state);
    }
    let conf = ActualConf {
        ipv4_source: [192, 0, 2, 1].into(),
        ipv6_source: std::net::Ipv6Addr::from_bits(u128::MAX),
        sticky_buckets_per_core: 1024,
        flow_timeout: 40,
    };
    view.vpp = Some(VppView {
        info: Arc::new(VppInfo::default()),
        since: Timestamp::UNIX_EPOCH,
        conf: Some(conf),
        vips,
        weightless: false,
        foreign: OrdSet::new(),
    });
    view
}

fn what_if(view: &View, what_if: &WhatIf) -> NodePreview {
    let before = NodeInputs::from(view);
    let mut after = what_if.apply(&before);
    after.assume_up(&before);
    NodePreview::new(view, &before, &after).unwrap()
}

/// The effect of replacing `frontends`; a name without Frontend is deleted.
fn replace(view: &View, frontends: Vec<(Name, Option<Frontend>)>) -> NodePreview {
    let before = NodeInputs::from(view);
    let mut after = before.clone();
    for (name, frontend) in frontends {
        match frontend {
            Some(frontend) => after.frontends.insert(name, Arc::new(frontend)),
            None => after.frontends.remove(&name),
        };
    }
    after.assume_up(&before);
    NodePreview::new(view, &before, &after).unwrap()
}

fn only(preview: NodePreview) -> VipPreview {
    assert_eq!(preview.vips.len(), 1, "{preview:?}");
    preview.vips.into_iter().next().unwrap()
}

fn change(preview: NodePreview) -> FlowChange {
    let vip = only(preview);
    assert_eq!(vip.obstacle, None);
    vip.change.unwrap()
}

#[test]
fn backend_that_goes_down_is_flushed_and_a_paused_one_keeps_its_flows() {
    let view = view(&[web(1, &[1, 2, 3]), web(2, &[4])]);
    let down = change(what_if(&view, &WhatIf::Down(name("web-1"))));
    let table = down.table.clone().unwrap();
    assert_eq!((down.vip, &down.flushed), (VipChange::Updated, &[server(1)].into()));
    assert!(table.from[&server(1)] > 300 && table.moved() == table.from[&server(1)] + table.collateral, "{table:?}");
    let paused = change(what_if(&view, &WhatIf::AdminState(name("web-1"), AdminState::Paused)));
    assert_eq!((paused.flushed.len(), paused.table.unwrap()), (0, table.clone()));
    let disabled = change(what_if(&view, &WhatIf::AdminState(name("web-1"), AdminState::Disabled)));
    assert_eq!(disabled, FlowChange { table: Some(table), ..down });
    assert!(what_if(&view, &WhatIf::Up(name("web-1"))).is_empty());
    assert!(what_if(&view, &WhatIf::Down(name("web-9"))).is_empty(), "no Frontend has it");
    let last = only(what_if(&view, &WhatIf::Down(name("web-4"))));
    assert_eq!(last.change.unwrap().table.unwrap().unserved, 1024);
    assert_eq!(last.backends, [(server(4), name("web-4"))].into());
}

#[test]
fn backend_that_is_enabled_again_is_taken_for_up() {
    let mut view = view(&[web(1, &[1, 2, 3])]);
    view = {
        let paused = WhatIf::AdminState(name("web-1"), AdminState::Paused).apply(&NodeInputs::from(&view));
        view.frontends = paused.frontends;
        view.health.backends.insert(name("web-1"), BackendHealth { state: BackendState::Paused, ..up(1) });
        let state = view.vpp.as_mut().unwrap().vips.get_mut(&VppVip::from(web(1, &[]).vip)).unwrap();
        state.servers.insert(server(1), 0);
        view
    };
    let before = NodeInputs::from(&view);
    let mut after = WhatIf::AdminState(name("web-1"), AdminState::Enabled).apply(&before);
    assert!(NodePreview::new(&view, &before, &after).unwrap().is_empty(), "it has to be probed first");
    assert_eq!(after.assume_up(&before), [name("web-1")].into());
    let enabled = change(NodePreview::new(&view, &before, &after).unwrap());
    let table = enabled.table.unwrap();
    assert!(table.moved() > 300 && !table.from.contains_key(&server(1)) && enabled.flushed.is_empty(), "{table:?}");
    let unchanged = before.clone().assume_up(&before);
    assert!(unchanged.is_empty());
}

#[test]
fn weight_is_changed_in_one_or_all_frontends() {
    let view = view(&[web(1, &[1, 2]), web(2, &[1, 3])]);
    let weight = |frontend: Option<&str>, weight| WhatIf::Weight {
        backend: name("web-1"),
        frontend: frontend.map(name),
        pool: None,
        weight: Weight::new(weight).unwrap(),
    };
    assert_eq!(what_if(&view, &weight(None, 50)).vips.len(), 2);
    assert_eq!(only(what_if(&view, &weight(Some("web2"), 50))).frontend, Some(name("web2")));
    assert!(what_if(&view, &weight(None, 10)).is_empty());
}

#[test]
fn new_removed_and_recreated_vips() {
    let view = view(&[web(1, &[1, 2]), web(2, &[3])]);
    let added = change(replace(&view, vec![(name("web3"), Some(web(3, &[30])))]));
    assert_eq!((added.vip, added.table.unwrap().buckets), (VipChange::Added, 1024));
    let removed = only(replace(&view, vec![(name("web2"), None)]));
    assert_eq!((removed.frontend, removed.change.unwrap().vip), (Some(name("web2")), VipChange::Removed));
    let sticky = Frontend { sticky: true, ..web(2, &[3]) };
    let recreated = change(replace(&view, vec![(name("web2"), Some(sticky))]));
    assert_eq!((recreated.vip, recreated.flushed), (VipChange::Recreated(Mismatch::Affinity), [server(3)].into()));
    let withdrawn = Standing::Withdrawn(Problem::new(Reason::AddressNotAllowed, "spec.address", "not allowed"));
    let withdrawn = only(replace(&view, vec![(name("web2"), Some(Frontend { standing: withdrawn, ..web(2, &[3]) }))]));
    assert!(matches!(withdrawn.obstacle, Some(Obstacle::Withdrawn(_))));
    assert_eq!(withdrawn.change.unwrap().vip, VipChange::Removed);
}

#[test]
fn held_vip_is_named_with_its_problem_and_keeps_its_servers() {
    let view = view(&[web(1, &[1, 2])]);
    let problem = Problem::new(Reason::WeightsTooLarge, "spec.pools", "too large");
    let held = Frontend { standing: Standing::Held(problem.clone()), ..web(1, &[2]) };
    let held = only(replace(&view, vec![(name("web1"), Some(held))]));
    assert_eq!((held.change, held.obstacle), (None, Some(Obstacle::Held(problem))));
    let without_source = Frontend { encap: Some(Encap::Gre6), ..web(3, &[1]) };
    let without_source = only(replace(&view, vec![(name("web3"), Some(without_source))]));
    let Some(Obstacle::Held(problem)) = without_source.obstacle else { panic!("VPP has no IPv6 source address") };
    assert_eq!((problem.reason, without_source.change), (Reason::NoSourceAddress, None));
}

#[test]
fn many_removals_would_be_held() {
    let frontends: Vec<_> = (1..=8).map(|number| web(number, &[number])).collect();
    let mut view = view(&frontends);
    let delete = |numbers: std::ops::RangeInclusive<u8>| numbers.map(|number| (name(&format!("web{number}")), None));
    assert_eq!(replace(&view, delete(1..=4).collect()).mass_removal, None);
    let many = replace(&view, delete(1..=5).collect());
    let hold = Duration::from_mins(5);
    assert_eq!((many.vips.len(), many.mass_removal), (5, Some(MassRemoval { vips: 5, servers: 0, hold })));

    // One is already held; its VIP is not a consequence of the change.
    view.frontends.remove(&name("web1"));
    let id: Arc<str> = "1f9b2c3d".into();
    view.holds.insert(Arc::clone(&id), SyncHold { id, removals: 1, change: None, until: Timestamp::UNIX_EPOCH });
    let rest = replace(&view, delete(2..=5).collect());
    assert_eq!((rest.vips.len(), rest.mass_removal), (4, None));
    assert!(replace(&view, Vec::new()).is_empty());
}

#[test]
fn size_of_the_sticky_tables_concerns_every_flow() {
    let view = view(&[web(1, &[1, 2])]);
    let before = NodeInputs::from(&view);
    let mut after = before.clone();
    Arc::make_mut(&mut after.node).vpp.sticky_buckets_per_core = Some(4096);
    let preview = NodePreview::new(&view, &before, &after).unwrap();
    assert_eq!((preview.sticky_buckets, preview.vips.len()), (Some(StickyBuckets { from: 1024, to: 4096 }), 0));
    assert_eq!(NodePreview::new(&View::default(), &before, &after), None, "VPP is not connected");
}

#[test]
fn drift_of_vpp_is_no_effect_of_the_change() {
    let mut view = view(&[web(1, &[1, 2]), web(2, &[1, 3])]);
    let state = view.vpp.as_mut().unwrap().vips.get_mut(&VppVip::from(web(2, &[]).vip)).unwrap();
    state.servers.insert(server(3), 77);
    let same = |number, members: &[u8]| (name(&format!("web{number}")), Some(web(number, members)));
    let revised = Frontend { revision: Default::default(), ..web(2, &[1, 3]) };
    assert!(replace(&view, vec![(name("web2"), Some(revised)), same(1, &[1, 2])]).is_empty());
}

#[test]
fn unreadable_backend_keeps_its_server() {
    let view = view(&[web(1, &[1, 2])]);
    let mut unreadable = web(1, &[1, 2]);
    let Pool { members, .. } = &mut unreadable.pools[0];
    members[0].target = MemberTarget::Unreadable { address: Some(server(1)) };
    assert!(replace(&view, vec![(name("web1"), Some(unreadable))]).is_empty());
}

/// The part of a change of `web1` that exceeds its disruption budget.
fn excess(view: &View, frontend: Frontend) -> Option<BudgetExcess> {
    only(replace(view, vec![(name("web1"), Some(frontend))])).exceeded_budget
}

#[test]
fn change_that_exceeds_the_disruption_budget_would_be_held() {
    let budget = |max_moved_percent, window| Some(DisruptionBudget { max_moved_percent, window });
    let [short, long] = [Duration::from_secs(60), Duration::from_hours(1)];
    let with = |disruption, frontend| Frontend { disruption, ..frontend };
    let view = view(&[with(budget(10, short), web(1, &[1, 2, 3, 4]))]);
    let without_one = |disruption| excess(&view, with(disruption, web(1, &[1, 2, 3])));
    let held = without_one(budget(10, short)).expect("a quarter moves");
    assert_eq!((held.max_moved_percent, held.hold), (10, Duration::from_mins(5)));
    assert!((250..350).contains(&held.moved_permille), "{held:?}");
    assert_eq!(without_one(budget(10, long)).map(|held| held.hold), Some(long), "not before the window has passed");
    assert_eq!(without_one(budget(40, short)), None);
    assert_eq!(without_one(None), None);
    let sticky = Frontend { sticky: true, ..web(1, &[1, 2, 3, 4]) };
    assert_eq!(excess(&view, with(budget(99, short), sticky)).map(|held| held.moved_permille), Some(1000));

    for change in [WhatIf::Down(name("web-1")), WhatIf::AdminState(name("web-1"), AdminState::Disabled)] {
        let health = only(what_if(&view, &change));
        assert!(health.change.is_some() && health.exceeded_budget.is_none(), "{change} is never held");
    }
    let weight = WhatIf::Weight { backend: name("web-1"), frontend: None, pool: None, weight: Weight::ZERO };
    assert!(only(what_if(&view, &weight)).exceeded_budget.is_some(), "a weight is configuration");
}

#[test]
fn change_that_a_vip_needs_to_serve_would_not_be_held() {
    let budget = Some(DisruptionBudget { max_moved_percent: 1, window: Duration::from_secs(60) });
    let mut view = view(&[Frontend { disruption: budget, ..web(1, &[1]) }]);
    let before = NodeInputs::from(&view);
    view.health = WhatIf::Down(name("web-1")).apply(&before).health;
    let state = view.vpp.as_mut().unwrap().vips.get_mut(&VppVip::from(web(1, &[]).vip)).unwrap();
    state.servers.insert(server(1), 0);
    let other = only(replace(&view, vec![(name("web1"), Some(Frontend { disruption: budget, ..web(1, &[1, 2]) }))]));
    assert!(other.change.is_some() && other.exceeded_budget.is_none(), "{other:?}");
}

#[test]
fn operator_changes_concern_one_pool() {
    let mut web1 = web(1, &[1, 2]);
    let spare = probed(3);
    web1.pools[0].members.push(pool("", &[&spare]).members.remove(0));
    web1.pools.push(pool("standby", &[&spare]));
    let view = view(&[web1]);
    let weight = |pool: &str| OperatorChange::Weight {
        frontend: name("web1"),
        pool: pool.into(),
        backend: "web-3".into(),
        weight: Weight::new(50).unwrap(),
    };
    let changed = |change: OperatorChange| !what_if(&view, &WhatIf::from(change)).is_empty();
    assert!(changed(weight("primary")) && !changed(weight("standby")));
    let drain = OperatorChange::Drain { backend: name("web-3"), drain: None };
    assert_eq!(WhatIf::from(drain), WhatIf::AdminState(name("web-3"), AdminState::Paused));
}
