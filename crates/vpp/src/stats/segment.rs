//! The segment's header and the optimistic read.
//!
//! ```text
//!   0 version (2)   8 base   16 epoch   24 in_progress   32 directory vector
//! ```
//!
//! VPP sets `in_progress`, changes the directory or moves a vector, increments `epoch` and clears `in_progress`.
//! Counters are incremented at any time, each by one store.

use std::sync::atomic::{AtomicU64, Ordering, fence};

use super::{error::StatsError, view::View};

const VERSION: usize = 0;
const BASE: usize = 1;
const EPOCH: usize = 2;
const IN_PROGRESS: usize = 3;
const DIRECTORY: usize = 4;
/// Length of the header in words.
const HEADER: usize = 5;

/// Limit of attempts per read. A change takes VPP microseconds, and changes are rare.
const ATTEMPTS: usize = 200;

/// A segment in memory that another process may be writing to.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    words: &'a [AtomicU64],
}

/// The words of a segment stored in a file. Trailing bytes that do not fill a word are left out.
pub fn words(bytes: &[u8]) -> Vec<AtomicU64> {
    let (chunks, _) = bytes.as_chunks();
    chunks.iter().map(|chunk| u64::from_ne_bytes(*chunk).into()).collect()
}

impl<'a> Segment<'a> {
    /// A segment in `words`; the memory is only loaded from.
    pub fn new(words: &'a [AtomicU64]) -> Self {
        Self { words }
    }

    /// Calls `copy` with a view and returns its result. `copy` is called again, even after an error, if VPP changed
    /// the segment meanwhile.
    ///
    /// # Errors
    /// [`StatsError::Busy`] if VPP changes the segment during every attempt; [`StatsError::Version`] and
    /// [`StatsError::OutOfBounds`] for the header; any error of `copy`.
    pub fn read<T>(&self, mut copy: impl FnMut(&View<'_>) -> Result<T, StatsError>) -> Result<T, StatsError> {
        let header = self.words.get(..HEADER).ok_or(StatsError::OutOfBounds { item: "the header", at: 0 })?;
        let load = |word: usize| header[word].load(Ordering::Relaxed);
        match load(VERSION) {
            2 => {}
            other => return Err(StatsError::Version(other)),
        }
        for _ in 0..ATTEMPTS {
            let epoch = load(EPOCH);
            if load(IN_PROGRESS) == 0 {
                // Acquire loads are not allowed on read-only memory; fences have the same effect.
                fence(Ordering::Acquire);
                let copied = View::new(self.words, load(BASE), load(DIRECTORY)).and_then(|view| copy(&view));
                fence(Ordering::Acquire);
                if load(IN_PROGRESS) == 0 && load(EPOCH) == epoch {
                    return copied;
                }
            }
            std::thread::yield_now();
        }
        Err(StatsError::Busy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A segment with an empty directory.
    fn empty() -> Vec<AtomicU64> {
        [2, 0x7000, 1, 0, 0x7000 + 56, 0, 0, 0].map(AtomicU64::new).into()
    }

    #[test]
    fn copy_made_during_a_change_is_repeated() {
        let words = empty();
        let mut copies = 0;
        let copied = Segment::new(&words).read(|view| {
            copies += 1;
            if copies == 1 {
                words[EPOCH].store(2, Ordering::Relaxed);
                return Err(StatsError::BadLink(0));
            }
            Ok(view.len())
        });
        assert_eq!((copied.unwrap(), copies), (0, 2));
    }

    #[test]
    fn endless_change_is_an_error() {
        let words = empty();
        words[IN_PROGRESS].store(1, Ordering::Relaxed);
        let error = Segment::new(&words).read(|_| Ok(())).unwrap_err();
        assert!(error.reason() == "Busy", "{error}");
    }

    #[test]
    fn unsupported_version_and_truncated_header_are_errors() {
        let words = empty();
        words[VERSION].store(3, Ordering::Relaxed);
        let read = |words: &[AtomicU64]| Segment::new(words).read(|_| Ok(())).unwrap_err().reason();
        assert_eq!(read(&words), "VersionUnknown");
        words[VERSION].store(2, Ordering::Relaxed);
        assert_eq!((read(&words[..4]), read(&words[..5])), ("OutOfBounds", "OutOfBounds"));
    }
}
