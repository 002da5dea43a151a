//! Everything that crosses a wire, against real recordings and the simulator: one module per boundary.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy.toml allows them in tests, but sees none in what tests call"
)]

#[path = "wire/agent.rs"]
mod agent;
#[path = "wire/fake_vpp.rs"]
mod fake_vpp;
#[path = "wire/hostile_frames.rs"]
mod hostile_frames;
#[path = "wire/lb.rs"]
mod lb;
#[path = "wire/probes.rs"]
mod probes;
#[path = "wire/raw_client.rs"]
mod raw_client;
#[path = "wire/recordings.rs"]
mod recordings;
#[path = "wire/session.rs"]
mod session;
#[path = "wire/simulator.rs"]
mod simulator;
#[path = "wire/simulator_command.rs"]
mod simulator_command;
#[path = "wire/simulator_hostile.rs"]
mod simulator_hostile;
#[path = "wire/simulator_papi.rs"]
mod simulator_papi;
#[path = "wire/simulator_recording.rs"]
mod simulator_recording;
