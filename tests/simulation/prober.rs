//! Probes without a network: the simulation decides each result.

use std::{cell::RefCell, collections::BTreeMap, net::IpAddr, rc::Rc, time::Duration};

use fastrand::Rng;
use futures::{FutureExt, future::LocalBoxFuture};
use maglev_health::{KeptConnection, ProbeOutcome, ProbeTarget, Probed, Prober};
use maglev_model::health::ProbeCode;
use tokio::time::sleep;

/// The behaviour of a backend towards probes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Behaviour {
    #[default]
    Healthy,
    Refusing,
    /// The backend does not answer.
    Silent,
    /// This node cannot probe.
    Unprobeable,
}

/// Shared by the simulation and the checker.
#[derive(Clone)]
pub struct SimulatedProber {
    behaviours: Rc<RefCell<BTreeMap<IpAddr, Behaviour>>>,
    rng: Rc<RefCell<Rng>>,
}

impl SimulatedProber {
    pub fn new(rng: Rng) -> Self {
        Self { behaviours: Rc::default(), rng: Rc::new(RefCell::new(rng)) }
    }

    pub fn set(&self, address: IpAddr, behaviour: Behaviour) {
        self.behaviours.borrow_mut().insert(address, behaviour);
    }
}

impl Prober for SimulatedProber {
    fn probe(&self, target: ProbeTarget, _: Option<KeptConnection>) -> LocalBoxFuture<'static, Probed> {
        let behaviour = self.behaviours.borrow().get(&target.address).copied().unwrap_or_default();
        let latency = Duration::from_millis(self.rng.borrow_mut().u64(1..40));
        async move {
            let outcome = match behaviour {
                Behaviour::Healthy => {
                    sleep(latency).await;
                    ProbeOutcome::completed(ProbeCode::L4Ok, "")
                }
                Behaviour::Refusing => {
                    sleep(latency).await;
                    ProbeOutcome::completed(ProbeCode::L4Connection, "refused")
                }
                Behaviour::Silent => {
                    sleep(target.check.timeout).await;
                    ProbeOutcome::completed(ProbeCode::L4Timeout, "no answer")
                }
                Behaviour::Unprobeable => ProbeOutcome::not_probed("no free port"),
            };
            outcome.into()
        }
        .boxed_local()
    }
}
