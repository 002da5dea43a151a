//! Discovers all agents, keeps one connection to each, and mirrors their states.
//!
//! ```text
//! API server ─▶ kube::PodWatch ─▶ Fleet ─┬▶ link (one per node) ──gRPC──▶ maglevd
//!                                        └▶ …     │ mirror, counters, VPP's state
//!                                                 ▼
//!                         FleetHandle: nodes, updates ─▶ dashboard, controller, cli
//! ```
//!
//! A node is removed with its pod. A node whose agent does not answer keeps its last state, marked as unreachable. Only
//! `operator_change` writes, through the crate `kube`.

pub mod check;
mod error;
pub mod flow_effects;
mod handle;
mod link;
mod metrics;
mod mirror;
pub mod operator_change;
mod options;
mod probe_subscriptions;
mod security;
mod store;
pub mod survey;
mod target;
#[cfg(test)]
mod tests;
mod update;

use std::{collections::BTreeMap, sync::Arc};

use futures::{FutureExt as _, future::BoxFuture};
use imbl::OrdMap;
use prometheus::Registry;
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::{
    error::Error,
    handle::FleetHandle,
    mirror::{Loops, Mirror},
    options::{FleetOptions, Source, Timings},
    probe_subscriptions::{MAX_PROBED_BACKENDS, ProbeSubscription},
    security::{Direct, Security},
    store::{CountersRead, LinkState, NodeState},
    target::{AgentTarget, Connect, ConnectError},
    update::{FleetUpdate, FollowedLines, Update, Updates},
};
use maglev_kube::{AgentPod, Listed, PodWatch};
use maglev_model::{Name, view::View};
pub use maglev_rpc::client::{AgentVersion, Line};
pub use maglev_telemetry::AsOf;

/// The fleet before it runs.
pub struct Fleet<M = View> {
    source: Source,
    options: FleetOptions,
    store: Arc<store::Store<M>>,
    links: BTreeMap<Arc<str>, RunningLink>,
    tasks: TaskTracker,
}

/// A running link.
struct RunningLink {
    target: AgentTarget,
    end: CancellationToken,
    task: JoinHandle<()>,
}

impl<M: Mirror> Fleet<M> {
    pub fn new(source: Source, options: FleetOptions) -> Self {
        let (store, tasks) = (Arc::new(store::Store::new()), TaskTracker::new());
        Self { source, options, store, links: BTreeMap::new(), tasks }
    }

    /// Reader of the fleet's state, also while it runs.
    pub fn handle(&self) -> FleetHandle<M> {
        FleetHandle(Arc::clone(&self.store))
    }

    /// Registers `maglev_agent_link_*`.
    ///
    /// # Errors
    /// If a metric is already registered.
    pub fn register(&self, registry: &Registry) -> Result<(), Error> {
        let name = "maglev_agent_link_state";
        let rejected = |source| Error::Metric { name, source };
        let metrics = metrics::LinkMetrics::new(Arc::clone(&self.store)).map_err(rejected)?;
        registry.register(Box::new(metrics)).map_err(rejected)
    }

    /// Runs until `shutdown`; every link has ended when it returns.
    pub fn run(mut self, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        async move {
            match self.source.clone() {
                Source::Pods { client, namespace, delays } => {
                    let (pods, pods_rx) = PodWatch::new(client, &namespace, delays);
                    let follow = async {
                        tokio::select! {
                            () = shutdown.cancelled() => {}
                            () = self.follow_pods(pods_rx) => {}
                        }
                    };
                    tokio::join!(pods.run(shutdown.clone()), follow);
                }
                Source::Addresses(addresses) => {
                    let targets = addresses.into_iter().map(|address| (address.to_string().into(), address.into()));
                    self.set_targets(targets.collect());
                    shutdown.cancelled().await;
                }
            }
            for running in self.links.values() {
                running.end.cancel();
            }
            self.tasks.close();
            self.tasks.wait().await;
            self.store.close();
        }
        .boxed()
    }

    async fn follow_pods(&mut self, mut pods_rx: watch::Receiver<Listed<AgentPod>>) {
        while pods_rx.changed().await.is_ok() {
            let pods = pods_rx.borrow_and_update().clone();
            if let Some(pods) = pods {
                self.set_targets(targets(&pods));
            }
        }
    }

    /// Starts, replaces and ends links until they match `targets`.
    fn set_targets(&mut self, targets: BTreeMap<Arc<str>, AgentTarget>) {
        let removed: Vec<_> = self.links.keys().filter(|node| !targets.contains_key(*node)).cloned().collect();
        for node in removed {
            if let Some(running) = self.links.remove(&node) {
                running.end.cancel();
            }
            self.store.remove(&node);
        }
        for (node, target) in targets {
            if self.links.get(&node).is_some_and(|running| running.target == target) {
                continue;
            }
            let before = self.links.remove(&node).map(|running| {
                running.end.cancel();
                running.task
            });
            let (store, end) = (Arc::clone(&self.store), CancellationToken::new());
            let link = link::AgentLink::new(Arc::clone(&node), target.clone(), store, self.options.clone());
            let task = self.tasks.spawn(link.run(before, end.clone()));
            self.links.insert(node, RunningLink { target, end, task });
        }
        self.store.discovered.send_replace(true);
    }
}

/// One agent for each node, preferably one that is not terminating. Several that are not terminating are an error of the
/// node: one of them is not the real agent.
fn targets(pods: &OrdMap<Name, AgentPod>) -> BTreeMap<Arc<str>, AgentTarget> {
    let mut targets: BTreeMap<Arc<str>, AgentTarget> = BTreeMap::new();
    let with_state = |terminating| pods.values().filter(move |pod| pod.terminating == terminating);
    for pod in with_state(true) {
        targets.insert(Arc::clone(&pod.node), AgentTarget::from(pod));
    }
    let mut running: BTreeMap<&Arc<str>, Vec<&AgentPod>> = BTreeMap::new();
    for pod in with_state(false) {
        running.entry(&pod.node).or_default().push(pod);
    }
    for (node, pods) in running {
        let Some((first, others)) = pods.split_first() else { continue };
        let others = others.iter().map(|pod| pod.name.clone()).collect();
        targets.insert(Arc::clone(node), AgentTarget { others, ..AgentTarget::from(*first) });
    }
    targets
}
