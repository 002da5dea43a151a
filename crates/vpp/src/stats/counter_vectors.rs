//! Counters of single indexes. The vectors of all threads are located and checked once; then only the wanted elements
//! are loaded, so that the cost does not depend on the lengths of the vectors.

use super::view::{Vector, View};

/// The vectors of an entry, one for each thread.
#[derive(Clone, Debug)]
pub struct CounterVectors<'a, T> {
    view: View<'a>,
    threads: Vec<Vector>,
    load: fn(&View<'a>, usize) -> Option<T>,
    add: fn(T, T) -> T,
}

impl<'a, T> CounterVectors<'a, T> {
    pub(super) fn new(
        view: View<'a>,
        threads: Vec<Vector>,
        load: fn(&View<'a>, usize) -> Option<T>,
        add: fn(T, T) -> T,
    ) -> Self {
        Self { view, threads, load, add }
    }

    /// The counter with this index, summed over all threads; `None` if no thread has it.
    pub fn sum(&self, index: u32) -> Option<T> {
        let index = index as usize;
        let with_index = self.threads.iter().filter(|vector| index < vector.length);
        let loaded = with_index.filter_map(|vector| (self.load)(&self.view, vector.offset + index * size_of::<T>()));
        loaded.reduce(self.add)
    }
}
