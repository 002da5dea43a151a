//! VPP's stats segment.

use std::sync::atomic::AtomicU64;

use maglev_model::counters::RouteCounters;
use maglev_vpp::stats::{Segment, StatsIndexes, StatsReading, Value, words};

use crate::{allocated::allocated, corpus::each_input};

const CASES: usize = 2_000;
/// Threads of VPP that are read at most.
const THREADS: usize = 1024;

/// Number of elements of a value.
fn elements(value: &Value) -> usize {
    match value {
        Value::Scalar(_) | Value::Empty | Value::Unknown(_) => 1,
        Value::Simple(threads) => threads.iter().map(Vec::len).sum(),
        Value::Combined(threads) => threads.iter().map(Vec::len).sum(),
        Value::Names(names) => names.len(),
        Value::SimpleColumn(column) => column.len(),
        Value::CombinedColumn(column) => column.len(),
    }
}

/// Address of the first byte of a segment.
const BASE: u64 = 0x7000_0000;

/// A segment with one combined counter, whose vector of each of `threads` threads has `length` elements of (7, 70).
fn segment_with_routes(threads: usize, length: usize) -> Vec<AtomicU64> {
    let mut words = vec![2, BASE, 1, 0, 0];
    let address = |words: &Vec<u64>| BASE + 8 * words.len() as u64;
    let vectors: Vec<_> = (0..threads)
        .map(|_| {
            words.push(length as u64);
            let vector = address(&words);
            words.extend([7, 70].repeat(length));
            vector
        })
        .collect();
    words.push(threads as u64);
    let counter = address(&words);
    words.extend(vectors);
    words.push(1);
    words[4] = address(&words);
    let mut entry = [0; 18];
    (entry[0], entry[1]) = (3, counter);
    let mut name = b"/net/route/to".to_vec();
    name.resize(128, 0);
    let (name, _) = name.as_chunks();
    entry[2..].iter_mut().zip(name).for_each(|(word, chunk)| *word = u64::from_ne_bytes(*chunk));
    words.extend(entry);
    words.into_iter().map(AtomicU64::new).collect()
}

#[test]
fn counters_of_a_few_indexes_are_read_without_a_copy_of_the_vectors() {
    const LENGTH: u32 = 100_000;
    let words = segment_with_routes(9, LENGTH as usize);
    let indexes = StatsIndexes { to: [0, 77_777, LENGTH].into(), ..StatsIndexes::default() };
    let segment = Segment::new(&words);
    let (read, bytes) = allocated(|| segment.read(|view| StatsReading::copy(view, &indexes)).unwrap());
    let route = RouteCounters { packets: 63, bytes: 630 };
    assert_eq!(read.to, [(0, route), (77_777, route)].into());
    assert!(bytes < 4096, "{bytes} bytes were allocated");
}

#[test]
fn segments_are_read_in_bounded_memory() {
    let indexes =
        StatsIndexes { vips: (0..16).collect(), to: (0..64).collect(), via: (0..64).chain([u32::MAX]).collect() };
    let indexed = indexes.vips.len() + indexes.to.len() + indexes.via.len();
    each_input("stats", CASES, |bytes| {
        let words = words(bytes);
        let segment = Segment::new(&words);
        // A segment that changes for ever is read again a few hundred times.
        let mut copies = 0;
        let (read, bytes) = allocated(|| {
            segment.read(|view| {
                copies += 1;
                StatsReading::copy(view, &indexes)
            })
        });
        let limit = 16 * THREADS * 8 + 1024 * indexed;
        assert!(copies <= 200 && bytes <= copies * limit, "{bytes} bytes in {copies} copies");
        if let Ok(read) = read {
            assert!(read.vips.len() + read.to.len() + read.via.len() <= indexed);
        }
        let _ = segment.read(|view| {
            assert!(view.len() <= words.len());
            for (name, entry) in view.entries() {
                let (value, bytes) = allocated(|| view.value(entry));
                // Names are a pointer each, and a text that is not longer than the segment.
                assert!(bytes <= 4096 + 64 * 8 * words.len(), "{name}: {bytes} bytes for {} words", words.len());
                assert!(value.map_or(0, |value| elements(&value)) <= words.len(), "{name}");
            }
            Ok(())
        });
    });
}
