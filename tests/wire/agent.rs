//! The agent against a simulated VPP over a real socket: it follows, repairs, and survives.

mod fixture;
mod follows;
mod keeps;
mod survives;
