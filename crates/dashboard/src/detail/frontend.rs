//! Builds the document of a Frontend on one node.

use std::{collections::BTreeMap, sync::Arc};

use super::problems;
use crate::{
    document::{FrontendDetail, InVpp, Member, PathDetail, PoolDetail, ProblemDetail, ReportDetail, Time},
    inputs::Inputs,
};
use maglev_model::{
    Name, ServerMap,
    actual::{ActualEncap, VppVip},
    change::{Report, VipState},
    config::{Frontend, Kind, Standing},
    derived::Origin,
    event::FrontendState,
    health::ProbeCode,
    path::PathKey,
    view::View,
    weights::{BackendCondition, DesiredAs, DesiredWeight, EffectiveWeights, PoolEntry},
};

/// `None` if the node does not know the Frontend.
pub fn frontend(inputs: &Inputs, name: &Name) -> Option<FrontendDetail> {
    let view = inputs.view();
    let frontend = view.frontends.get(name)?;
    let effective = view.effective_weights(frontend);
    let state = view.states.get(name);
    let vip = VppVip::from(frontend.vip);
    // The VIP of a withdrawn Frontend belongs to another one.
    let is_owner = inputs.owner(&vip) == Some(name);
    let in_vpp = view.vpp.as_ref().and_then(|vpp| vpp.vips.get(&vip)).filter(|_| is_owner);
    Some(FrontendDetail {
        vip: frontend.vip.into(),
        state: displayed_state(view.frontend_state(name), &effective),
        since: state.map(|state| Time(state.since)),
        code: state.and_then(|state| state.code).map(ProbeCode::as_str),
        active_pool: effective.active_pool.and_then(|pool| Some(Arc::clone(&frontend.pools.get(pool)?.name))),
        standing: standing(frontend).0,
        problems: all_problems(inputs, frontend),
        encap: frontend.encap.map(|encap| encap.to_string()),
        sticky: frontend.sticky,
        on_backend_down: frontend.on_backend_down.as_str(),
        table_length: frontend.table_length.get(),
        uid: Arc::clone(&frontend.revision.uid),
        generation: frontend.revision.generation,
        report: view.reports.get(name).map(report),
        in_vpp: in_vpp.map(|vip| vip_in_vpp(vip, &view.unclaimed_servers(frontend))),
        pools: pools(inputs, frontend, &effective),
        counters: inputs.traffic.as_ref().filter(|_| is_owner).and_then(|traffic| traffic.vips.get(&vip)).copied(),
    })
}

/// The displayed state: `standby` if a pool other than the first one serves.
fn displayed_state(state: FrontendState, effective: &EffectiveWeights) -> &'static str {
    match (state, effective.active_pool) {
        (FrontendState::Up, Some(1..)) => "standby",
        (state, _) => state.as_str(),
    }
}

/// The standing of the Frontend, with the problem that caused it.
fn standing(frontend: &Frontend) -> (&'static str, Option<ProblemDetail>) {
    match &frontend.standing {
        Standing::Serving => ("serving", None),
        Standing::Held(problem) => ("held", Some(problem.into())),
        Standing::Withdrawn(problem) => ("withdrawn", Some(problem.into())),
    }
}

fn all_problems(inputs: &Inputs, frontend: &Frontend) -> Vec<ProblemDetail> {
    let mut all: Vec<_> = standing(frontend).1.into_iter().collect();
    for problem in problems(inputs.view(), Kind::Frontend, &frontend.name) {
        if !all.contains(&problem) {
            all.push(problem);
        }
    }
    all
}

fn report(report: &Report) -> ReportDetail {
    ReportDetail {
        result: report.result.as_str(),
        reason: (!report.reason.is_empty()).then(|| Arc::clone(&report.reason)),
        generation: report.generation,
        fingerprint: format!("{:?}", report.fingerprint),
    }
}

fn vip_in_vpp(vip: &VipState, unclaimed: &ServerMap<u8>) -> InVpp {
    let unclaimed = unclaimed.iter().map(|(address, weight)| (address.to_string(), *weight));
    InVpp {
        encap: vip.encap.map(ActualEncap::as_str),
        sticky: vip.sticky,
        table_length: vip.table_length,
        servers: vip.servers.len(),
        unclaimed_servers: Some(unclaimed.collect()).filter(|unclaimed: &BTreeMap<_, _>| !unclaimed.is_empty()),
    }
}

/// The pools with their members' weights.
fn pools(inputs: &Inputs, frontend: &Frontend, effective: &EffectiveWeights) -> BTreeMap<Arc<str>, PoolDetail> {
    let (view, vip) = (inputs.view(), VppVip::from(frontend.vip));
    let entries = effective.entries(&frontend.pools, |address| view.weight_in_vpp(&vip, address));
    let mut pools = BTreeMap::<_, PoolDetail>::new();
    for (order, pool) in frontend.pools.iter().enumerate() {
        let active = effective.active_pool == Some(order);
        pools.insert(Arc::clone(&pool.name), PoolDetail { order, active, members: BTreeMap::new() });
    }
    for entry in entries {
        if let Some(pool) = pools.get_mut(&entry.pool.name) {
            let member = member(inputs, frontend, &entry, pool.members.len());
            pool.members.insert(entry.member.backend.to_string(), member);
        }
    }
    pools
}

fn member(inputs: &Inputs, frontend: &Frontend, entry: &PoolEntry<'_>, order: usize) -> Member {
    let (view, vip, address) = (inputs.view(), VppVip::from(frontend.vip), entry.member.target.address());
    // The VIP of a withdrawn Frontend belongs to another one.
    let owned_address = address.filter(|_| inputs.owner(&vip) == Some(&frontend.name));
    let in_vpp = owned_address.and_then(|address| view.vpp.as_ref()?.vips.get(&vip)?.servers.get(&address).copied());
    let traffic = inputs.traffic.as_ref();
    Member {
        order,
        origin: Origin::parse(&entry.member.backend).map(|origin| origin.to_string()),
        address: address.map(|address| address.to_string()),
        weight: entry.member.weight.get(),
        effective: entry.effective.unwrap_or(0),
        in_vpp,
        buckets: owned_address.and_then(|address| inputs.dumped(&vip, address)).map(|server| server.buckets),
        condition: condition(BackendCondition::of_member(frontend, &entry.member.target, &view.health)),
        kept: matches!(entry.desired, Some(DesiredAs { weight: DesiredWeight::Keep { .. }, .. })),
        traffic: owned_address.and_then(|address| traffic?.backends.get(&address).copied()),
        flows: owned_address.and_then(|address| traffic?.flows.get(&vip)?.get(&address).copied()),
        path: path(view, frontend, entry),
    }
}

/// `None` without a path probe, and after a change of address until the agent probes the new one.
fn path(view: &View, frontend: &Frontend, entry: &PoolEntry<'_>) -> Option<PathDetail> {
    frontend.path_probe?;
    let (address, backend) = (entry.member.target.address()?, entry.member.backend.clone());
    let health = view.health.paths.get(&PathKey { frontend: frontend.name.clone(), backend })?;
    (health.address == address).then(|| PathDetail {
        state: health.state.as_str(),
        since: Time(health.since),
        detail: (!health.detail.is_empty()).then(|| Arc::clone(&health.detail)),
    })
}

fn condition(condition: BackendCondition) -> &'static str {
    match condition {
        BackendCondition::Up => "up",
        BackendCondition::Down => "down",
        BackendCondition::Suspect => "suspect",
        BackendCondition::NeverKnown => "never-known",
        BackendCondition::Unknown => "unknown",
        BackendCondition::CheckMissing => "check-missing",
        BackendCondition::Unreadable => "unreadable",
        BackendCondition::Paused => "paused",
        BackendCondition::Disabled => "disabled",
        BackendCondition::PathDown => "path-down",
        BackendCondition::PathSuspect => "path-suspect",
        BackendCondition::PathUnknown => "path-unknown",
    }
}
