//! Why the stats segment could not be read.

use std::{io, path::PathBuf};

/// Why the stats segment could not be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum StatsError {
    /// The stats socket does not take us.
    #[error("cannot connect to the stats socket {}", path.display())]
    Connect {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The stats socket sent no file descriptor.
    #[error("the stats socket {} sent no file descriptor", path.display())]
    NoDescriptor { path: PathBuf },
    /// The descriptor cannot be mapped, or its file has shrunk since.
    #[error("cannot map the stats segment")]
    Map(#[source] io::Error),
    /// A layout that we do not know.
    #[error("the stats segment has layout version {0}, not 2")]
    Version(u64),
    /// VPP was changing the segment each time we looked.
    #[error("vpp keeps changing the stats segment")]
    Busy,
    /// Something points out of the segment, or is larger than it.
    #[error("{what} at {at:#x} does not lie within the stats segment")]
    OutOfBounds {
        /// What was to be read.
        what: &'static str,
        /// Its offset, or its address less the segment's base.
        at: u64,
    },
    /// A link in the directory leads to no counter.
    #[error("entry {0} of the stats directory links to no counter")]
    BadLink(usize),
    /// The counter of this name is of another type than it should be.
    #[error("{0:?} is not the type of counter that it should be")]
    WrongType(&'static str),
}

impl StatsError {
    /// Whether the same segment may be read later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::NoDescriptor { .. } | Self::Busy => true,
            Self::Map(_) | Self::Version(_) | Self::OutOfBounds { .. } | Self::BadLink(_) | Self::WrongType(_) => false,
        }
    }

    /// A fixed word for metrics and logs.
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
