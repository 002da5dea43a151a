//! One address: what its Frontends want, the plan, and how far the node is with each of them.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use futures::FutureExt;
use tokio::time::Instant;

use super::{CachedVppState, Cause, SyncSession};
use crate::{
    conf,
    inputs::{VipView, in_vpp},
    plan_job,
    state::TurnBudget,
    state::{AgentState, Deferred},
    warmup::Gate,
};
use maglev_model::{
    actual::Actual,
    config::{Frontend, Standing},
    desired::{Desired, LbVip, Want, Wanted, no_source_address, want},
    event::{Event, ProgramResult, Scope},
    plan::{AddressPlan, plan_address},
    problem::{Problem, Reason},
    weights::{ActivePool, Condition},
};

/// A Frontend of the address that is planned.
struct Claim {
    frontend: Arc<Frontend>,
    active_pool: ActivePool,
    assessment: Assessment,
}

/// Why a VIP is not programmed as its Frontend says, where the plan alone does not tell.
enum Assessment {
    /// It is, or the plan will see to it.
    Applicable,
    /// Its backends are not all known yet.
    WarmingUp,
    /// The node cannot.
    Impossible(Problem),
    /// Another Frontend has the better claim.
    Withdrawn,
}

impl SyncSession {
    /// Plans `address` and sends the plan.
    pub fn plan_and_send(
        &mut self,
        state: &mut AgentState,
        now: Instant,
        address: IpAddr,
        cause: Cause,
        budget: &mut TurnBudget,
    ) {
        let Some(cached) = &self.cached else { return };
        let views = state.inputs.views(address, Some(&cached.actual));
        budget.spend(views.len());
        state.observe(address, &views, &cached.actual);
        let gate = state.gate(now);
        let mut desired = Desired::new();
        let claims: Vec<Claim> = views.into_iter().map(|view| assess(view, cached, gate, &mut desired)).collect();
        if claims.iter().any(|claim| matches!(claim.assessment, Assessment::WarmingUp)) {
            self.warming.insert(address);
        } else {
            self.warming.remove(&address);
        }
        // Until it was read back there is nothing to compare.
        if !self.unverified.contains_key(&address) {
            hold_ineffective(state, &cached.actual, &mut desired);
        }
        if cause == Cause::Pass && self.retries.is_waiting(address) {
            return;
        }
        state.claim(&desired);
        state.remember_backend_names(&desired);
        let due = state.flushes.due(address);
        let mut plan = plan_address(address, &desired, &cached.actual, &due, state.removal_policy());
        let deferred = state.defer_removals(&mut plan, address, &cached.actual, now);
        if plan.is_empty() && !self.unverified.contains_key(&address) {
            // Read back as wanted, whatever an earlier step was answered.
            self.retries.record_success(address);
        }
        self.report(state, address, &claims, &desired, &plan, &deferred);
        if plan.is_empty() || (!plan.recreates.is_empty() && !state.recreates.try_start(address)) {
            return;
        }
        if !plan.adds.is_empty() {
            state.save_owned_vips();
        }
        if cause == Cause::Pass
            && let Some(pass) = &mut self.pass
        {
            pass.running(address);
        } else {
            state.events.emit(Event::SyncStart { scope: Scope::Address(address) });
        }
        self.queue.begin(address, plan.len());
        self.jobs.push(plan_job::start(self.dataplane.clone(), self.counter.clone(), address, plan).boxed());
    }

    /// Claims the VIPs that a pass is about to add, so that their list is written once and not once
    /// for every address: that writing is most of the time which a big sync spends outside VPP. The
    /// plan decides; what it adds beside these is claimed with it.
    pub fn claim_missing(&self, state: &mut AgentState, now: Instant) {
        let Some(cached) = &self.cached else { return };
        let gate = state.gate(now);
        state.claim_where(|inputs, frontend| {
            frontend.standing == Standing::Serving
                && frontend.encap.is_some_and(|encap| conf::has_source(&cached.conf, encap))
                && in_vpp(Some(&cached.actual), frontend.vip).is_none()
                && (gate == Gate::Open || inputs.all_backends_known(frontend))
        });
        state.save_owned_vips();
    }

    fn report(
        &self,
        state: &mut AgentState,
        address: IpAddr,
        claims: &[Claim],
        desired: &Desired,
        plan: &AddressPlan,
        deferred: &Deferred,
    ) {
        let Some(cached) = &self.cached else { return };
        for Claim { frontend, active_pool, assessment } in claims {
            // Weights that wait for the warm-up are not in effect.
            if !matches!(assessment, Assessment::WarmingUp) {
                state.reports.set_active_pool(&frontend.name, *active_pool);
            }
            let vip = frontend.vip.into();
            let planned = plan.steps().any(|step| step.vip() == vip);
            let there = cached.actual.vips.contains_key(&vip);
            let want = desired.get(&frontend.vip).map(|wanted| &wanted.want);
            let (result, reason) = match (assessment, want) {
                (Assessment::WarmingUp, _) => (ProgramResult::Pending, "WarmingUp"),
                (Assessment::Impossible(problem), _) => (ProgramResult::Failed, problem.reason.as_str()),
                (Assessment::Withdrawn, _) => (ProgramResult::Failed, withdrawn(&frontend.standing)),
                (_, Some(Want::Hold { problem, .. })) if problem.reason == Reason::RecreateIneffective => {
                    (ProgramResult::Failed, problem.reason.as_str())
                }
                (_, Some(Want::Hold { problem, .. })) => (ProgramResult::Held, problem.reason.as_str()),
                (_, Some(Want::Exactly(want))) if want.encap.is_none() && !there => {
                    (ProgramResult::Failed, Reason::NoBackends.as_str())
                }
                _ if deferred.blocked.contains(&frontend.vip) => (ProgramResult::Pending, Reason::RemovalHeld.as_str()),
                _ if deferred.servers_of.contains(&frontend.vip) => (ProgramResult::Held, Reason::RemovalHeld.as_str()),
                // VPP's refusal was reported with its name; it stands until a retry went well.
                _ if self.retries.is_failing(address) => continue,
                _ if planned || self.unverified.contains_key(&address) => {
                    state.reports.set_pending(frontend);
                    continue;
                }
                _ if cached.actual.weightless && frontend.has_unequal_weights() => {
                    (ProgramResult::Programmed, Reason::WeightsUnsupported.as_str())
                }
                _ => (ProgramResult::Programmed, ""),
            };
            state.reports.set(frontend, result, reason);
        }
    }
}

/// Adds what the Frontend wants to `desired`, or a hold where this node cannot or must not follow it
/// now.
fn assess(view: VipView, cached: &CachedVppState, gate: Gate, desired: &mut Desired) -> Claim {
    let VipView { frontend, effective } = view;
    let active_pool = ActivePool::from(effective.active_pool);
    let Some(want) = want(&frontend, effective, &cached.actual) else {
        return Claim { frontend, active_pool, assessment: Assessment::Withdrawn };
    };
    let hold = |problem: Problem| Want::Hold { problem, weights: BTreeMap::new() };
    let (want, assessment) = match want {
        Want::Exactly(LbVip { encap: Some(encap), .. }) if !conf::has_source(&cached.conf, encap) => {
            let problem = no_source_address(&frontend.name, encap);
            (hold(problem.clone()), Assessment::Impossible(problem))
        }
        Want::Exactly(LbVip { ases, .. })
            if gate == Gate::KnownOnly && ases.values().any(|of| of.condition == Condition::NeverKnown) =>
        {
            let problem = Problem::new(Reason::WarmingUp, "", "not all backends are known yet");
            (hold(problem), Assessment::WarmingUp)
        }
        want => (want, Assessment::Applicable),
    };
    desired.insert(frontend.vip, Wanted { frontend: frontend.name.clone(), want });
    Claim { frontend, active_pool, assessment }
}

/// A VIP that a recreate did not mend is left alone.
fn hold_ineffective(state: &mut AgentState, actual: &Actual, desired: &mut Desired) {
    for (key, Wanted { frontend, want }) in desired {
        let (Want::Exactly(exactly), Some(have)) = (&mut *want, in_vpp(Some(actual), *key)) else { continue };
        let found = exactly.mismatch(have);
        if state.recreates.is_ineffective(*key, found)
            && let Some(found) = found
        {
            let problem = Problem::new(
                Reason::RecreateIneffective,
                "spec",
                format!("VPP still reports another {found} after Frontend {frontend} was recreated"),
            );
            *want = Want::Hold { problem, weights: std::mem::take(&mut exactly.ases) };
        }
    }
}

fn withdrawn(standing: &Standing) -> &'static str {
    match standing {
        Standing::Withdrawn(problem) | Standing::Held(problem) => problem.reason.as_str(),
        Standing::Serving => Reason::Conflicted.as_str(),
    }
}
