//! One address's plan on its way through VPP.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::time::Instant;

use super::dataplane::{Dataplane, DataplaneError};
use crate::model::{
    actual::VppVip,
    plan::{AddressPlan, Step},
};

/// Numbers requests in the order in which they are sent, so that it can be told whether a dump
/// already shows what a step did.
#[derive(Clone, Debug, Default)]
pub(super) struct Order(Arc<AtomicU64>);

impl Order {
    /// The number of the request that is sent now.
    pub(super) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// A plan that VPP has answered.
#[derive(Debug)]
pub(super) struct JobDone {
    /// The address.
    pub(super) address: IpAddr,
    /// When the first step was sent.
    pub(super) started: Instant,
    /// What was planned.
    pub(super) plan: AddressPlan,
    /// The steps that were sent, in order.
    pub(super) outcomes: Vec<Outcome>,
}

/// What became of a step.
#[derive(Debug)]
pub(super) struct Outcome {
    /// Its number.
    pub(super) number: u64,
    /// The step.
    pub(super) step: Step,
    /// VPP's answer.
    pub(super) answer: Result<(), DataplaneError>,
}

/// Carries out `plan`: each phase at once, the next when it is answered. What depends on a step that
/// failed is not sent.
pub(super) async fn run(dataplane: Arc<dyn Dataplane>, order: Order, address: IpAddr, plan: AddressPlan) -> JobDone {
    let started = Instant::now();
    let mut outcomes = Vec::with_capacity(plan.len());
    let mut broken = BTreeSet::new();
    for phase in [&plan.removes, &plan.adds, &plan.changes] {
        let steps = phase.iter().filter(|step| !broken.contains(&step.vip()));
        let sent: Vec<_> = steps.map(|step| (order.next(), step, dataplane.step(step))).collect();
        for (number, step, answer) in sent {
            let answer = answer.await;
            if answer.is_err() {
                broken.extend(dependants(step));
            }
            outcomes.push(Outcome { number, step: step.clone(), answer });
        }
    }
    JobDone { address, started, plan, outcomes }
}

/// The VIP whose later steps make no sense when `step` failed.
fn dependants(step: &Step) -> Option<VppVip> {
    matches!(step, Step::AddVip { .. } | Step::RemoveVip { .. }).then(|| step.vip())
}
