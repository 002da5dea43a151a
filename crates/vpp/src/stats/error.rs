//! Errors of the stats segment.

use std::{io, path::PathBuf};

/// Failure to open or read the stats segment.
#[derive(Debug, thiserror::Error)]
pub enum StatsError {
    #[error("cannot connect to the stats socket {}", path.display())]
    Connect {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the stats socket {} sent no file descriptor", path.display())]
    NoDescriptor { path: PathBuf },
    /// The descriptor cannot be mapped, or its file was truncated.
    #[error("cannot map the stats segment")]
    Map(#[source] io::Error),
    #[error("the stats segment has layout version {0}, expected 2")]
    Version(u64),
    #[error("VPP was changing the stats segment during every attempt to read it")]
    Busy,
    /// An offset or length exceeds the segment.
    #[error("{item} at {at:#x} is outside of the stats segment")]
    OutOfBounds {
        /// The item to read.
        item: &'static str,
        /// Offset of the item, or its address relative to the segment's base.
        at: u64,
    },
    /// A link in the directory has no target.
    #[error("entry {0} of the stats directory links to no counter")]
    BadLink(usize),
    /// A counter has an unexpected type.
    #[error("counter {0:?} has an unexpected type")]
    WrongType(&'static str),
}

impl StatsError {
    /// A fixed PascalCase word for metrics and logs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Connect { .. } => "ConnectFailed",
            Self::NoDescriptor { .. } => "NoDescriptor",
            Self::Map(_) => "MapFailed",
            Self::Version(_) => "VersionUnknown",
            Self::Busy => "Busy",
            Self::OutOfBounds { .. } => "OutOfBounds",
            Self::BadLink(_) => "BadLink",
            Self::WrongType(_) => "WrongType",
        }
    }
}
