//! Truncated, zeroed and bit-flipped copies of a real segment: an error or a value, in bounded time.

use std::{
    cell::RefCell,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use maglev_vpp::stats::{Segment, StatsError, StatsIndexes, StatsReading, words};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};

use super::recorded::{expected, segment};

const CASES: u32 = 12_000;
/// Generous, for a busy machine; an endless read would never end.
const LIMIT: Duration = Duration::from_secs(20);

#[derive(Clone, Debug)]
enum Damage {
    /// Truncates the segment to this many words.
    Cut(usize),
    /// Zeroes this many words from this index on.
    Zero(usize, usize),
    /// Flips these bits of these words.
    Flip(Vec<(usize, u32)>),
    /// Overwrites a word with another word of the segment: a plausible pointer or length in the wrong position.
    Swap(usize, usize),
}

/// Words whose damage matters: the header, and the counters that the agent reads.
fn vital(words: &[AtomicU64]) -> Vec<usize> {
    let load = |at: usize| words[at].load(Ordering::Relaxed);
    let word = |pointer: u64| usize::try_from((pointer - load(1)) / 8).unwrap();
    let directory = word(load(4));
    let mut vital: Vec<usize> = (0..5).chain([directory - 1]).collect();
    let names: Vec<String> = expected().into_keys().chain(["/net/route/via".to_owned()]).collect();
    let entries = (0..load(directory - 1) as u32 as usize).map(|index| directory + index * 18);
    for entry in entries {
        let name: Vec<u8> =
            (2..18).flat_map(|at| load(entry + at).to_ne_bytes()).take_while(|byte| *byte != 0).collect();
        if !names.iter().any(|vital_name| vital_name.as_bytes() == name) {
            continue;
        }
        vital.extend([entry, entry + 1, entry + 2]);
        if matches!(load(entry) as u32, 2 | 3) {
            let threads = word(load(entry + 1));
            vital.extend([threads - 1, threads, word(load(threads)) - 1, word(load(threads))]);
        }
    }
    vital
}

fn damage(vital: Vec<usize>, used: usize) -> impl Strategy<Value = Damage> {
    let index = prop_oneof![3 => prop::sample::select(vital), 1 => 0..used].boxed();
    prop_oneof![
        1 => (0..used).prop_map(Damage::Cut),
        1 => (index.clone(), 1usize..64).prop_map(|(at, length)| Damage::Zero(at, length)),
        4 => prop::collection::vec((index.clone(), 0u32..64), 1..6).prop_map(Damage::Flip),
        2 => (index.clone(), 0..used).prop_map(|(to, from)| Damage::Swap(to, from)),
    ]
}

impl Damage {
    /// Damages `words`. Returns the number of remaining words, and the previous content of changed words.
    fn apply(&self, words: &[AtomicU64]) -> (usize, Vec<(usize, u64)>) {
        let mut before = Vec::new();
        let mut put = |at: usize, word: u64| before.push((at, words[at].swap(word, Ordering::Relaxed)));
        let mut left = words.len();
        match self {
            Self::Cut(length) => left = *length,
            Self::Zero(at, length) => (*at..(at + length).min(left)).for_each(|at| put(at, 0)),
            Self::Flip(bits) => {
                for (at, bit) in bits {
                    put(*at, words[*at].load(Ordering::Relaxed) ^ 1 << bit);
                }
            }
            Self::Swap(to, from) => put(*to, words[*from].load(Ordering::Relaxed)),
        }
        (left, before)
    }
}

/// Reads a segment as the agent does and, with `all`, more. Returns the number of values.
fn read(words: &[AtomicU64], all: bool) -> Result<usize, StatsError> {
    let indexes =
        StatsIndexes { vips: (0..16).collect(), to: (0..64).collect(), via: (0..64).chain([u32::MAX]).collect() };
    Segment::new(words).read(|view| {
        StatsReading::copy(view, &indexes)?;
        if !all {
            return Ok(0);
        }
        // Every sixteenth entry: links and vectors of all kinds.
        Ok(view.entries().step_by(16).filter(|(_, entry)| view.value(*entry).is_ok()).count())
    })
}

#[test]
fn damaged_segment_is_an_error_or_a_value_but_no_panic_or_hang() {
    let words = words(&segment());
    let used = words.iter().rposition(|word| word.load(Ordering::Relaxed) != 0).unwrap() + 1;
    // The rest is empty. Part of it is kept, so that a wrong length may still be within the segment.
    let words = &words[..(used + used / 4).min(words.len())];
    let strategy = damage(vital(words), used);
    assert!(read(words, true).unwrap() > 100);

    let (errors, values) = (RefCell::new(0), RefCell::new(0));
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&strategy, |damage| {
        let (left, before) = damage.apply(words);
        let start = Instant::now();
        // Reading the whole directory is slow, so one case in twenty does.
        let cases = *errors.borrow() + *values.borrow();
        let result = read(&words[..left], cases % 20 == 0);
        let took = start.elapsed();
        for (at, word) in before.into_iter().rev() {
            words[at].store(word, Ordering::Relaxed);
        }
        prop_assert!(took < LIMIT, "{took:?}");
        *if result.is_ok() { values.borrow_mut() } else { errors.borrow_mut() } += 1;
        Ok(())
    });
    outcome.unwrap();
    let (errors, values) = (errors.into_inner(), values.into_inner());
    assert!(errors > CASES / 10 && values > CASES / 10, "{errors} errors, {values} values: the damage is one-sided");
}
