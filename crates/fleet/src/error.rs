//! Why a link does not stand.

use std::error::Error as _;

use super::target::ConnectError;
use maglev_rpc::client::ClientError;

/// What ended a link's session, or kept it from beginning.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no way to the agent.
    #[error("cannot connect")]
    Connect(#[source] ConnectError),
    /// It answered with an error, or the connection broke.
    #[error(transparent)]
    Answer(#[from] ClientError),
    /// It did not answer in time.
    #[error("no answer in time: {what}")]
    Late {
        /// What was asked.
        what: &'static str,
    },
    /// It ended its stream: it is ending.
    #[error("the agent ended the stream")]
    Ended,
    /// Another run of the agent answers.
    #[error("the agent was restarted")]
    Restarted,
    /// It is not the agent that was expected at this address.
    #[error("expected the agent of {expected}, found that of {found}")]
    OtherNode {
        /// The node that the pod is bound to.
        expected: String,
        /// The node that the agent names.
        found: String,
    },
    /// Another address is that node's already.
    #[error("the agent of {node} is known at another address already")]
    SecondAgent { node: String },
    /// A metric is already registered.
    #[error("cannot register the metric {name}")]
    Metric {
        name: &'static str,
        #[source]
        source: prometheus::Error,
    },
}

impl Error {
    pub(crate) fn late(what: &'static str) -> Self {
        Self::Late { what }
    }

    /// The fixed word for metrics and conditions.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Connect(_) => "ConnectFailed",
            Self::Answer(error) => error.reason(),
            Self::Late { .. } => "NoAnswer",
            Self::Ended => "StreamEnded",
            Self::Restarted => "AgentRestarted",
            Self::OtherNode { .. } => "OtherNode",
            Self::SecondAgent { .. } => "SecondAgent",
            Self::Metric { .. } => "MetricRejected",
        }
    }

    /// Whether trying again may help.
    pub fn is_transient(&self) -> bool {
        !matches!(self, Self::Metric { .. })
    }

    /// The whole sentence, causes included; one that its parent repeats is left out.
    pub(crate) fn text(&self) -> String {
        let mut text = self.to_string();
        let mut source = self.source();
        while let Some(error) = source {
            let more = error.to_string();
            if !text.contains(&more) {
                text = format!("{text}: {more}");
            }
            source = error.source();
        }
        text
    }
}
