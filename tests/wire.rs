//! Everything that crosses a wire, against real recordings and the simulator: one module per boundary.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy.toml allows them in tests, but sees none in what tests call"
)]

#[path = "wire/fake_vpp.rs"]
mod fake_vpp;
#[path = "wire/hostile_frames.rs"]
mod hostile_frames;
#[path = "wire/lb.rs"]
mod lb;
#[path = "wire/probes.rs"]
mod probes;
#[path = "wire/recordings.rs"]
mod recordings;
#[path = "wire/session.rs"]
mod session;
