//! Folds what is stored and what the agents say into status, and writes it: the heart of `maglev-controller`.
//!
//! ```text
//!  API server ──watch──▶ k8s::cluster_watch ─┐
//!                                            ├─▶ world (pure): what each status should be
//!  agents ──▶ links ─▶ digest per node ──────┘       │ differs from what is stored
//!                                                    ▼
//!                                          queue: first answers at once, the rest 5/s ──▶ k8s::status_writer
//!                                                                      └─ notes ──5/s──▶ k8s::notices (Events)
//! ```
//!
//! One [`Controller`] is one term of leadership: it begins with nothing, lists and connects, and writes nothing until
//! every agent was heard or [`LISTEN_FOR`] has passed. It leaves no finalizer and keeps nothing that the next leader
//! needs. Made by the binary, once for each term that the Lease loop begins.

mod backend_status;
mod conditions;
mod desired_nodes;
pub mod digest;
mod fleet_links;
mod frontend_status;
pub mod links;
mod metrics;
mod node_status;
mod notes;
mod queue;
mod status;
mod tally;
mod term;
mod world;

use std::{sync::Arc, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use kube::Client;
use tokio::runtime::Handle;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

pub use fleet_links::FleetLinks;
pub use links::{AgentLinks, LinkNews};
pub use metrics::ControllerMetrics;
pub use term::{Progress, WaitsFor};

use maglev_kube::{Delays, Leadership};

/// A new leader writes nothing for so long, unless every agent was heard before.
pub const LISTEN_FOR: Duration = Duration::from_secs(29);

/// What goes wrong at start-up. Later nothing is an error for the caller: it is told in the log and tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A metric is already registered.
    #[error("cannot register the metric {name}")]
    Metric {
        name: &'static str,
        #[source]
        source: prometheus::Error,
    },
}

impl Error {
    /// The fixed word for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Metric { .. } => "MetricRejected",
        }
    }

    /// Whether trying again may help: never.
    pub fn is_transient(&self) -> bool {
        false
    }
}

/// What a controller is told at its start.
#[derive(Clone, Debug)]
pub struct ControllerOptions {
    /// The namespace of the agents' pods.
    pub namespace: String,
    /// Who this is, in Kubernetes Events.
    pub identity: String,
    /// Whether Frontends and Backends may have loopback addresses (`--allow-loopback`).
    pub allow_loopback: bool,
    /// How long a watch waits for what.
    pub delays: Delays,
    /// For how long a new leader listens at the most.
    pub listen_for: Duration,
}

impl ControllerOptions {
    /// Options for the agents of `namespace`.
    pub fn new(namespace: &str, identity: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            identity: identity.to_owned(),
            allow_loopback: false,
            delays: Delays::default(),
            listen_for: LISTEN_FOR,
        }
    }
}

/// A controller between its terms. See the module's text.
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
    /// A controller that writes through `client` and hears the agents through `links`. Its terms run on the runtime
    /// that this is called in, wherever the Lease is kept.
    pub fn new(
        client: Client,
        options: ControllerOptions,
        links: Arc<dyn AgentLinks>,
        metrics: ControllerMetrics,
    ) -> Self {
        Self { client, options, links, metrics, progress: Progress::default(), runtime: Handle::current() }
    }

    /// How far the present term is, and whether its loop runs.
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// One term: writes while `leadership` holds, until `end`.
    pub fn lead(&self, leadership: Arc<Leadership>, end: CancellationToken) -> BoxFuture<'static, ()> {
        let controller = self.clone();
        let term = AbortOnDropHandle::new(self.runtime.spawn(term::run(controller, leadership, end)));
        async move {
            if let Err(error) = term.await {
                tracing::error!(err = %error, "controller-term-failed");
            }
        }
        .boxed()
    }
}
