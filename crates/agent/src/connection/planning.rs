//! One address: what its Frontends want, the plan, and how far the node is with each of them.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use futures::FutureExt;
use tokio::time::Instant;

use super::{Cause, Connection, Picture};
use crate::{
    brain::{Brain, Withheld},
    conf, job,
    slice::Slice,
    warmup::Gate,
    world::{VipView, in_vpp},
};
use maglev_model::{
    actual::Actual,
    config::{Frontend, Standing},
    desired::{Desired, LbVip, Want, Wanted, no_source_address, want},
    event::{Event, ProgramResult, Scope},
    plan::{AddressPlan, plan_address},
    problem::{Problem, Reason},
    weights::Condition,
};

/// A Frontend of the address that is planned.
struct Claim {
    frontend: Arc<Frontend>,
    verdict: Verdict,
}

/// Why a VIP is not programmed as its Frontend says, where the plan alone does not tell.
enum Verdict {
    /// It is, or the plan will see to it.
    Follows,
    /// Its backends are not all known yet.
    WarmsUp,
    /// The node cannot.
    Cannot(Problem),
    /// Another Frontend has the better claim.
    Withdrawn,
}

impl Connection {
    /// Plans `address` and sends the plan.
    pub fn start(&mut self, brain: &mut Brain, now: Instant, address: IpAddr, cause: Cause, slice: &mut Slice) {
        let Some(picture) = &self.picture else { return };
        let views = brain.world.views(address, Some(&picture.actual));
        slice.take(views.len());
        brain.observe(address, &views, &picture.actual);
        let gate = brain.gate(now);
        let mut desired = Desired::new();
        let claims: Vec<Claim> = views.into_iter().map(|view| judge(view, picture, gate, &mut desired)).collect();
        if claims.iter().any(|claim| matches!(claim.verdict, Verdict::WarmsUp)) {
            self.warming.insert(address);
        } else {
            self.warming.remove(&address);
        }
        // Until it was read back there is nothing to compare.
        if !self.unverified.contains_key(&address) {
            hold_ineffective(brain, &picture.actual, &mut desired);
        }
        if cause == Cause::Pass && self.retries.waits(address) {
            return;
        }
        brain.claim(&desired);
        brain.label(&desired);
        let due = brain.flushes.due(address);
        let mut plan = plan_address(address, &desired, &picture.actual, &due, brain.removal_policy());
        let withheld = brain.withhold(&mut plan, address, &picture.actual, now);
        if plan.is_empty() && !self.unverified.contains_key(&address) {
            // Read back as wanted, whatever an earlier step was answered.
            self.retries.succeeded(address);
        }
        self.report(brain, address, &claims, &desired, &plan, &withheld);
        if plan.is_empty() || (!plan.recreates.is_empty() && !brain.recreates.may_start(address)) {
            return;
        }
        if !plan.adds.is_empty() {
            brain.save_ours();
        }
        if cause == Cause::Pass
            && let Some(pass) = &mut self.pass
        {
            pass.running(address);
        } else {
            brain.events.emit(Event::SyncStart { scope: Scope::Address(address) });
        }
        self.turns.begin(address, plan.len());
        self.jobs.push(job::start(self.dataplane.clone(), self.order.clone(), address, plan).boxed());
    }

    /// Claims the VIPs that a pass is about to add, so that their list is written once and not once
    /// for every address: that writing is most of the time which a big sync spends outside VPP. The
    /// plan decides; what it adds beside these is claimed with it.
    pub fn claim_missing(&self, brain: &mut Brain, now: Instant) {
        let Some(picture) = &self.picture else { return };
        let gate = brain.gate(now);
        brain.claim_where(|world, frontend| {
            frontend.standing == Standing::Serving
                && frontend.encap.is_some_and(|encap| conf::has_source(&picture.conf, encap))
                && in_vpp(Some(&picture.actual), frontend.vip).is_none()
                && (gate == Gate::Open || world.knows_all_of(frontend))
        });
        brain.save_ours();
    }

    fn report(
        &self,
        brain: &mut Brain,
        address: IpAddr,
        claims: &[Claim],
        desired: &Desired,
        plan: &AddressPlan,
        withheld: &Withheld,
    ) {
        let Some(picture) = &self.picture else { return };
        for Claim { frontend, verdict } in claims {
            let vip = frontend.vip.into();
            let planned = plan.steps().any(|step| step.vip() == vip);
            let there = picture.actual.vips.contains_key(&vip);
            let want = desired.get(&frontend.vip).map(|wanted| &wanted.want);
            let (result, reason) = match (verdict, want) {
                (Verdict::WarmsUp, _) => (ProgramResult::Pending, "WarmingUp"),
                (Verdict::Cannot(problem), _) => (ProgramResult::Failed, problem.reason.as_str()),
                (Verdict::Withdrawn, _) => (ProgramResult::Failed, withdrawn(&frontend.standing)),
                (_, Some(Want::Hold { problem, .. })) if problem.reason == Reason::RecreateIneffective => {
                    (ProgramResult::Failed, problem.reason.as_str())
                }
                (_, Some(Want::Hold { problem, .. })) => (ProgramResult::Held, problem.reason.as_str()),
                (_, Some(Want::Exactly(want))) if want.encap.is_none() && !there => {
                    (ProgramResult::Failed, Reason::NoBackends.as_str())
                }
                _ if withheld.blocked.contains(&frontend.vip) => (ProgramResult::Pending, Reason::RemovalHeld.as_str()),
                _ if withheld.servers_of.contains(&frontend.vip) => (ProgramResult::Held, Reason::RemovalHeld.as_str()),
                // VPP's refusal was reported with its name; it stands until a retry went well.
                _ if self.retries.is_failing(address) => continue,
                _ if planned || self.unverified.contains_key(&address) => {
                    brain.reports.set_pending(frontend);
                    continue;
                }
                _ if picture.actual.weightless && frontend.has_unequal_weights() => {
                    (ProgramResult::Programmed, Reason::WeightsUnsupported.as_str())
                }
                _ => (ProgramResult::Programmed, ""),
            };
            brain.reports.set(frontend, result, reason);
        }
    }
}

/// Adds what the Frontend wants to `desired`, or a hold where this node cannot or must not follow it
/// now.
fn judge(view: VipView, picture: &Picture, gate: Gate, desired: &mut Desired) -> Claim {
    let VipView { frontend, effective } = view;
    let Some(want) = want(&frontend, effective, &picture.actual) else {
        return Claim { frontend, verdict: Verdict::Withdrawn };
    };
    let hold = |problem: Problem| Want::Hold { problem, weights: BTreeMap::new() };
    let (want, verdict) = match want {
        Want::Exactly(LbVip { encap: Some(encap), .. }) if !conf::has_source(&picture.conf, encap) => {
            let problem = no_source_address(&frontend.name, encap);
            (hold(problem.clone()), Verdict::Cannot(problem))
        }
        Want::Exactly(LbVip { ases, .. })
            if gate == Gate::KnownOnly && ases.values().any(|of| of.condition == Condition::NeverKnown) =>
        {
            let problem = Problem::new(Reason::WarmingUp, "", "not all backends are known yet");
            (hold(problem), Verdict::WarmsUp)
        }
        want => (want, Verdict::Follows),
    };
    desired.insert(frontend.vip, Wanted { frontend: frontend.name.clone(), want });
    Claim { frontend, verdict }
}

/// A VIP that a recreate did not mend is left alone.
fn hold_ineffective(brain: &mut Brain, actual: &Actual, desired: &mut Desired) {
    for (key, Wanted { frontend, want }) in desired {
        let (Want::Exactly(exactly), Some(have)) = (&mut *want, in_vpp(Some(actual), *key)) else { continue };
        let found = exactly.mismatch(have);
        if brain.recreates.is_ineffective(*key, found)
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
