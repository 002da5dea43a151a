//! The client of VPP's stats segment: shared memory in which VPP keeps its counters.
//!
//! ```text
//!   agent ── StatsClient ── socket (one descriptor by SCM_RIGHTS) ── VPP's stats.sock
//!               └── mapping (read-only memory) ── segment (epochs) ── view (directory, vectors)
//! ```
//!
//! VPP writes while we read, and takes no lock for us. So a read is optimistic: [`Segment::read`]
//! lets the caller copy out of a [`View`] and throws the copy away if VPP moved anything meanwhile.
//! Nothing that stands in the segment is trusted: each offset and length is checked against the
//! mapping, and how much one value may hold is bounded by the mapping's size, so that a torn,
//! truncated or hostile segment gives an error and never a wild or endless read.
//!
//! The segment outlives VPP's process and says nothing of its death: whoever holds a
//! [`StatsClient`] drops it together with the API session and opens another with the next.

mod error;
mod figures;
mod mapping;
mod segment;
mod socket;
mod view;

use std::{path::Path, time::Duration};

use self::mapping::Mapping;
pub use self::{
    error::StatsError,
    figures::Figures,
    segment::{Segment, words},
    view::{Counter, Entry, Value, View},
};

/// An open stats segment.
#[derive(Debug)]
pub struct StatsClient {
    mapping: Mapping,
}

impl StatsClient {
    /// Fetches the segment from the socket at `path` and maps it. Blocks for `limit` at most.
    ///
    /// # Errors
    /// [`StatsError::Connect`] and [`StatsError::NoDescriptor`] for the socket, [`StatsError::Map`]
    /// for the memory, and whatever its header is refused for.
    pub fn open(path: &Path, limit: Duration) -> Result<Self, StatsError> {
        let mapping = Mapping::new(&socket::receive(path, limit)?)?;
        let client = Self { mapping };
        match client.read(|_| Ok(())) {
            // VPP is in the midst of a change: it is a segment all the same.
            Ok(()) | Err(StatsError::Busy) => Ok(client),
            Err(error) => Err(error),
        }
    }

    /// Copies out of the segment, as [`Segment::read`].
    ///
    /// # Errors
    /// As [`Segment::read`]; [`StatsError::Map`] if the memory has shrunk under us.
    pub fn read<T>(&self, copy: impl FnMut(&View<'_>) -> Result<T, StatsError>) -> Result<T, StatsError> {
        Segment::new(self.mapping.words()?).read(copy)
    }
}
