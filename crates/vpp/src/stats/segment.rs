//! The segment's header and the optimistic read.
//!
//! ```text
//!   0 version (2)   8 base   16 epoch   24 in_progress   32 directory vector
//! ```
//!
//! VPP sets `in_progress`, changes the directory or a vector's place, counts `epoch` up and clears
//! `in_progress`. Counters themselves are counted up at any time, each by one store.

use std::sync::atomic::{AtomicU64, Ordering, fence};

use super::{error::StatsError, view::View};

const VERSION: usize = 0;
const BASE: usize = 1;
const EPOCH: usize = 2;
const IN_PROGRESS: usize = 3;
const DIRECTORY: usize = 4;
/// Words of the header.
const HEADER: usize = 5;

/// How often a read is tried again. A change takes VPP microseconds, and they are rare.
const ATTEMPTS: usize = 200;

/// A segment in memory, which somebody else may be writing to.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    words: &'a [AtomicU64],
}

/// The words of a segment that was stored in a file. What does not fill a word is left out.
pub fn words(bytes: &[u8]) -> Vec<AtomicU64> {
    let (chunks, _) = bytes.as_chunks();
    chunks.iter().map(|chunk| u64::from_ne_bytes(*chunk).into()).collect()
}

impl<'a> Segment<'a> {
    /// A segment in `words`, of which only loads are made.
    pub fn new(words: &'a [AtomicU64]) -> Self {
        Self { words }
    }

    /// Has `copy` take what it wants from one consistent view. It is called again if VPP changed
    /// the segment meanwhile, whatever it returned.
    ///
    /// # Errors
    /// [`StatsError::Busy`] if VPP never leaves the segment alone; [`StatsError::Version`],
    /// [`StatsError::OutOfBounds`] for the header; what `copy` returned.
    pub fn read<T>(&self, mut copy: impl FnMut(&View<'_>) -> Result<T, StatsError>) -> Result<T, StatsError> {
        let header = self.words.get(..HEADER).ok_or(StatsError::OutOfBounds { what: "the header", at: 0 })?;
        let load = |word: usize| header[word].load(Ordering::Relaxed);
        match load(VERSION) {
            2 => {}
            other => return Err(StatsError::Version(other)),
        }
        for _ in 0..ATTEMPTS {
            let epoch = load(EPOCH);
            if load(IN_PROGRESS) == 0 {
                // Acquire loads are not for read-only memory; fences make these as good.
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
    fn a_copy_made_during_a_change_is_made_again() {
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
    fn a_change_that_never_ends_is_given_up() {
        let words = empty();
        words[IN_PROGRESS].store(1, Ordering::Relaxed);
        let error = Segment::new(&words).read(|_| Ok(())).unwrap_err();
        assert!(error.is_transient() && error.reason() == "Busy", "{error}");
    }

    #[test]
    fn another_version_and_a_lone_header_are_errors() {
        let words = empty();
        words[VERSION].store(3, Ordering::Relaxed);
        let read = |words: &[AtomicU64]| Segment::new(words).read(|_| Ok(())).unwrap_err().reason();
        assert_eq!(read(&words), "VersionUnknown");
        words[VERSION].store(2, Ordering::Relaxed);
        assert_eq!((read(&words[..4]), read(&words[..5])), ("OutOfBounds", "OutOfBounds"));
    }
}
