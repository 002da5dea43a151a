//! VPP's replies to steps: updates the cached state and pending flushes, and publishes every change.

use tokio::time::Instant;

use super::{DumpReason, SyncSession, VERIFY_AFTER};
use crate::{
    dataplane::DataplaneError,
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
    vip::VipKey,
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
        let FinishedJob { address, started, recreates, outcomes } = done;
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
            state.recreates.record_finished(*vip, *mismatch);
            self.dump_due = self.dump_due.max(Some(DumpReason::Verify));
        }
        if let Some(StepOutcome { number, .. }) = outcomes.last() {
            self.unverified.insert(address, *number);
            self.verify_at.get_or_insert(now + VERIFY_AFTER);
        }
        let sent = u32::try_from(outcomes.len()).unwrap_or(u32::MAX);
        match &mut self.pass {
            Some(pass) if on_pass => pass.record_finished(address, counts, sent, failed),
            _ => {
                let duration = now.duration_since(started);
                state.metrics.done(scope, duration);
                state.events.emit(Event::SyncDone { scope, counts, failed, duration });
            }
        }
    }

    /// Applies an executed step to the cached state, or keeps it for the pending dump.
    fn apply_to_cache(&mut self, number: u64, step: &Step) {
        if let Some(cached) = self.cached.as_mut().filter(|cached| number > cached.number) {
            cached.actual.apply(step);
        }
        if let Some(pending_dump) = self.pending_dump.as_mut().filter(|pending_dump| number > pending_dump.number) {
            pending_dump.since.push(step.clone());
        }
    }

    /// Publishes a recreate as one event, with the resulting state of the VIP. If the VIP could not be added again, the
    /// executed steps are published instead.
    fn publish_recreate(&self, state: &AgentState, scope: Scope, recreate: Recreate, outcomes: &[StepOutcome]) {
        let Recreate { vip, mismatch } = recreate;
        let executed = |outcome: &&StepOutcome| outcome.result.is_ok() && outcome.step.vip() == vip.into();
        let added = outcomes.iter().filter(executed).find_map(|outcome| match &outcome.step {
            Step::AddVip { encap, .. } => Some(encap),
            _ => None,
        });
        match added {
            Some(encap) => {
                state.metrics.synced(scope, SyncedChange::VipRecreate);
                state.events.emit(Event::VipRecreate {
                    vip: state.vip_ref(vip.into()),
                    encap: encap.as_str(),
                    reason: mismatch.to_string(),
                    state: in_vpp(self.actual(), vip).map(VipState::from),
                });
            }
            None => outcomes.iter().filter(executed).for_each(|outcome| state.publish_step(scope, &outcome.step)),
        }
    }
}
