//! A frontend on one node.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use super::problems;
use crate::{
    dashboard::{
        document::{FrontendDetail, InVpp, Member, PoolDetail, ProblemDetail, ReportDetail, Time},
        inputs::Inputs,
    },
    model::{
        Name,
        actual::{ActualEncap, VppVip},
        change::{Report, VipState},
        config::{self, Frontend, Kind, OnBackendDown, Standing},
        event::FrontendState,
        health::ProbeCode,
        weights::{Condition, Effective, WantWeight},
    },
};

/// A frontend; `None` where the node does not know it.
pub(in crate::dashboard) fn frontend(inputs: &Inputs, name: &Name) -> Option<FrontendDetail> {
    let view = inputs.view();
    let frontend = view.frontends.get(name)?;
    let effective = view.effective(frontend);
    let state = view.states.get(name);
    let vip = VppVip::from(frontend.vip);
    // The VIP of one that is withdrawn is somebody else's.
    let is_ours = inputs.owner(&vip) == Some(name);
    let in_vpp = view.vpp.as_ref().and_then(|vpp| vpp.vips.get(&vip)).filter(|_| is_ours);
    let pools = frontend.pools.iter().enumerate().map(|(order, of)| {
        let pool = Pool { inputs, vip, effective: &effective, frontend, order };
        (Arc::clone(&of.name), pool.detail(of))
    });
    Some(FrontendDetail {
        vip: frontend.vip.into(),
        state: state_word(view.frontend_state(name), &effective),
        since: state.map(|state| Time(state.since)),
        code: state.and_then(|state| state.code).map(ProbeCode::as_str),
        active_pool: effective.active_pool.and_then(|pool| Some(Arc::clone(&frontend.pools.get(pool)?.name))),
        standing: standing(frontend).0,
        problems: all_problems(inputs, frontend),
        encap: frontend.encap.map(|encap| encap.to_string()),
        sticky: frontend.sticky,
        on_backend_down: match frontend.on_backend_down {
            OnBackendDown::Flush => "Flush",
            OnBackendDown::Keep => "Keep",
        },
        table_length: frontend.table_length.get(),
        uid: Arc::clone(&frontend.revision.uid),
        generation: frontend.revision.generation,
        report: view.reports.get(name).map(report),
        in_vpp: in_vpp.map(as_vpp_has_it),
        pools: pools.collect(),
        counters: inputs.traffic.as_ref().filter(|_| is_ours).and_then(|traffic| traffic.vips.get(&vip)).copied(),
    })
}

/// The state as people read it: up by another pool than the first is to stand by.
pub(in crate::dashboard) fn state_word(state: FrontendState, effective: &Effective) -> &'static str {
    match (state, effective.active_pool) {
        (FrontendState::Up, Some(1..)) => "standby",
        (state, _) => state.as_str(),
    }
}

/// What the agents do about it, and why.
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

fn as_vpp_has_it(vip: &VipState) -> InVpp {
    InVpp {
        encap: vip.encap.map(ActualEncap::as_str),
        sticky: vip.sticky,
        table_length: vip.table_length,
        servers: vip.servers.len(),
    }
}

/// One of a frontend's pools, and all that its members' weights follow from.
struct Pool<'a> {
    inputs: &'a Inputs,
    vip: VppVip,
    effective: &'a Effective,
    frontend: &'a Frontend,
    order: usize,
}

impl Pool<'_> {
    fn detail(&self, pool: &config::Pool) -> PoolDetail {
        let members = pool.members.iter().enumerate();
        let members: BTreeMap<_, _> =
            members.map(|(order, of)| (of.backend.to_string(), self.member(order, of))).collect();
        PoolDetail { order: self.order, active: self.is_active(), members }
    }

    fn is_active(&self) -> bool {
        self.effective.active_pool == Some(self.order)
    }

    fn member(&self, order: usize, member: &config::Member) -> Member {
        let (view, address) = (self.inputs.view(), member.target.address());
        let wanted = address.filter(|address| self.is_active() || !self.is_in_the_active_pool(*address));
        let wanted = wanted.and_then(|address| Some((address, self.effective.ases.get(&address)?.weight)));
        let is_ours = self.inputs.owner(&self.vip) == Some(&self.frontend.name);
        let vips = view.vpp.as_ref().map(|vpp| &vpp.vips).filter(|_| is_ours);
        let in_vpp = address.and_then(|address| vips?.get(&self.vip)?.servers.get(&address).copied());
        let dumped = address.filter(|_| is_ours).and_then(|address| self.inputs.dumped(&self.vip, address));
        Member {
            order,
            address: address.map(|address| address.to_string()),
            weight: member.weight.get(),
            effective: wanted.map_or(0, |(address, weight)| self.in_effect(address, weight)),
            in_vpp,
            buckets: dumped.map(|of| of.buckets),
            condition: condition(Condition::of(&member.target, &view.health)),
            kept: matches!(wanted, Some((_, WantWeight::Keep { .. }))),
        }
    }

    /// One address is one application server: the entry of the active pool is what counts.
    fn is_in_the_active_pool(&self, address: IpAddr) -> bool {
        let active = self.effective.active_pool.and_then(|pool| self.frontend.pools.get(pool));
        active.is_some_and(|pool| pool.members.iter().any(|member| member.target.address() == Some(address)))
    }

    fn in_effect(&self, address: IpAddr, weight: WantWeight) -> u8 {
        let view = self.inputs.view();
        let weightless = view.vpp.as_ref().filter(|vpp| vpp.weightless);
        let weight = weightless.map_or(weight, |vpp| weight.without_weights(vpp.vips.contains_key(&self.vip)));
        weight.effective(view.weight_in_vpp(&self.vip, address))
    }
}

/// The word for why a weight is what it is.
fn condition(condition: Condition) -> &'static str {
    match condition {
        Condition::Up => "up",
        Condition::Down => "down",
        Condition::Suspect => "suspect",
        Condition::NeverKnown => "never-known",
        Condition::Unknown => "unknown",
        Condition::CheckMissing => "check-missing",
        Condition::Unreadable => "unreadable",
        Condition::Paused => "paused",
        Condition::Disabled => "disabled",
    }
}
