//! Runs many seeds on all cores, one runtime per thread.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread::{available_parallelism, scope},
    time::Instant,
};

use parking_lot::Mutex;

use crate::{
    planted::PlantedBug,
    world::{Options, simulate},
};

/// Failed seeds after which no more are run.
const MAX_FAILURES: usize = 20;

/// Lines of the log of a failed seed.
const LAST_LINES: usize = 100;

/// Runs the seeds from 0 on until `run` returns false.
fn run_seeds(seeds: u64, run: impl Fn(u64) -> bool + Sync) {
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let worker = || {
        while !stop.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds || !run(seed) {
                stop.store(true, Ordering::Relaxed);
            }
        }
    };
    scope(|scope| {
        for _ in 0..available_parallelism().map_or(1, usize::from) {
            scope.spawn(worker);
        }
    });
}

/// Fails with all violations, and the log of the first.
pub fn check_seeds(seeds: u64, steps: u32) {
    let begin = Instant::now();
    let failed = Mutex::new(BTreeMap::new());
    let (writes, seconds) = (AtomicU64::new(0), AtomicU64::new(0));
    run_seeds(seeds, |seed| {
        let outcome = simulate(Options { seed, steps, bug: None, with_log: false });
        writes.fetch_add(outcome.writes, Ordering::Relaxed);
        seconds.fetch_add(outcome.duration.as_secs(), Ordering::Relaxed);
        let mut failed = failed.lock();
        failed.extend(outcome.violation.map(|violation| (seed, violation)));
        failed.len() < MAX_FAILURES
    });
    let failed = failed.into_inner();
    if let Some((seed, _)) = failed.first_key_value() {
        let outcome = simulate(Options { seed: *seed, steps, bug: None, with_log: true });
        let lines: Vec<&str> = outcome.log.lines().collect();
        let last = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n");
        let list: Vec<String> = failed.iter().map(|(seed, violation)| format!("seed {seed} {violation}")).collect();
        panic!("{last}\n{}\nrepeat with: make simulate SEED={seed}", list.join("\n"));
    }
    let (writes, hours) = (writes.into_inner(), seconds.into_inner() / 3600);
    println!("{seeds} seeds, {writes} writes, {hours} simulated hours in {:.1} s", begin.elapsed().as_secs_f64());
}

/// The first violation that a planted bug causes.
pub fn find_bug(bug: PlantedBug, seeds: u64, steps: u32) -> Option<String> {
    let found = Mutex::new(None);
    run_seeds(seeds, |seed| {
        let outcome = simulate(Options { seed, steps, bug: Some(bug), with_log: false });
        if let Some(violation) = &outcome.violation {
            found.lock().get_or_insert_with(|| format!("seed {seed} {violation}"));
        }
        outcome.violation.is_none()
    });
    found.into_inner()
}
