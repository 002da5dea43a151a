//! The agent against a simulated VPP over a real socket: it follows, repairs, and survives.

mod chaos;
mod counts;
pub mod fixture;
mod flushes;
mod followed;
mod follows;
mod holds;
mod keeps;
mod many;
mod metrics;
mod releases;
mod repairs;
mod survives;
mod warms_up;
mod withdraws;
