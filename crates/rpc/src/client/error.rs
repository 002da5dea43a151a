//! Why an agent could not be asked.

use tonic::{Code, Status};

use crate::Malformed;

/// Why an agent did not answer as wanted.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The agent refused, or could not be reached (`Unavailable`).
    #[error("{rpc}: {} ({})", .status.message(), .status.code())]
    Status {
        /// What was asked.
        rpc: &'static str,
        /// The answer.
        status: Box<Status>,
    },
    /// What came is not what an agent sends; another version, perhaps.
    #[error("{rpc} gave an answer that cannot be read")]
    Malformed {
        /// What was asked.
        rpc: &'static str,
        /// What is wrong with it.
        #[source]
        source: Malformed,
    },
}

impl ClientError {
    pub(crate) fn status(rpc: &'static str, status: Status) -> Self {
        Self::Status { rpc, status: Box::new(status) }
    }

    /// The gRPC code; `DataLoss` for what cannot be read.
    pub fn code(&self) -> Code {
        match self {
            Self::Status { status, .. } => status.code(),
            Self::Malformed { .. } => Code::DataLoss,
        }
    }

    /// A fixed word for it.
    pub fn reason(&self) -> &'static str {
        match self.code() {
            Code::Unavailable | Code::Unknown | Code::Cancelled => "Unavailable",
            Code::DeadlineExceeded => "DeadlineExceeded",
            Code::NotFound => "NotFound",
            Code::ResourceExhausted => "ResourceExhausted",
            Code::FailedPrecondition => "FailedPrecondition",
            Code::Unimplemented => "Unimplemented",
            Code::DataLoss => "Malformed",
            _ => "Refused",
        }
    }

    /// Whether trying again may help.
    pub fn is_transient(&self) -> bool {
        !matches!(self.code(), Code::NotFound | Code::InvalidArgument | Code::Unimplemented | Code::DataLoss)
    }
}
