//! Execution of one address's plan by VPP.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::time::Instant;

use super::dataplane::{Dataplane, DataplaneError, ReplyFuture};
use maglev_model::{
    actual::{Actual, VppVip},
    desired::Mismatch,
    plan::{AddressPlan, Step},
    vip::VipKey,
};

/// Numbers requests in the order in which they are sent, so that it is certain if a dump includes the effect of a
/// step.
#[derive(Clone, Debug, Default)]
pub struct RequestCounter(Arc<AtomicU64>);

impl RequestCounter {
    /// The number of the next request.
    pub fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// A plan whose steps have all been replied to.
#[derive(Debug)]
pub struct FinishedJob {
    pub address: IpAddr,
    /// Time at which the first step was sent.
    pub started: Instant,
    /// The VIPs that the plan recreates, with the mismatch that each recreate repairs.
    pub recreates: BTreeMap<VipKey, Mismatch>,
    /// The changed VIPs before the plan.
    pub before: Actual,
    /// The steps sent, in order.
    pub outcomes: Vec<StepOutcome>,
}

/// A step and VPP's reply.
#[derive(Debug)]
pub struct StepOutcome {
    pub number: u64,
    pub step: Step,
    pub result: Result<(), DataplaneError>,
}

/// Sends the first phase of `plan` before it returns. The returned future sends each further phase when the previous
/// phase has been replied to. Steps that depend on a failed step are not sent. `before` has the VIPs that the plan changes.
pub fn start(
    dataplane: Arc<Dataplane>,
    counter: RequestCounter,
    address: IpAddr,
    plan: AddressPlan,
    before: Actual,
) -> impl Future<Output = FinishedJob> + Send + use<> {
    let started = Instant::now();
    let outcomes = Vec::with_capacity(plan.len());
    let AddressPlan { removes, adds, changes, recreates, .. } = plan;
    let mut job = Job { dataplane, counter, broken: BTreeSet::new(), outcomes };
    let mut phases = [removes, adds, changes].into_iter().filter(|phase| !phase.is_empty());
    let first = phases.next().map(|phase| job.send(phase)).unwrap_or_default();
    async move {
        job.receive_replies(first).await;
        for phase in phases {
            let sent = job.send(phase);
            job.receive_replies(sent).await;
        }
        FinishedJob { address, started, recreates, before, outcomes: job.outcomes }
    }
}

struct Job {
    dataplane: Arc<Dataplane>,
    counter: RequestCounter,
    /// VIPs whose remaining steps are skipped.
    broken: BTreeSet<VppVip>,
    outcomes: Vec<StepOutcome>,
}

/// A sent step with its number.
type SentStep = (u64, Step, ReplyFuture<()>);

impl Job {
    fn send(&self, phase: Vec<Step>) -> Vec<SentStep> {
        let steps = phase.into_iter().filter(|step| !self.broken.contains(&step.vip()));
        let send = |step: Step| {
            let number = self.counter.next();
            let reply = self.dataplane.step(&step);
            (number, step, reply)
        };
        steps.map(send).collect()
    }

    async fn receive_replies(&mut self, sent: Vec<SentStep>) {
        for (number, step, reply) in sent {
            let result = reply.await;
            if result.is_err() {
                self.broken.extend(dependent_vip(&step));
            }
            self.outcomes.push(StepOutcome { number, step, result });
        }
    }
}

/// The VIP whose remaining steps must be skipped if `step` failed.
fn dependent_vip(step: &Step) -> Option<VppVip> {
    matches!(step, Step::AddVip { .. } | Step::RemoveVip { .. }).then(|| step.vip())
}
