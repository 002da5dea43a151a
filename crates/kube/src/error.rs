//! Errors at start-up. Later failures are logged and retried.

use super::client::ContextError;

/// An error at start-up. Retrying does not help: each follows from how the program was started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read the kubeconfig {path}")]
    Kubeconfig {
        path: String,
        #[source]
        source: ContextError,
    },
    #[error(
        "found neither a kubeconfig ({paths}) nor a pod's ServiceAccount: pass --kubeconfig, set KUBECONFIG, or run in a pod"
    )]
    NoConfig {
        /// The files that were looked for.
        paths: String,
        #[source]
        source: kube::config::InClusterError,
    },
    /// The configuration cannot be used, for example because of an unreadable certificate.
    #[error("cannot create a client for the API server {url}")]
    Client {
        url: String,
        #[source]
        source: Box<kube::Error>,
    },
    #[error("cannot register the metric {name}")]
    Metric {
        name: &'static str,
        #[source]
        source: prometheus::Error,
    },
}

impl Error {
    /// A fixed PascalCase word.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Kubeconfig { .. } => "KubeconfigUnreadable",
            Self::NoConfig { .. } => "NoKubeconfig",
            Self::Client { .. } => "ClientRejected",
            Self::Metric { .. } => "MetricRejected",
        }
    }
}
