//! What VPP answered: the picture follows, what is owed is paid, and every change is told.

use tokio::time::Instant;

use super::{Connection, Depth, PING_EVERY, VERIFY_AFTER};
use crate::{
    brain::Brain,
    dataplane::DataplaneError,
    job::{JobDone, Outcome},
    metrics::Synced,
    world::in_vpp,
};
use maglev_model::{
    change::{Change, VipState},
    desired::Mismatch,
    event::{Event, Scope, SyncCounts},
    plan::Step,
    vip::VipKey,
};

impl Connection {
    /// A plan was answered.
    pub fn job_done(&mut self, brain: &mut Brain, done: JobDone, now: Instant) {
        let JobDone { address, started, recreates, outcomes } = done;
        self.turns.end(address);
        let on_pass = self.pass.as_ref().is_some_and(|pass| pass.is_running(address));
        let scope = if on_pass { Scope::All } else { Scope::Address(address) };
        self.next_ping = now + PING_EVERY;
        let recreated = |step: &Step| step.vip().key().is_some_and(|key| recreates.contains_key(&key));
        let mut counts = SyncCounts::default();
        let mut failed = 0;
        for Outcome { number, step, answer } in &outcomes {
            match answer {
                Ok(()) => {
                    counts.count(step);
                    self.follow(*number, step);
                    brain.flushes.paid_by(step);
                    if !recreated(step) {
                        brain.tell(scope, step);
                    }
                    brain.settle(step);
                }
                Err(DataplaneError::Closed(_)) => failed += 1,
                Err(error) => {
                    failed += 1;
                    brain.step_failed(step, &error.to_string());
                    self.read_due = self.read_due.max(Some(Depth::Verify));
                }
            }
        }
        if failed > 0 {
            self.retries.failed(address, now, brain.sync_interval());
        } else {
            self.retries.succeeded(address);
        }
        for (vip, why) in &recreates {
            self.tell_recreate(brain, scope, (*vip, *why), &outcomes);
            brain.recreates.finished(*vip, *why);
            self.read_due = self.read_due.max(Some(Depth::Verify));
        }
        if let Some(Outcome { number, .. }) = outcomes.last() {
            self.unverified.insert(address, *number);
            self.verify_at.get_or_insert(now + VERIFY_AFTER);
        }
        let sent = u32::try_from(outcomes.len()).unwrap_or(u32::MAX);
        match &mut self.pass {
            Some(pass) if on_pass => pass.ended(address, counts, sent, failed),
            _ => {
                let duration = now.duration_since(started);
                brain.metrics.done(scope, duration);
                brain.events.emit(Event::SyncDone { scope, counts, duration });
            }
        }
    }

    /// Keeps the picture, and one that is being read, in step with what VPP did.
    fn follow(&mut self, number: u64, step: &Step) {
        if let Some(picture) = self.picture.as_mut().filter(|picture| number > picture.number) {
            picture.actual.apply(step);
        }
        if let Some(reading) = self.reading.as_mut().filter(|reading| number > reading.number) {
            reading.since.push(step.clone());
        }
    }

    /// A recreate is told as one event, with all that the VIP has afterwards. Where the VIP could not be added again
    /// it is told as what it was: a removal.
    fn tell_recreate(&self, brain: &Brain, scope: Scope, (vip, why): (VipKey, Mismatch), outcomes: &[Outcome]) {
        let done = |outcome: &&Outcome| outcome.answer.is_ok() && outcome.step.vip() == vip.into();
        let added = outcomes.iter().filter(done).find_map(|outcome| match &outcome.step {
            Step::AddVip { encap, .. } => Some(encap),
            _ => None,
        });
        match added {
            Some(encap) => {
                let (encap, reason, of) = (encap.as_str(), why.to_string(), brain.vip_ref(vip.into()));
                let state = in_vpp(self.actual(), vip).map(VipState::from);
                brain.metrics.synced(scope, Synced::VipRecreate);
                brain.events.emit_change(Event::VipRecreate { vip: of, encap, reason }, Change::Vip(vip.into(), state));
            }
            None => outcomes.iter().filter(done).for_each(|outcome| brain.tell(scope, &outcome.step)),
        }
    }
}
