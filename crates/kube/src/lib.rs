//! Everything that talks to the API server.
//!
//! ```text
//! API server ──list+watch──▶ kind_watch (one per kind) ──Update──▶ watches ──▶ index ──▶ Config
//!                              │ ledger: what is listed, waiting, gone  ▲
//!                              └─ crd_guard: is the kind really served?  │
//!            ──get, by name──▶ certificates of HealthChecks ─────────────┘
//!            ──list+watch──▶ agent_pods: where the agents are
//!            ─────list────▶ release_pods: what a release of the chart runs
//!            ──list+watch──▶ cluster_watch: all that the controller folds status from
//!            ◀─────write──── status_writer, notices (Events), each with a Leadership of the lease loop
//! ```
//!
//! What is not known is unknown, never empty: a list that fails, a 403, a missing CRD or an object
//! that does not decode takes nothing away from what was last seen. Called by the binaries.

pub mod agent_pods;
pub mod client;
pub mod cluster_watch;
pub mod crd_check;
pub mod lease;
pub mod notices;
pub mod objects;
pub mod operator_action;
pub mod release_pods;
pub mod status_writer;
pub mod watches;

mod causes;
mod certificates;
mod crd_guard;
mod follow;
mod guard;
mod kind_watch;
mod kinds;
mod ledger;
mod listing;
mod retry;
mod user_clients;
mod whoami;

pub use agent_pods::{AgentPod, PodWatch, SELECTOR};
pub use causes::describe;
pub use certificates::read_certificates;
pub use client::ClientOptions;
pub use cluster_watch::{ClusterNews, ClusterWatch, KindNews, NodeSeen, Seen, StoredStatus};
pub use crd_check::CrdCheck;
pub use lease::{Leadership, LeaseLoop, LeaseOptions};
pub use listing::Listed;
pub use notices::{Notice, Notices};
pub use operator_action::{ActionError, LastWriter, OperatorAction, Outcome};
pub use status_writer::{StatusWriter, WriteError};
pub use user_clients::{UserClients, refusal_code};
pub use watches::{Delays, WatchOptions, Watches};
pub use whoami::whoami;

/// What can go wrong at start-up. Later nothing here is an error for the caller: whatever the API
/// server answers is told in the log and tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kubeconfig cannot be read.
    #[error("cannot read the kubeconfig {path}")]
    Kubeconfig {
        path: String,
        #[source]
        source: kube::config::KubeconfigError,
    },
    /// There is neither a kubeconfig nor a pod's ServiceAccount.
    #[error("found neither a kubeconfig nor a pod's ServiceAccount")]
    NoConfig(#[source] kube::config::InferConfigError),
    /// The configuration makes no client, such as an unreadable certificate.
    #[error("cannot make a client for {url}")]
    Client {
        /// The API server.
        url: String,
        #[source]
        source: Box<kube::Error>,
    },
    /// A metric is already registered.
    #[error("cannot register the metric {name}")]
    Metric {
        name: &'static str,
        #[source]
        source: prometheus::Error,
    },
}

impl Error {
    /// The fixed word for metrics and conditions.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Kubeconfig { .. } => "KubeconfigUnreadable",
            Self::NoConfig(_) => "NoKubeconfig",
            Self::Client { .. } => "ClientRejected",
            Self::Metric { .. } => "MetricRejected",
        }
    }

    /// Whether trying again may help: never, each is a matter of how the program was started.
    pub fn is_transient(&self) -> bool {
        false
    }
}
