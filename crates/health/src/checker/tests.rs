//! The scheduling against a scripted prober, in virtual time: no socket, no real waiting, and the
//! same seed gives the same run.

mod cadence;
mod changes;
mod counters;
mod starvation;
mod suspicion;
mod world;
