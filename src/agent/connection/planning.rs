//! One address: what its Frontends want, the plan, and how far the node is with each of them.

use std::{collections::BTreeSet, net::IpAddr};

use futures::FutureExt;
use tokio::time::Instant;

use super::{Cause, Connection, Picture};
use crate::{
    agent::{
        brain::{Brain, Withheld},
        conf, job,
        warmup::Gate,
        world::{VipView, in_vpp},
    },
    model::{
        config::Standing,
        desired::{Desired, Want, Wanted, no_source_address},
        event::{Event, ProgramResult, Scope},
        plan::{AddressPlan, plan_address},
        problem::{Problem, Reason},
        vip::VipKey,
        weights::Condition,
    },
};

/// Why a VIP is not programmed as its Frontend says, where the plan alone does not tell.
enum Verdict {
    /// It is, or the plan will see to it.
    Follows,
    /// Its backends are not all known yet.
    WarmsUp,
    /// The node cannot.
    Cannot(Problem),
}

impl Connection {
    /// Plans `address` and sends the plan.
    pub(super) fn start(&mut self, brain: &mut Brain, now: Instant, address: IpAddr, cause: Cause) {
        let Some(picture) = &self.picture else { return };
        let mut views = brain.world.views(address, Some(&picture.actual));
        let gate = brain.gate(now);
        let verdicts: Vec<Verdict> = views.iter_mut().map(|view| judge(view, picture, gate)).collect();
        if verdicts.iter().any(|verdict| matches!(verdict, Verdict::WarmsUp)) {
            self.warming.insert(address);
        } else {
            self.warming.remove(&address);
        }
        self.hold_ineffective(brain, &mut views);
        let Some(picture) = &self.picture else { return };
        brain.observe(&views, &picture.actual);
        if cause == Cause::Pass && self.retries.waits(address) {
            return;
        }
        let desired: Desired = views.iter().filter_map(wanted).collect();
        brain.claim(&desired);
        brain.label(&desired);
        let mut plan = plan_address(address, &desired, &picture.actual, brain.flushes.due(), brain.removal_policy());
        let withheld = brain.withhold(&mut plan, address, &picture.actual, now);
        if plan.is_empty() && !self.unverified.contains_key(&address) {
            // Read back as wanted, whatever an earlier step was answered.
            self.retries.succeeded(address);
        }
        self.report(brain, address, &views, &verdicts, &plan, &withheld);
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
        self.busy.insert(address, plan.len());
        self.jobs.push(job::run(self.dataplane.clone(), self.order.clone(), address, plan).boxed());
    }

    /// Claims all VIPs that a pass is about to add, so that their list is written once and not once
    /// for every address: that writing is most of the time which a big sync spends outside VPP.
    pub(super) fn claim_missing(&self, brain: &mut Brain, now: Instant) {
        let Some(picture) = &self.picture else { return };
        let is_missing = |vip: VipKey| in_vpp(Some(&picture.actual), vip).is_none();
        let frontends = brain.world.config().into_iter().flat_map(|config| config.frontends.values());
        let missing = frontends.map(|frontend| frontend.vip).filter(|vip| is_missing(*vip));
        let addresses: BTreeSet<IpAddr> = missing.map(|vip| vip.address).collect();
        let gate = brain.gate(now);
        for address in addresses {
            let mut views = brain.world.views(address, Some(&picture.actual));
            for view in &mut views {
                judge(view, picture, gate);
            }
            let will_be_added = |(vip, of): &(VipKey, Wanted)| {
                is_missing(*vip) && matches!(&of.want, Want::Exactly(want) if want.encap.is_some())
            };
            let desired: Desired = views.iter().filter_map(wanted).filter(will_be_added).collect();
            brain.claim(&desired);
        }
        brain.save_ours();
    }

    /// A VIP that a recreate did not mend is left alone.
    fn hold_ineffective(&self, brain: &mut Brain, views: &mut [VipView]) {
        let Some(picture) = &self.picture else { return };
        for view in views {
            let key = view.frontend.vip;
            let (Some(Want::Exactly(want)), Some(have)) = (&view.want, in_vpp(Some(&picture.actual), key)) else {
                continue;
            };
            // Until it was read back there is nothing to compare.
            if self.unverified.contains_key(&key.address) {
                continue;
            }
            let found = want.mismatch(have);
            if brain.recreates.is_ineffective(key, found)
                && let Some(found) = found
            {
                let problem = Problem::new(
                    Reason::RecreateIneffective,
                    "spec",
                    format!("VPP still reports another {found} after Frontend {} was recreated", view.frontend.name),
                );
                view.want = view.want.take().map(|want| want.hold(problem));
            }
        }
    }

    fn report(
        &self,
        brain: &mut Brain,
        address: IpAddr,
        views: &[VipView],
        verdicts: &[Verdict],
        plan: &AddressPlan,
        withheld: &Withheld,
    ) {
        let Some(picture) = &self.picture else { return };
        for (view, verdict) in views.iter().zip(verdicts) {
            let vip = view.frontend.vip.into();
            let planned = plan.steps().any(|step| step.vip() == vip);
            let there = picture.actual.vips.contains_key(&vip);
            let (result, reason) = match (verdict, &view.want) {
                (Verdict::WarmsUp, _) => (ProgramResult::Pending, "WarmingUp"),
                (Verdict::Cannot(problem), _) => (ProgramResult::Failed, problem.reason.as_str()),
                (_, None) => (ProgramResult::Failed, withdrawn(&view.frontend.standing)),
                (_, Some(Want::Hold { problem, .. })) if problem.reason == Reason::RecreateIneffective => {
                    (ProgramResult::Failed, problem.reason.as_str())
                }
                (_, Some(Want::Hold { problem, .. })) => (ProgramResult::Held, problem.reason.as_str()),
                (_, Some(Want::Exactly(want))) if want.encap.is_none() && !there => {
                    (ProgramResult::Failed, Reason::NoBackends.as_str())
                }
                _ if withheld.blocked.contains(&view.frontend.vip) => {
                    (ProgramResult::Pending, Reason::RemovalHeld.as_str())
                }
                _ if withheld.servers_of.contains(&view.frontend.vip) => {
                    (ProgramResult::Held, Reason::RemovalHeld.as_str())
                }
                // VPP's refusal was reported with its name; it stands until a retry went well.
                _ if self.retries.is_failing(address) => continue,
                _ if planned || self.unverified.contains_key(&address) => {
                    brain.reports.set_pending(&view.frontend);
                    continue;
                }
                _ if picture.actual.weightless && view.frontend.has_unequal_weights() => {
                    (ProgramResult::Programmed, Reason::WeightsUnsupported.as_str())
                }
                _ => (ProgramResult::Programmed, ""),
            };
            brain.reports.set(&view.frontend, result, reason);
        }
    }
}

/// Replaces what a view wants by a hold where this node cannot or must not follow it now.
fn judge(view: &mut VipView, picture: &Picture, gate: Gate) -> Verdict {
    let hold = |problem: Problem| Some(Want::Hold { problem, weights: std::collections::BTreeMap::new() });
    let Some(Want::Exactly(want)) = &view.want else { return Verdict::Follows };
    if let Some(encap) = want.encap.filter(|encap| !conf::has_source(&picture.conf, *encap)) {
        let problem = no_source_address(&view.frontend.name, encap);
        view.want = hold(problem.clone());
        return Verdict::Cannot(problem);
    }
    let unknown = want.ases.values().any(|of| of.condition == Condition::NeverKnown);
    if gate == Gate::KnownOnly && unknown {
        view.want = hold(Problem::new(Reason::WarmingUp, "", "not all backends are known yet"));
        return Verdict::WarmsUp;
    }
    Verdict::Follows
}

fn withdrawn(standing: &Standing) -> &'static str {
    match standing {
        Standing::Withdrawn(problem) | Standing::Held(problem) => problem.reason.as_str(),
        Standing::Serving => Reason::Conflicted.as_str(),
    }
}

fn wanted(view: &VipView) -> Option<(VipKey, Wanted)> {
    let want = view.want.clone()?;
    Some((view.frontend.vip, Wanted { frontend: view.frontend.name.clone(), want }))
}
