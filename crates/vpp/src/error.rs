//! Errors of the API session.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use super::{
    codec::CodecError,
    errno,
    frame::{FrameError, ReadError},
    session::MissingMessage,
};

/// Failure of a request to VPP.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot connect to {}", path.display())]
    Connect {
        /// The API socket.
        path: PathBuf,
        #[source]
        source: Arc<io::Error>,
    },
    #[error("cannot open a session on {}", path.display())]
    Handshake {
        /// The API socket.
        path: PathBuf,
        #[source]
        source: HandshakeError,
    },
    /// VPP lacks required API messages.
    #[error("this VPP lacks required API messages ({}): {}", hint, list(missing))]
    Missing {
        /// Possible cause.
        hint: &'static str,
        missing: Vec<MissingMessage>,
    },
    /// VPP replied with an error.
    #[error("{message}: VPP returned {name} ({retval})")]
    Refused {
        message: &'static str,
        /// VPP's return value, never 0.
        retval: i32,
        /// VPP's name of the return value.
        name: &'static str,
    },
    /// VPP replied to a later request but not to this one: VPP dropped the request. The session continues.
    #[error("{message}: VPP sent no reply, although it replied to a later request")]
    Unanswered { message: &'static str },
    /// The reply cannot be decoded. The session is closed.
    #[error("{message}: cannot decode VPP's reply")]
    Malformed {
        /// Name of the reply.
        message: &'static str,
        #[source]
        source: CodecError,
    },
    /// VPP's text shows an object that its dump lacks: VPP dropped a part of the dump.
    #[error("{message}: the dump lacks {object}, which VPP shows in its text")]
    Incomplete {
        message: &'static str,
        /// The first missing VIP or application server.
        object: String,
    },
    #[error("{message}: the request queue is full ({limit} requests)")]
    QueueFull {
        message: &'static str,
        /// Limit of queued requests.
        limit: usize,
    },
    /// The session ended before the reply. VPP may have executed the request.
    #[error("{message}: the session is closed")]
    Closed {
        message: &'static str,
        #[source]
        reason: CloseReason,
    },
}

impl Error {
    /// The error for a reply with `retval` to `message`.
    pub fn refused(message: &'static str, retval: i32) -> Self {
        Self::Refused { message, retval, name: errno::name(retval) }
    }

    /// VPP's return value; `None` if VPP did not reply with an error.
    pub fn retval(&self) -> Option<i32> {
        if let Self::Refused { retval, .. } = self { Some(*retval) } else { None }
    }

    /// True if the session ended, so all cached state of VPP is invalid.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed { .. } | Self::Malformed { .. })
    }

    /// A fixed PascalCase word for metrics, events and conditions.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Connect { .. } => "ConnectFailed",
            Self::Handshake { .. } => "HandshakeFailed",
            Self::Missing { .. } => "MessagesMissing",
            Self::Refused { .. } => "Refused",
            Self::Unanswered { .. } => "NoAnswer",
            Self::Malformed { .. } => "MalformedAnswer",
            Self::Incomplete { .. } => "IncompleteDump",
            Self::QueueFull { .. } => "QueueFull",
            Self::Closed { .. } => "SessionClosed",
        }
    }
}

fn list(missing: &[MissingMessage]) -> String {
    missing.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Failure of the handshake.
#[derive(Clone, Debug, thiserror::Error)]
pub enum HandshakeError {
    #[error("the socket failed")]
    Io(#[source] Arc<io::Error>),
    #[error("VPP closed the connection without a reply")]
    Ended,
    #[error("no reply within {0:?}")]
    Deadline(Duration),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("cannot decode VPP's message table")]
    Malformed(#[from] CodecError),
    #[error("VPP refused the client with {0}")]
    Refused(i32),
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        Self::Io(Arc::new(error))
    }
}

impl From<ReadError> for HandshakeError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Io(error) => error.into(),
            ReadError::Frame(error) => error.into(),
        }
    }
}

/// Reason for the end of a session.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CloseReason {
    #[error("closed by this client")]
    Local,
    /// VPP closed the connection or crashed.
    #[error("VPP closed the connection")]
    Eof,
    #[error("the socket failed: {0}")]
    Io(Arc<io::Error>),
    /// VPP sent nothing for this long although requests were in flight.
    #[error("no reply for {0:?}")]
    Deadline(Duration),
    /// The client's check of the session failed.
    #[error("the ping failed: {0}")]
    Ping(String),
    /// The received bytes are not a valid frame, so the stream cannot be parsed any further.
    #[error("{0}")]
    Frame(FrameError),
    #[error("cannot decode {message}: {error}")]
    Malformed { message: &'static str, error: CodecError },
    #[error("a dump exceeds the limit of {limit} {message} messages")]
    Endless {
        /// Name of the repeated message.
        message: &'static str,
        limit: usize,
    },
}

impl CloseReason {
    /// True if VPP exceeded the deadline, so the next session should allow more time.
    pub fn is_deadline(&self) -> bool {
        matches!(self, Self::Deadline(_))
    }
}

impl From<io::Error> for CloseReason {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Self::Eof,
            _ => Self::Io(Arc::new(error)),
        }
    }
}
