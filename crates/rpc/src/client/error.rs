//! Errors of calls.

use tonic::{Code, Status};

use crate::Malformed;

/// Error of a call to an agent.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The agent refused, or could not be reached (`Unavailable`).
    #[error("{rpc}: {} ({})", .status.message(), .status.code())]
    Status {
        /// Name of the call.
        rpc: &'static str,
        /// Status of the call.
        status: Box<Status>,
    },
    /// The response is malformed, for example because of an incompatible version.
    #[error("{rpc} returned a malformed response")]
    Malformed {
        /// Name of the call.
        rpc: &'static str,
        /// The malformed field.
        #[source]
        source: Malformed,
    },
}

impl ClientError {
    pub(crate) fn status(rpc: &'static str, status: Status) -> Self {
        Self::Status { rpc, status: Box::new(status) }
    }

    /// The gRPC code; `DataLoss` for a malformed response.
    pub fn code(&self) -> Code {
        match self {
            Self::Status { status, .. } => status.code(),
            Self::Malformed { .. } => Code::DataLoss,
        }
    }

    /// A fixed PascalCase word.
    pub fn reason(&self) -> &'static str {
        match self.code() {
            Code::Unavailable | Code::Unknown | Code::Cancelled => "Unavailable",
            Code::DeadlineExceeded => "DeadlineExceeded",
            Code::NotFound => "NotFound",
            Code::ResourceExhausted => "ResourceExhausted",
            Code::FailedPrecondition => "FailedPrecondition",
            Code::Unimplemented => "Unimplemented",
            Code::Unauthenticated | Code::PermissionDenied => "TokenRefused",
            Code::DataLoss => "Malformed",
            _ => "Refused",
        }
    }
}
