//! The content of a segment: the directory and its vectors, with checked access.
//!
//! An address in the segment is VPP's; minus the base it is an offset. A vector is an array whose number of elements is
//! the `u32` located 8 bytes before the first element. A directory entry has 144 bytes: `u32` type, 4 bytes of padding,
//! a `u64` or two `u32`, and a name of at most 127 bytes.

use std::{
    iter::once,
    sync::atomic::{AtomicU64, Ordering},
};

use super::{counter_vectors::CounterVectors, error::StatsError};

/// Size of a directory entry in bytes.
const ENTRY: usize = 144;
/// Offset of the name in an entry, and the size of the name.
const NAME: usize = 16;
const NAME_SPACE: usize = 128;
const WORD: usize = size_of::<u64>();
/// Limit of the threads of VPP; more than any VPP has.
const MAX_THREADS: usize = 1024;

type Result<T> = std::result::Result<T, StatsError>;

/// A combined counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    pub packets: u64,
    pub bytes: u64,
}

impl Counter {
    fn wrapping_add(self, other: Self) -> Self {
        Self { packets: self.packets.wrapping_add(other.packets), bytes: self.bytes.wrapping_add(other.bytes) }
    }
}

/// The value of a directory entry. Vectors of counters are indexed by thread, then by index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A scalar or a gauge.
    Scalar(u64),
    Simple(Vec<Vec<u64>>),
    Combined(Vec<Vec<Counter>>),
    /// Names; `None` for an unused index.
    Names(Vec<Option<String>>),
    /// A link to one simple counter: its values by thread.
    SimpleColumn(Vec<u64>),
    /// A link to one combined counter: its values by thread.
    CombinedColumn(Vec<Counter>),
    /// An entry without a value.
    Empty,
    /// An unknown type.
    Unknown(u32),
}

/// An entry of the directory.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    index: usize,
    kind: u32,
    value: u64,
}

/// The segment during one read.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    words: &'a [AtomicU64],
    base: u64,
    directory: Vector,
}

/// Location of a vector, which lies completely within the segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vector {
    /// Offset of the first element in bytes; a multiple of 8.
    pub offset: usize,
    pub length: usize,
}

impl<'a> View<'a> {
    pub(crate) fn new(words: &'a [AtomicU64], base: u64, directory: u64) -> Result<Self> {
        let empty = Vector { offset: 0, length: 0 };
        let mut view = Self { words, base, directory: empty };
        view.directory = view.vector("the directory", directory, ENTRY)?;
        Ok(view)
    }

    /// The number of entries in the directory.
    pub fn len(&self) -> usize {
        self.directory.length
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All entries with their names. Unused entries are skipped.
    pub fn entries(&self) -> impl Iterator<Item = (String, Entry)> {
        (0..self.directory.length).filter_map(|index| {
            let name = self.name(self.directory.offset + index * ENTRY + NAME, NAME_SPACE);
            Some((name, self.entry(index)?)).filter(|(name, _)| !name.is_empty())
        })
    }

    /// The first entry with each of these names, found in one scan of the directory.
    pub fn find<const N: usize>(&self, names: [&str; N]) -> [Option<Entry>; N] {
        let mut entries = [None; N];
        for index in 0..self.directory.length {
            let at = self.directory.offset + index * ENTRY + NAME;
            let mut open = names.iter().zip(&mut entries).filter(|(_, entry)| entry.is_none());
            if let Some((_, entry)) = open.find(|(name, _)| self.is_named(at, name)) {
                *entry = self.entry(index);
            }
        }
        entries
    }

    fn is_named(&self, at: usize, name: &str) -> bool {
        let mut bytes = name.bytes().chain(once(0)).enumerate();
        name.len() < NAME_SPACE && bytes.all(|(index, byte)| self.byte(at + index) == Some(byte))
    }

    fn entry(&self, index: usize) -> Option<Entry> {
        let at = self.directory.offset + index.checked_mul(ENTRY)?;
        let within = index < self.directory.length;
        within.then_some(Entry { index, kind: self.half(at)?, value: self.word(at + WORD)? })
    }

    /// The value of an entry.
    ///
    /// # Errors
    /// [`StatsError::OutOfBounds`] and [`StatsError::BadLink`] if the segment is corrupt.
    pub fn value(&self, entry: Entry) -> Result<Value> {
        Ok(match entry.kind {
            1 | 9 => Value::Scalar(entry.value),
            2 => Value::Simple(self.threads(entry, self.words.len(), |at| self.word(at))?),
            3 => Value::Combined(self.threads(entry, self.words.len() / 2, |at| self.counter(at))?),
            4 => Value::Names(self.strings(entry)?),
            5 => Value::Empty,
            6 => self.link(entry)?,
            other => Value::Unknown(other),
        })
    }

    /// The value of a scalar.
    ///
    /// # Errors
    /// [`StatsError::WrongType`] for `name` if the entry is not a scalar.
    pub fn scalar(&self, entry: Entry, name: &'static str) -> Result<u64> {
        match entry.kind {
            1 | 9 => Ok(entry.value),
            _ => Err(StatsError::WrongType(name)),
        }
    }

    /// The simple counters of an entry.
    ///
    /// # Errors
    /// [`StatsError::OutOfBounds`] if a vector is not within the segment; [`StatsError::WrongType`] for other types.
    pub fn simple_counters(&self, entry: Entry, name: &'static str) -> Result<CounterVectors<'a, u64>> {
        let threads = self.located_threads::<u64>(entry, (2, name))?;
        Ok(CounterVectors::new(*self, threads, View::word, u64::wrapping_add))
    }

    /// The combined counters of an entry.
    ///
    /// # Errors
    /// Like [`Self::simple_counters`].
    pub fn combined_counters(&self, entry: Entry, name: &'static str) -> Result<CounterVectors<'a, Counter>> {
        let threads = self.located_threads::<Counter>(entry, (3, name))?;
        Ok(CounterVectors::new(*self, threads, View::counter, Counter::wrapping_add))
    }

    /// The vectors of all threads, for an entry of type `kind`.
    fn located_threads<T>(&self, entry: Entry, (kind, name): (u32, &'static str)) -> Result<Vec<Vector>> {
        if entry.kind != kind {
            return Err(StatsError::WrongType(name));
        }
        let threads = self.vector("a vector of threads", entry.value, WORD)?;
        if threads.length > MAX_THREADS {
            return Err(self.out_of_bounds("a vector of threads", entry.value));
        }
        let locate = |pointer| self.vector("a vector of counters", pointer, size_of::<T>());
        self.pointers(threads).map(locate).collect()
    }

    /// The vectors of all threads. The segment holds `left` elements at most: if the vectors have more, they overlap,
    /// and the amount to copy would be unlimited.
    fn threads<T>(&self, entry: Entry, mut left: usize, get: impl Fn(usize) -> Option<T>) -> Result<Vec<Vec<T>>> {
        let size = size_of::<T>();
        let copy = |vector: Vector| {
            let counters = (0..vector.length).map_while(|index| get(vector.offset + index * size));
            counters.collect()
        };
        let threads = self.vector("a vector of threads", entry.value, WORD)?;
        let mut all = Vec::new();
        for vector in self.pointers(threads) {
            let vector = self.vector("a vector of counters", vector, size)?;
            // Empty vectors take space as well: their header.
            left = left.checked_sub(vector.length.max(1)).ok_or_else(|| self.out_of_bounds("counters", entry.value))?;
            all.push(copy(vector));
        }
        Ok(all)
    }

    fn strings(&self, entry: Entry) -> Result<Vec<Option<String>>> {
        let mut left = self.words.len() * WORD;
        let mut all = Vec::new();
        for pointer in self.pointers(self.vector("a vector of names", entry.value, WORD)?) {
            if pointer == 0 {
                all.push(None);
                continue;
            }
            let vector = self.vector("a name", pointer, 1)?;
            left = left.checked_sub(vector.length + WORD).ok_or_else(|| self.out_of_bounds("names", entry.value))?;
            all.push(Some(self.name(vector.offset, vector.length)));
        }
        Ok(all)
    }

    /// Resolves a link: the index of another entry, and a column of that entry's vectors.
    fn link(&self, entry: Entry) -> Result<Value> {
        let (target, column) = (entry.value as u32 as usize, (entry.value >> 32) as usize);
        let target = self.entry(target).ok_or(StatsError::BadLink(entry.index))?;
        let threads = || self.vector("a vector of threads", target.value, WORD);
        match target.kind {
            2 => Ok(Value::SimpleColumn(self.column(threads()?, column, |at| self.word(at))?)),
            3 => Ok(Value::CombinedColumn(self.column(threads()?, column, |at| self.counter(at))?)),
            _ => Err(StatsError::BadLink(entry.index)),
        }
    }

    fn column<T>(&self, threads: Vector, column: usize, get: impl Fn(usize) -> Option<T>) -> Result<Vec<T>> {
        let size = size_of::<T>();
        self.pointers(threads)
            .map(|pointer| {
                let vector = self.vector("a vector of counters", pointer, size)?;
                let counter = (column < vector.length).then(|| get(vector.offset + column * size)).flatten();
                counter.ok_or_else(|| self.out_of_bounds("a linked counter", pointer))
            })
            .collect()
    }

    fn pointers(&self, vector: Vector) -> impl Iterator<Item = u64> {
        (0..vector.length).map_while(move |index| self.word(vector.offset + index * WORD))
    }

    /// The vector at an address of VPP; the null pointer is an empty vector.
    fn vector(&self, item: &'static str, pointer: u64, element: usize) -> Result<Vector> {
        if pointer == 0 {
            return Ok(Vector { offset: 0, length: 0 });
        }
        let locate = || {
            let offset = usize::try_from(pointer.checked_sub(self.base)?).ok()?;
            let length = self.half(offset.checked_sub(WORD)?)? as usize;
            let end = offset.checked_add(length.checked_mul(element)?)?;
            (offset.is_multiple_of(WORD) && end <= self.words.len() * WORD).then_some(Vector { offset, length })
        };
        locate().ok_or_else(|| self.out_of_bounds(item, pointer))
    }

    fn out_of_bounds(&self, item: &'static str, pointer: u64) -> StatsError {
        StatsError::OutOfBounds { item, at: pointer.wrapping_sub(self.base) }
    }

    fn word(&self, at: usize) -> Option<u64> {
        self.words.get(at / WORD).map(|word| word.load(Ordering::Relaxed))
    }

    /// The `u32` at the start of a word.
    fn half(&self, at: usize) -> Option<u32> {
        let [a, b, c, d, ..] = self.word(at)?.to_ne_bytes();
        Some(u32::from_ne_bytes([a, b, c, d]))
    }

    fn byte(&self, at: usize) -> Option<u8> {
        Some(self.word(at)?.to_ne_bytes()[at % WORD])
    }

    fn counter(&self, at: usize) -> Option<Counter> {
        Some(Counter { packets: self.word(at)?, bytes: self.word(at + WORD)? })
    }

    /// Text of up to `space` bytes, up to the first NUL.
    fn name(&self, at: usize, space: usize) -> String {
        let bytes = (at..at + space).map_while(|at| self.byte(at).filter(|byte| *byte != 0));
        String::from_utf8_lossy(&bytes.collect::<Vec<_>>()).into_owned()
    }
}
