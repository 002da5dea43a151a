//! One address's plan on its way through VPP.

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
    actual::VppVip,
    desired::Mismatch,
    plan::{AddressPlan, Step},
    vip::VipKey,
};

/// Numbers requests in the order in which they are sent, so that it can be told whether a dump
/// already shows what a step did.
#[derive(Clone, Debug, Default)]
pub struct RequestCounter(Arc<AtomicU64>);

impl RequestCounter {
    /// The number of the request that is sent now.
    pub fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// A plan that VPP has answered.
#[derive(Debug)]
pub struct FinishedJob {
    pub address: IpAddr,
    /// When the first step was sent.
    pub started: Instant,
    /// The VIPs that the plan recreates, and why.
    pub recreates: BTreeMap<VipKey, Mismatch>,
    /// The steps that were sent, in order.
    pub outcomes: Vec<StepOutcome>,
}

/// What became of a step.
#[derive(Debug)]
pub struct StepOutcome {
    pub number: u64,
    pub step: Step,
    pub answer: Result<(), DataplaneError>,
}

/// Sends the first phase of `plan` before it returns; the future is the rest: each phase at once, the
/// next when it is answered. What depends on a step that failed is not sent.
pub fn start(
    dataplane: Arc<Dataplane>,
    counter: RequestCounter,
    address: IpAddr,
    plan: AddressPlan,
) -> impl Future<Output = FinishedJob> + Send + use<> {
    let started = Instant::now();
    let outcomes = Vec::with_capacity(plan.len());
    let AddressPlan { removes, adds, changes, recreates, .. } = plan;
    let mut job = Job { dataplane, counter, broken: BTreeSet::new(), outcomes };
    let mut phases = [removes, adds, changes].into_iter().filter(|phase| !phase.is_empty());
    let first = phases.next().map(|phase| job.send(phase)).unwrap_or_default();
    async move {
        job.answered(first).await;
        for phase in phases {
            let sent = job.send(phase);
            job.answered(sent).await;
        }
        FinishedJob { address, started, recreates, outcomes: job.outcomes }
    }
}

struct Job {
    dataplane: Arc<Dataplane>,
    counter: RequestCounter,
    /// VIPs whose later steps make no sense.
    broken: BTreeSet<VppVip>,
    outcomes: Vec<StepOutcome>,
}

/// A step that was sent, with its number.
type Sent = (u64, Step, ReplyFuture<()>);

impl Job {
    fn send(&self, phase: Vec<Step>) -> Vec<Sent> {
        let steps = phase.into_iter().filter(|step| !self.broken.contains(&step.vip()));
        let send = |step: Step| {
            let number = self.counter.next();
            let answer = self.dataplane.step(&step);
            (number, step, answer)
        };
        steps.map(send).collect()
    }

    async fn answered(&mut self, sent: Vec<Sent>) {
        for (number, step, answer) in sent {
            let answer = answer.await;
            if answer.is_err() {
                self.broken.extend(dependants(&step));
            }
            self.outcomes.push(StepOutcome { number, step, answer });
        }
    }
}

/// The VIP whose later steps make no sense when `step` failed.
fn dependants(step: &Step) -> Option<VppVip> {
    matches!(step, Step::AddVip { .. } | Step::RemoveVip { .. }).then(|| step.vip())
}
