//! Errors of links.

use maglev_auth::TlsFailure;
use maglev_net::error_chain;

use super::target::ConnectError;
use maglev_rpc::client::ClientError;

/// An error that ended a link's session, or kept it from starting.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot connect")]
    Connect(#[source] ConnectError),
    /// The agent answered with an error, or the connection broke.
    #[error(transparent)]
    Answer(#[from] ClientError),
    #[error("no answer in time: {request}")]
    Late {
        /// The gRPC method, or "connect".
        request: &'static str,
    },
    /// The agent is shutting down.
    #[error("the agent ended the stream")]
    Ended,
    #[error("the agent was restarted")]
    Restarted,
    #[error("expected the agent of node {expected} at this address, but it reports node {actual}")]
    OtherNode {
        /// The node that the pod is bound to.
        expected: String,
        /// The node that the agent names.
        actual: String,
    },
    #[error("node {node} already has an agent at another address")]
    SecondAgent { node: String },
    #[error("several pods are the agent of this node: {pods}; delete those that do not belong to the release")]
    SeveralAgents { pods: String },
    #[error("the namespace {namespace:?} cannot be part of a DNS name, so its agents have no certificate")]
    Namespace { namespace: String },
    #[error("cannot register the metric {name}")]
    Metric {
        name: &'static str,
        #[source]
        source: prometheus::Error,
    },
}

impl Error {
    pub(crate) fn late(request: &'static str) -> Self {
        Self::Late { request }
    }

    /// The error with its causes. If the agent or this program is not trusted, its word comes first, because it is what
    /// documentation and conditions call the problem.
    pub fn describe(&self) -> String {
        let (reason, text) = (self.reason(), error_chain(self));
        if matches!(reason, "TLSNotTrusted" | "TokenRefused") { format!("{reason}: {text}") } else { text }
    }

    /// A fixed PascalCase word for metrics and conditions.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Connect(error) if is_not_trusted(&**error) => "TLSNotTrusted",
            Self::Connect(_) => "ConnectFailed",
            Self::Answer(error) => error.reason(),
            Self::Late { .. } => "NoAnswer",
            Self::Ended => "StreamEnded",
            Self::Restarted => "AgentRestarted",
            Self::OtherNode { .. } => "OtherNode",
            Self::SecondAgent { .. } => "SecondAgent",
            Self::SeveralAgents { .. } => "SeveralAgents",
            Self::Namespace { .. } => "NamespaceInvalid",
            Self::Metric { .. } => "MetricRejected",
        }
    }
}

/// True if the agent's certificate is the cause.
pub(crate) fn is_not_trusted(error: &(dyn std::error::Error + 'static)) -> bool {
    TlsFailure::find(error).is_some_and(TlsFailure::is_not_trusted)
}
