//! Errors of links.

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

    /// A fixed PascalCase word for metrics and conditions.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Connect(_) => "ConnectFailed",
            Self::Answer(error) => error.reason(),
            Self::Late { .. } => "NoAnswer",
            Self::Ended => "StreamEnded",
            Self::Restarted => "AgentRestarted",
            Self::OtherNode { .. } => "OtherNode",
            Self::SecondAgent { .. } => "SecondAgent",
            Self::SeveralAgents { .. } => "SeveralAgents",
            Self::Metric { .. } => "MetricRejected",
        }
    }
}
