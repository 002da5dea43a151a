//! The agent against a simulated VPP over a real socket: it follows, repairs, and survives.

#[path = "agent/fixture.rs"]
mod fixture;
#[path = "agent/follows.rs"]
mod follows;
#[path = "agent/keeps.rs"]
mod keeps;
#[path = "agent/survives.rs"]
mod survives;
