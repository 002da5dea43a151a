//! Deterministic simulation of the agent: the real index, checker and agent of one process, in one thread with a paused
//! clock, against a simulated VPP. The seed decides everything: changes of objects, failing backends, faults of the
//! connection at any byte, restarts of VPP, other clients of VPP, and crashes of the agent at any await.
//!
//! ```text
//!  world (steps of the seed) ──▶ index ─▶ checker ─▶ agent ──▶ link (faults) ──▶ simulated VPP
//!                                              monitor (invariants, log) ◀┘
//! ```
//!
//! `make simulate SEED=…` repeats one simulation and prints its log.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "clippy.toml allows them in tests, but sees none in what tests call"
)]

mod actions;
mod clock;
mod faults;
mod journal;
mod link;
mod monitor;
mod network;
mod objects;
mod oracle;
mod planted;
mod prober;
mod process;
mod recorder;
mod request;
mod rest;
mod runner;
mod world;

use crate::{
    planted::PlantedBug,
    runner::{check_seeds, find_bug},
    world::{Options, simulate},
};

/// Seeds of `make test`, which runs them without optimization; `make soak` runs [`SOAK_SEEDS`].
const SEEDS: u64 = 1_000;
const STEPS: u32 = 200;
const SOAK_SEEDS: u64 = 10_000;
/// Seeds of which each is run twice.
const REPLAYED_SEEDS: u64 = 5;
/// Limit of the seeds within which each planted bug is found.
const SEEDS_PER_BUG: u64 = 200;

/// The number of seeds, or that of the variable `MAGLEV_SIMULATION_SEEDS`.
fn seeds(default: u64) -> u64 {
    std::env::var("MAGLEV_SIMULATION_SEEDS").map_or(default, |seeds| seeds.parse().expect("a number of seeds"))
}

#[test]
fn invariants_hold_for_every_seed() {
    check_seeds(seeds(SEEDS), STEPS);
}

#[test]
#[ignore = "run by make soak"]
fn soak_invariants_hold_for_many_seeds() {
    check_seeds(seeds(SOAK_SEEDS), STEPS);
}

#[test]
#[ignore = "run by make simulate"]
fn replay() {
    let seed = std::env::var("MAGLEV_SIMULATION_SEED").expect("make simulate SEED=… sets the seed");
    let seed = seed.parse().expect("the seed is a number");
    let outcome = simulate(Options { seed, steps: STEPS, bug: None, with_log: true });
    println!("{}", outcome.log);
    assert!(outcome.violation.is_none(), "seed {seed} {}", outcome.violation.unwrap_or_default());
}

#[test]
fn same_seed_gives_the_same_log() {
    for seed in 0..seeds(REPLAYED_SEEDS) {
        let log = || simulate(Options { seed, steps: STEPS, bug: None, with_log: true }).log;
        let (first, second) = (log(), log());
        let differing = first.lines().zip(second.lines()).find(|(first, second)| first != second);
        assert!(first == second, "seed {seed}: {differing:?}");
        assert!(first.lines().count() > 1000, "seed {seed}");
    }
}

#[test]
fn planted_bugs_are_found() {
    for bug in PlantedBug::ALL {
        let violation = find_bug(bug, SEEDS_PER_BUG, STEPS);
        println!("{bug:?}: {}", violation.unwrap_or_else(|| panic!("{bug:?} is not found in {SEEDS_PER_BUG} seeds")));
    }
}
