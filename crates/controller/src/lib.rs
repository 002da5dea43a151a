//! Computes the status of every object from the stored objects and the agents' reports, and writes it.
//!
//! ```text
//!  API server ──watch──▶ kube::cluster_watch ─┐
//!                                             ├─▶ status_engine (pure): the status that each object should have
//!  agents ──▶ links ─▶ digest per node ───────┘       │ differs from the stored status
//!                                                     ▼
//!                              write_queue: answers at once, other writes 5/s ──▶ kube::status_writer
//!                                                     └─ event_notes ──5/s──▶ kube::event_recorder
//! ```
//!
//! Beside this loop runs that of [`services`], which gives Services addresses and Frontends.
//!
//! One [`Controller`] serves all terms of leadership of a process. A term starts without state: it lists the objects,
//! connects to the agents, and writes nothing until every agent's state was received or [`COLLECT_FOR`] has passed. It
//! sets no finalizer and stores nothing that the next leader needs. The Lease loop of the binary starts each term.

mod backend_status;
mod conditions;
mod desired_nodes;
pub mod digest;
mod dirty_key;
mod drained;
mod event_notes;
mod event_queue;
mod fleet_links;
mod frontend_status;
pub mod links;
mod metrics;
mod node_counts;
mod node_status;
pub mod services;
mod status;
mod status_engine;
mod term;
mod vip_report;
mod write_queue;

use std::{sync::Arc, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use kube::Client;
use tokio::runtime::Handle;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

pub use fleet_links::FleetLinks;
pub use links::{AgentLinks, LinkFailure, LinkUpdate};
pub use metrics::ControllerMetrics;
pub use term::{Progress, WaitsFor};

use maglev_kube::{Delays, Leadership};

/// A new leader writes nothing for this long, unless it has received the state of every agent.
pub const COLLECT_FOR: Duration = Duration::from_secs(29);

/// An error at start. Later errors are logged and retried.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The metric is already registered.
    #[error("cannot register the metric {name}")]
    Metric {
        name: &'static str,
        #[source]
        source: prometheus::Error,
    },
}

impl Error {
    /// A fixed PascalCase word for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Metric { .. } => "MetricRejected",
        }
    }
}

#[derive(Clone, Debug)]
pub struct ControllerOptions {
    /// The namespace of the agents' pods.
    pub namespace: String,
    /// The name of this replica in Kubernetes Events.
    pub identity: String,
    /// Allows loopback addresses in Frontends and Backends (`--allow-loopback`).
    pub allow_loopback: bool,
    /// Watches EndpointSlices while pools follow a Service, and gives Services of the class addresses and Frontends
    /// (`--services`).
    pub services: bool,
    /// Delays of the watches.
    pub delays: Delays,
    /// Longest time that a new leader waits for the agents' states before its first write.
    pub collect_for: Duration,
}

impl ControllerOptions {
    pub fn new(namespace: &str, identity: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            identity: identity.to_owned(),
            allow_loopback: false,
            services: false,
            delays: Delays::default(),
            collect_for: COLLECT_FOR,
        }
    }
}

/// The controller between terms of leadership.
#[derive(Clone)]
pub struct Controller {
    client: Client,
    options: ControllerOptions,
    links: Arc<dyn AgentLinks>,
    metrics: ControllerMetrics,
    progress: Progress,
    runtime: Handle,
}

impl Controller {
    /// Creates a controller whose terms run on the runtime of the caller, even if the Lease loop runs on another one.
    pub fn new(
        client: Client,
        options: ControllerOptions,
        links: Arc<dyn AgentLinks>,
        metrics: ControllerMetrics,
    ) -> Self {
        Self { client, options, links, metrics, progress: Progress::default(), runtime: Handle::current() }
    }

    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// Runs one term until `end`. Writes only while `leadership` holds.
    pub fn lead(&self, leadership: Arc<Leadership>, end: CancellationToken) -> BoxFuture<'static, ()> {
        let controller = self.clone();
        let term = AbortOnDropHandle::new(self.runtime.spawn(term::run(controller, leadership, end)));
        async move {
            if let Err(error) = term.await {
                tracing::error!(%error, "leader term failed");
            }
        }
        .boxed()
    }
}
