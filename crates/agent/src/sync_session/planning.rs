//! Plans one address, and reports the state of each of its Frontends.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use futures::FutureExt;
use tokio::time::Instant;

use super::{CachedVppState, Cause, DumpReason, SyncSession, verification::Unverified};
use crate::{
    inputs::{VipView, in_vpp},
    plan_job,
    state::{AgentState, Deferred},
    turn_budget::TurnBudget,
    warmup::Gate,
};
use maglev_model::{
    actual::Actual,
    config::{Frontend, Standing},
    desired::{Desired, DesiredEntry, DesiredVip, VipSpec, desired_vip, obstacle, state_not_writable},
    event::{Event, ProgramResult, Scope},
    plan::{AddressPlan, Step, plan_address},
    problem::{Problem, Reason},
    vip::VipKey,
    weights::ActivePool,
};

/// A Frontend of the planned address.
struct AssessedFrontend {
    frontend: Arc<Frontend>,
    /// The Frontend as configured, while a change of it is held.
    held_change: Option<Arc<Frontend>>,
    active_pool: ActivePool,
    assessment: Assessment,
}

/// Result of the checks that precede the plan.
enum Assessment {
    /// The VIP may be programmed: it is in sync, or the plan changes it.
    Applicable,
    /// Not all backends have a health state yet.
    WarmingUp,
    /// This node cannot program the VIP.
    Impossible(Problem),
    /// Another Frontend has precedence for the VIP.
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
        let views = state.decide_changes(now, address, &cached.actual);
        budget.spend(views.len());
        state.observe(address, &views, &cached.actual);
        let gate = state.gate(now);
        let mut desired = Desired::new();
        let mut claims: Vec<AssessedFrontend> =
            views.into_iter().map(|view| assess(view, cached, gate, &mut desired)).collect();
        if claims.iter().any(|claim| matches!(claim.assessment, Assessment::WarmingUp)) {
            self.warming.insert(address);
        } else {
            self.warming.remove(&address);
        }
        // For an unverified address, no dump is recent enough for the comparison.
        if !self.unverified.contains_key(&address) {
            hold_ineffective(state, &cached.actual, &mut desired);
        }
        if cause == Cause::Pass && self.retries.is_waiting(address) {
            return;
        }
        state.claim(&desired);
        if hold_unrecorded(state, now, &cached.actual, &mut claims, &mut desired) {
            self.dump_due = Some(DumpReason::Pass);
        }
        state.remember_backend_names(&desired);
        let due = state.flushes.due(address);
        let mut plan = plan_address(address, &desired, &cached.actual, &due, state.removal_policy());
        let unconfirmed = self.confirmations.unconfirmed(address, &plan.recreates, cached.number);
        plan.keep(&unconfirmed, &desired, &cached.actual, &due);
        if !unconfirmed.is_empty() {
            let unverified = Unverified { last: cached.number, servers_only: false };
            self.unverified.entry(address).or_insert(unverified).servers_only = false;
            self.dump_due = self.dump_due.max(Some(DumpReason::Verify));
        }
        let deferred = state.defer_removals(&mut plan, address, &desired, &cached.actual, &due, now);
        if plan.is_empty() && !self.unverified.contains_key(&address) {
            // The dump matches the desired state, whatever VPP replied to an earlier step.
            self.retries.record_success(address);
        }
        let pending = self.report(state, address, &claims, &desired, &plan, &deferred);
        let sets_weight = |step: &Step| matches!(step, Step::SetWeight { .. });
        // A step of a ramp follows the one before.
        let is_ramped = pending.iter().any(|frontend| frontend.ramp_up.is_some());
        if pending.len() == claims.len() && due.is_empty() && !is_ramped && plan.steps().all(sets_weight) {
            self.settling.insert(address, pending);
        } else {
            self.settling.remove(&address);
        }
        if plan.is_empty() || (!plan.recreates.is_empty() && !state.recreates.try_start(address)) {
            return;
        }
        if cause == Cause::Pass
            && let Some(pass) = &mut self.pass
        {
            pass.record_running(address);
        } else {
            state.events.emit(Event::SyncStart { scope: Scope::Address(address) });
        }
        self.queue.begin(address, plan.len());
        let before = plan.changed_vips(&cached.actual);
        state.disruption.record(now, &plan, &before);
        self.jobs.push(plan_job::start(self.dataplane.clone(), self.counter.clone(), address, plan, before).boxed());
    }

    /// Marks the VIPs that a pass is about to add as owned, so that their file is written once and not once per
    /// address; writing takes most of the time that a big sync spends outside VPP. VIPs that a plan adds beside these
    /// are marked with the plan.
    pub fn claim_missing(&mut self, state: &mut AgentState, now: Instant) {
        let Some(cached) = &self.cached else { return };
        let gate = state.gate(now);
        state.claim_where(|inputs, frontend| {
            frontend.standing == Standing::Serving
                && frontend.encap.is_some_and(|encap| cached.conf.has_source(encap))
                && in_vpp(Some(&cached.actual), frontend.vip).is_none()
                && !cached.actual.has_nat_vip(frontend.vip.address)
                && (gate == Gate::Open || inputs.all_backends_known(frontend))
        });
        self.save_owned_vips(state, now);
    }

    /// Reports the state of each Frontend. Returns those that are Programmed once VPP is found to have the plan.
    fn report(
        &self,
        state: &mut AgentState,
        address: IpAddr,
        claims: &[AssessedFrontend],
        desired: &Desired,
        plan: &AddressPlan,
        deferred: &Deferred,
    ) -> Vec<Arc<Frontend>> {
        let mut pending = Vec::new();
        let Some(cached) = &self.cached else { return pending };
        for AssessedFrontend { frontend, held_change, active_pool, assessment } in claims {
            // Weights that wait for the warm-up are not in effect.
            if !matches!(assessment, Assessment::WarmingUp) {
                state.reports.set_active_pool(&frontend.name, *active_pool);
            }
            let vip = frontend.vip.into();
            let planned = plan.steps().any(|step| step.vip() == vip);
            let exists = cached.actual.vips.contains_key(&vip);
            let desired_vip = desired.get(&frontend.vip).map(|entry| &entry.vip);
            let (result, reason) = match (assessment, desired_vip) {
                (Assessment::WarmingUp, _) => (ProgramResult::Pending, "WarmingUp"),
                (Assessment::Impossible(problem), _) => (ProgramResult::Failed, problem.reason.as_str()),
                (Assessment::Withdrawn, _) => (ProgramResult::Failed, withdrawal_reason(&frontend.standing)),
                (_, Some(DesiredVip::Hold { problem, .. })) if problem.reason == Reason::RecreateIneffective => {
                    (ProgramResult::Failed, problem.reason.as_str())
                }
                (_, Some(DesiredVip::Hold { problem, .. })) => (ProgramResult::Held, problem.reason.as_str()),
                (_, Some(DesiredVip::Exactly(spec))) if spec.encap.is_none() && !exists => {
                    (ProgramResult::Failed, Reason::NoBackends.as_str())
                }
                _ if deferred.blocked.contains(&frontend.vip) => (ProgramResult::Pending, Reason::RemovalHeld.as_str()),
                _ if deferred.held_servers.contains(&frontend.vip) => {
                    (ProgramResult::Held, Reason::RemovalHeld.as_str())
                }
                _ if deferred.excluded.contains(&frontend.vip) && !self.unverified.contains_key(&address) => {
                    (ProgramResult::Held, Reason::OtherVipInVpp.as_str())
                }
                _ if held_change.is_some() => (ProgramResult::Held, Reason::DisruptionHeld.as_str()),
                // VPP's error was already reported; it stands until a retry succeeds.
                _ if self.retries.is_failing(address) => continue,
                _ if planned || self.unverified.contains_key(&address) => {
                    state.reports.set_pending(frontend);
                    pending.push(Arc::clone(frontend));
                    continue;
                }
                _ if cached.actual.weightless && frontend.needs_weights() => {
                    (ProgramResult::Programmed, Reason::WeightsUnsupported.as_str())
                }
                _ => (ProgramResult::Programmed, ""),
            };
            state.reports.set(held_change.as_ref().unwrap_or(frontend), result, reason);
        }
        pending
    }
}

/// The active pool as an index into the pools of the Frontend as configured.
fn active_pool(view: &VipView) -> ActivePool {
    let pool = view.effective.active_pool.and_then(|index| view.frontend.pools.get(index));
    let position = |name| view.configured().pools.iter().position(|pool| pool.name == name);
    ActivePool::from(pool.and_then(|pool| position(Arc::clone(&pool.name))))
}

/// Adds the Frontend's VIP to `desired`: its exact state, or a hold if this node cannot or must not program it now.
fn assess(view: VipView, cached: &CachedVppState, gate: Gate, desired: &mut Desired) -> AssessedFrontend {
    let active_pool = active_pool(&view);
    let VipView { frontend, effective, held_change } = view;
    let Some(vip) = desired_vip(&frontend, effective, &cached.actual) else {
        return AssessedFrontend { frontend, held_change, active_pool, assessment: Assessment::Withdrawn };
    };
    let hold = |problem: Problem| DesiredVip::Hold { problem, weights: BTreeMap::new() };
    let (vip, assessment) = match (obstacle(&frontend, &vip, &cached.actual, &cached.conf), vip) {
        (Some(problem), _) if problem.reason == Reason::NatVipInVpp => (hold(problem), Assessment::Applicable),
        (Some(problem), _) => (hold(problem.clone()), Assessment::Impossible(problem)),
        (None, DesiredVip::Exactly(VipSpec { ases, .. }))
            if gate == Gate::KnownOnly && ases.values().any(|server| server.condition.is_never_known()) =>
        {
            let problem = Problem::new(Reason::WarmingUp, "", "not all backends are known yet");
            (hold(problem), Assessment::WarmingUp)
        }
        (None, vip) => (vip, Assessment::Applicable),
    };
    desired.insert(frontend.vip, DesiredEntry { frontend: frontend.name.clone(), vip });
    AssessedFrontend { frontend, held_change, active_pool, assessment }
}

/// Records the VIPs that the plan would add or recreate, and holds those that cannot be recorded. Returns true if VIPs can
/// be recorded again after an error.
fn hold_unrecorded(
    state: &mut AgentState,
    now: Instant,
    actual: &Actual,
    claims: &mut [AssessedFrontend],
    desired: &mut Desired,
) -> bool {
    let is_added = |key: &VipKey, vip: &DesiredVip| match (vip, in_vpp(Some(actual), *key)) {
        (DesiredVip::Exactly(spec), None) => spec.encap.is_some(),
        (DesiredVip::Exactly(spec), Some(have)) => spec.mismatch(have).is_some(),
        (DesiredVip::Hold { .. }, _) => false,
    };
    let added = desired.iter().filter(|(key, entry)| is_added(key, &entry.vip)).map(|(key, _)| *key);
    let added: Vec<VipKey> = added.filter(|key| !state.is_recorded(key)).collect();
    if added.is_empty() {
        return false;
    }
    let recovered = state.save_owned_vips(now);
    for key in added.into_iter().filter(|key| !state.is_recorded(key)) {
        let Some(entry) = desired.get_mut(&key) else { continue };
        let problem = state_not_writable(&entry.frontend);
        for claim in claims.iter_mut().filter(|claim| claim.frontend.name == entry.frontend) {
            claim.assessment = Assessment::Impossible(problem.clone());
        }
        if let DesiredVip::Exactly(spec) = &mut entry.vip {
            entry.vip = DesiredVip::Hold { problem, weights: std::mem::take(&mut spec.ases) };
        }
    }
    recovered
}

/// Holds VIPs whose recreate did not repair the mismatch: another recreate would only drop flows again.
fn hold_ineffective(state: &mut AgentState, actual: &Actual, desired: &mut Desired) {
    for (key, DesiredEntry { frontend, vip }) in desired {
        let (DesiredVip::Exactly(exactly), Some(have)) = (&mut *vip, in_vpp(Some(actual), *key)) else { continue };
        let mismatch = exactly.mismatch(have);
        if state.recreates.is_ineffective(*key, mismatch)
            && let Some(mismatch) = mismatch
        {
            let problem = Problem::new(
                Reason::RecreateIneffective,
                "spec",
                format!("VPP still reports another {mismatch} after Frontend {frontend} was recreated"),
            );
            *vip = DesiredVip::Hold { problem, weights: std::mem::take(&mut exactly.ases) };
        }
    }
}

fn withdrawal_reason(standing: &Standing) -> &'static str {
    match standing {
        Standing::Withdrawn(problem) | Standing::Held(problem) => problem.reason.as_str(),
        Standing::Serving => Reason::Conflicted.as_str(),
    }
}
