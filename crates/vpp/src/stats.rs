//! The client of VPP's stats segment: shared memory in which VPP keeps its counters.
//!
//! ```text
//!   agent ── StatsClient ── socket (one descriptor by SCM_RIGHTS) ── VPP's stats.sock
//!               └── mapping (read-only memory) ── segment (epochs) ── view (directory, vectors)
//! ```
//!
//! VPP writes during a read and takes no lock for readers, so a read is optimistic: [`Segment::read`] lets the caller
//! copy out of a [`View`] and discards the copy if VPP moved anything meanwhile. The content of the segment is not
//! trusted: each offset and length is checked against the mapping, and the size of a value is limited by the size of
//! the mapping, so that a torn, truncated or hostile segment causes an error and never a wild or endless read.
//!
//! The segment outlives VPP's process and does not show its death: the owner of a [`StatsClient`] drops it together
//! with the API session and opens another with the next session.

mod counter_vectors;
mod error;
mod mapping;
mod reading;
mod segment;
mod socket;
mod view;

use std::{path::Path, time::Duration};

use self::mapping::Mapping;
pub use self::{
    counter_vectors::CounterVectors,
    error::StatsError,
    reading::{StatsIndexes, StatsReading},
    segment::{Segment, words},
    view::{Counter, Entry, Value, View},
};

/// An open stats segment.
#[derive(Debug)]
pub struct StatsClient {
    mapping: Mapping,
}

impl StatsClient {
    /// Receives the segment from the socket at `path` and maps it. Blocks for `limit` at most.
    ///
    /// # Errors
    /// [`StatsError::Connect`] and [`StatsError::NoDescriptor`] for the socket, [`StatsError::Map`] for the memory,
    /// and any error of an invalid header.
    pub fn open(path: &Path, limit: Duration) -> Result<Self, StatsError> {
        let mapping = Mapping::new(&socket::receive(path, limit)?)?;
        let client = Self { mapping };
        match client.read(|_| Ok(())) {
            // A segment that VPP is changing has a valid header.
            Ok(()) | Err(StatsError::Busy) => Ok(client),
            Err(error) => Err(error),
        }
    }

    /// Copies out of the segment, as [`Segment::read`].
    ///
    /// # Errors
    /// Like [`Segment::read`]; [`StatsError::Map`] if the file was truncated.
    pub fn read<T>(&self, copy: impl FnMut(&View<'_>) -> Result<T, StatsError>) -> Result<T, StatsError> {
        Segment::new(self.mapping.words()?).read(copy)
    }
}
