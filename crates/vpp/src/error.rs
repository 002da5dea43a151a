//! What can go wrong between us and VPP, and whether trying again can help.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use super::{
    codec::CodecError,
    errno,
    frame::{FrameError, ReadError},
    session::Missing,
};

/// Why VPP did not do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// Nothing answers at the socket.
    #[error("cannot connect to {}", path.display())]
    Connect {
        /// The API socket.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: Arc<io::Error>,
    },
    /// What answers at the socket does not open a session.
    #[error("cannot open a session on {}", path.display())]
    Handshake {
        /// The API socket.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: HandshakeError,
    },
    /// This VPP does not speak messages that are needed.
    #[error("this VPP lacks what is needed ({}): {}", hint, list(missing))]
    Missing {
        /// What may be wrong.
        hint: &'static str,
        missing: Vec<Missing>,
    },
    /// VPP answered that it did not do it.
    #[error("{message}: VPP answered {name} ({retval})")]
    Refused {
        message: &'static str,
        /// VPP's number, never 0.
        retval: i32,
        /// VPP's name for it.
        name: &'static str,
    },
    /// VPP answered a later request but not this one: it dropped it. The session goes on.
    #[error("{message}: VPP gave no answer although it answered a later request")]
    Swallowed { message: &'static str },
    /// The answer is not the message that it claims to be. The session is closed.
    #[error("{message}: the answer cannot be read")]
    Malformed {
        /// The answer's message.
        message: &'static str,
        /// What is wrong with it.
        #[source]
        source: CodecError,
    },
    /// More requests wait for the socket than may.
    #[error("{message}: {limit} requests are waiting already")]
    QueueFull {
        message: &'static str,
        /// How many may wait.
        limit: usize,
    },
    /// The session ended before the answer; VPP may or may not have done it.
    #[error("{message}: the session is closed")]
    Closed {
        message: &'static str,
        /// Why it ended.
        #[source]
        reason: CloseReason,
    },
}

impl Error {
    /// VPP refused `message` with `retval`.
    pub fn refused(message: &'static str, retval: i32) -> Self {
        Self::Refused { message, retval, name: errno::name(retval) }
    }

    /// VPP's number, where VPP refused.
    pub fn retval(&self) -> Option<i32> {
        if let Self::Refused { retval, .. } = self { Some(*retval) } else { None }
    }

    /// Whether the session is gone, so that everything known about VPP is void.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed { .. } | Self::Malformed { .. })
    }

    /// Whether the same may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::Handshake { .. }
            | Self::Swallowed { .. }
            | Self::QueueFull { .. }
            | Self::Closed { .. } => true,
            Self::Refused { name, .. } => matches!(*name, "IN_PROGRESS" | "EAGAIN" | "BUSY"),
            Self::Missing { .. } | Self::Malformed { .. } => false,
        }
    }

    /// A fixed word for metrics, events and conditions.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Connect { .. } => "ConnectFailed",
            Self::Handshake { .. } => "HandshakeFailed",
            Self::Missing { .. } => "MessagesMissing",
            Self::Refused { .. } => "Refused",
            Self::Swallowed { .. } => "NoAnswer",
            Self::Malformed { .. } => "MalformedAnswer",
            Self::QueueFull { .. } => "QueueFull",
            Self::Closed { .. } => "SessionClosed",
        }
    }
}

fn list(missing: &[Missing]) -> String {
    missing.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Why no session was opened.
#[derive(Clone, Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The socket failed.
    #[error("the socket failed")]
    Io(#[source] Arc<io::Error>),
    /// VPP closed the connection instead of answering.
    #[error("the connection was closed instead of an answer")]
    Ended,
    /// Nothing came in time.
    #[error("no answer within {0:?}")]
    Deadline(Duration),
    /// What came is no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// What came is not the answer that it claims to be.
    #[error("the message table cannot be read")]
    Malformed(#[from] CodecError),
    /// VPP does not take us.
    #[error("VPP refused with {0}")]
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

/// Why a session ended.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CloseReason {
    /// We closed it.
    #[error("closed by us")]
    Local,
    /// VPP closed the connection or died.
    #[error("VPP closed the connection")]
    Eof,
    /// The socket failed.
    #[error("the socket failed: {0}")]
    Io(Arc<io::Error>),
    /// VPP answered nothing for this long although requests were in flight.
    #[error("no answer for {0:?}")]
    Deadline(Duration),
    /// What came is no frame, so the stream cannot be followed any further.
    #[error("{0}")]
    Frame(FrameError),
    /// An answer is not the message that it claims to be.
    #[error("{message} cannot be read: {error}")]
    Malformed {
        message: &'static str,
        /// What is wrong with it.
        error: CodecError,
    },
    /// A dump does not end.
    #[error("more than {limit} {message}")]
    Endless {
        /// The message that came again and again.
        message: &'static str,
        /// How many are taken.
        limit: usize,
    },
}

impl CloseReason {
    /// Whether VPP was silent for too long, so that the next session should be more patient.
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
