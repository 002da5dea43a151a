//! VPP's replies to steps: updates the cached state and pending flushes, and publishes every change.

use tokio::time::Instant;

use super::{
    DumpReason, SyncSession,
    verification::{Unverified, VERIFY_AFTER},
};
use crate::{
    dataplane::DataplaneError,
    flow_accounting::{ExecutedPlan, FinishedSync, frontends_of},
    inputs::in_vpp,
    metrics::SyncedChange,
    plan_job::{FinishedJob, StepOutcome},
    state::AgentState,
};
use maglev_model::{
    change::VipState,
    desired::Mismatch,
    event::{Event, Scope, SyncCounts},
    plan::Step,
    vip::{Encap, VipKey},
};

/// A VIP that was recreated to repair a mismatch.
#[derive(Clone, Copy)]
struct Recreate {
    vip: VipKey,
    mismatch: Mismatch,
}

impl SyncSession {
    /// Processes the replies to the steps of one plan.
    pub fn job_finished(&mut self, state: &mut AgentState, done: FinishedJob, now: Instant) {
        let FinishedJob { address, started, recreates, before, outcomes } = done;
        self.queue.end(address);
        let on_pass = self.pass.as_ref().is_some_and(|pass| pass.is_running(address));
        let scope = if on_pass { Scope::All } else { Scope::Address(address) };
        self.next_ping = now + self.ping_interval;
        let recreated = |step: &Step| step.vip().key().is_some_and(|key| recreates.contains_key(&key));
        let mut counts = SyncCounts::default();
        let mut failed = 0;
        for StepOutcome { number, step, result } in &outcomes {
            match result {
                Ok(()) => {
                    counts.count(step);
                    self.apply_to_cache(*number, step);
                    state.flushes.record_step(step);
                    state.held_servers.record_step(step);
                    self.garbage.record_step(step, now);
                    if !recreated(step) {
                        state.publish_step(scope, step);
                    }
                    state.forget_removed(step);
                }
                Err(DataplaneError::Closed(_)) => failed += 1,
                Err(error) => {
                    failed += 1;
                    state.step_failed(step, &error.to_string());
                    self.dump_due = self.dump_due.max(Some(DumpReason::Verify));
                }
            }
        }
        if failed > 0 {
            self.retries.record_failure(address, now, state.sync_interval());
        } else {
            self.retries.record_success(address);
        }
        for (vip, mismatch) in &recreates {
            self.publish_recreate(state, scope, Recreate { vip: *vip, mismatch: *mismatch }, &outcomes);
            // A recreate that VPP did not execute is repeated.
            if added_again(*vip, &outcomes).is_some() {
                state.recreates.record_finished(*vip, *mismatch);
            }
            self.dump_due = self.dump_due.max(Some(DumpReason::Verify));
        }
        if let Some(StepOutcome { number, .. }) = outcomes.last() {
            let servers_only = failed == 0 && outcomes.iter().all(|outcome| outcome.step.server().is_some());
            let written = Unverified { last: *number, servers_only };
            let before = self.unverified.get(&address).copied();
            self.unverified.insert(address, Unverified::merge(before, written));
            let at = now + VERIFY_AFTER;
            self.verify_at = Some(self.verify_at.map_or(at, |before| before.min(at)));
        }
        let sent = u32::try_from(outcomes.len()).unwrap_or(u32::MAX);
        let steps: Vec<Step> =
            outcomes.into_iter().filter(|outcome| outcome.result.is_ok()).map(|outcome| outcome.step).collect();
        let frontends = frontends_of(&steps, |vip| state.vip_ref(vip).frontend.filter(|name| state.has_frontend(name)));
        let executed = ExecutedPlan { steps, recreates, before, frontends };
        match &mut self.pass {
            Some(pass) if on_pass => {
                pass.record_finished(address, counts, sent, failed);
                state.flow_accounting.record_pass(executed);
            }
            _ => {
                let duration = now.duration_since(started);
                state.metrics.done(scope, duration);
                state.flow_accounting.finish_address(executed, FinishedSync { scope, counts, failed, duration });
            }
        }
    }

    /// Applies an executed step to the cached state, or keeps it for the pending dump.
    fn apply_to_cache(&mut self, number: u64, step: &Step) {
        if let Some(cached) = self.cached.as_mut().filter(|cached| number > cached.number) {
            cached.apply(step);
        }
        if let Some(pending_dump) = self.pending_dump.as_mut().filter(|pending_dump| number > pending_dump.number) {
            pending_dump.since.push(step.clone());
        }
    }

    /// Publishes a recreate as one event, with the resulting state of the VIP. If the VIP could not be added again, the
    /// executed steps are published instead.
    fn publish_recreate(&self, state: &AgentState, scope: Scope, recreate: Recreate, outcomes: &[StepOutcome]) {
        let Recreate { vip, mismatch } = recreate;
        match added_again(vip, outcomes) {
            Some(encap) => {
                state.metrics.synced(scope, SyncedChange::VipRecreate);
                state.events.emit(Event::VipRecreate {
                    vip: state.vip_ref(vip.into()),
                    encap: encap.as_str(),
                    reason: mismatch.to_string(),
                    state: in_vpp(self.actual(), vip).map(VipState::from),
                });
            }
            None => executed(vip, outcomes).for_each(|step| state.publish_step(scope, step)),
        }
    }
}

/// The steps of `vip` that VPP executed.
fn executed(vip: VipKey, outcomes: &[StepOutcome]) -> impl Iterator<Item = &Step> {
    let executed = outcomes.iter().filter(|outcome| outcome.result.is_ok()).map(|outcome| &outcome.step);
    executed.filter(move |step| step.vip() == vip.into())
}

/// The encapsulation with which VPP added the recreated `vip` again; `None` if it did not.
fn added_again(vip: VipKey, outcomes: &[StepOutcome]) -> Option<Encap> {
    executed(vip, outcomes).find_map(|step| match step {
        Step::AddVip { encap, .. } => Some(*encap),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use maglev_model::vip::{Service, TableLength};

    #[test]
    fn recreate_is_finished_only_if_vpp_added_the_vip_again() {
        let vip = VipKey { address: "203.0.113.1".parse().unwrap(), service: Service::AllPorts };
        let lost = || Err(DataplaneError::Unanswered("lost".to_owned()));
        let outcome = |step, result| StepOutcome { number: 1, step, result };
        let remove = |result| outcome(Step::RemoveVip { vip: vip.into(), encap: None }, result);
        let table_length = TableLength::new(1024).unwrap();
        let add = |result| outcome(Step::AddVip { vip, encap: Encap::Gre4, sticky: false, table_length }, result);
        assert_eq!(added_again(vip, &[remove(lost())]), None, "the add was not sent");
        assert_eq!(added_again(vip, &[remove(Ok(())), add(lost())]), None);
        assert_eq!(added_again(vip, &[remove(Ok(())), add(Ok(()))]), Some(Encap::Gre4));
        let other = VipKey { address: "203.0.113.2".parse().unwrap(), ..vip };
        assert_eq!(added_again(other, &[remove(Ok(())), add(Ok(()))]), None);
    }
}
