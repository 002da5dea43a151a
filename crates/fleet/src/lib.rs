//! All agents at once: finds them, keeps one connection to each, and mirrors their states.
//!
//! ```text
//! API server ─▶ k8s::PodWatch ─▶ Fleet ─┬▶ link (one per node) ──gRPC──▶ maglevd
//!                                       └▶ …     │ mirror, counters, what VPP has
//!                                                ▼
//!                        FleetHandle: nodes, updates ─▶ dashboard, controller, cli
//! ```
//!
//! A node whose pod is gone is gone; one whose agent does not answer stays with its last state and says so. Nothing
//! here writes anything anywhere, but for `by_hand`, which has `k8s` make the change that a person asked for.

pub mod by_hand;
pub mod check;
mod error;
mod handle;
mod interest;
mod link;
mod metrics;
mod mirror;
mod options;
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
    interest::{MAX_WATCHED, ProbeGuard},
    mirror::{Loops, Mirror},
    options::{FleetOptions, Source, Timings},
    store::{CountersRead, Link, NodeState},
    target::{Connect, ConnectError, Direct, Target},
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
    links: BTreeMap<Arc<str>, Running>,
    tasks: TaskTracker,
}

/// A link that runs.
struct Running {
    target: Target,
    end: CancellationToken,
    task: JoinHandle<()>,
}

impl<M: Mirror> Fleet<M> {
    /// A fleet of what `source` finds.
    pub fn new(source: Source, options: FleetOptions) -> Self {
        let (store, tasks) = (Arc::new(store::Store::new()), TaskTracker::new());
        Self { source, options, store, links: BTreeMap::new(), tasks }
    }

    /// A way to look at it, also while it runs.
    pub fn handle(&self) -> FleetHandle<M> {
        FleetHandle(Arc::clone(&self.store))
    }

    /// Registers `maglev_agent_link_*`.
    ///
    /// # Errors
    /// If the registry has them already.
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
                    let (pods, pods_rx) = PodWatch::new(client, namespace.as_deref(), delays);
                    let follow = async {
                        tokio::select! {
                            () = shutdown.cancelled() => {}
                            () = self.follow(pods_rx) => {}
                        }
                    };
                    tokio::join!(pods.run(shutdown.clone()), follow);
                }
                Source::Addresses(addresses) => {
                    let targets = addresses.into_iter().map(|address| (address.to_string().into(), address.into()));
                    self.set(targets.collect());
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

    async fn follow(&mut self, mut pods_rx: watch::Receiver<Listed<AgentPod>>) {
        while pods_rx.changed().await.is_ok() {
            let pods = pods_rx.borrow_and_update().clone();
            if let Some(pods) = pods {
                self.set(targets(&pods));
            }
        }
    }

    /// Makes the links those of `targets`.
    fn set(&mut self, targets: BTreeMap<Arc<str>, Target>) {
        let gone: Vec<_> = self.links.keys().filter(|node| !targets.contains_key(*node)).cloned().collect();
        for node in gone {
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
            let link = link::Link::new(Arc::clone(&node), target.clone(), store, self.options.clone());
            let task = self.tasks.spawn(link.run(before, end.clone()));
            self.links.insert(node, Running { target, end, task });
        }
        self.store.discovered.send_replace(true);
    }
}

/// One agent for each node: the one that is not ending, else any.
fn targets(pods: &OrdMap<Name, AgentPod>) -> BTreeMap<Arc<str>, Target> {
    let mut chosen = BTreeMap::new();
    let by_age = |terminating| pods.values().filter(move |pod| pod.terminating == terminating);
    for pod in by_age(true).chain(by_age(false)) {
        chosen.insert(Arc::clone(&pod.node), Target::from(pod));
    }
    chosen
}
