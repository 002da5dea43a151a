//! Tests of the wire protocols against recordings of a real VPP, the simulator and real sockets, one module per
//! subject.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy.toml allows them in tests, but not in functions that tests call"
)]

mod agent;
mod api_metrics;
mod connections;
mod dashboard;
mod fake_vpp;
mod grpc_auth;
mod hostile_agent;
mod hostile_frames;
mod large_texts;
mod lb;
mod lb_legacy;
mod netns;
mod panics;
mod probes;
mod raw_client;
mod recordings;
mod rpc;
mod session;
mod simulator;
mod simulator_command;
mod simulator_faults;
mod simulator_hostile;
mod simulator_papi;
mod simulator_recording;
mod stats;
mod tester;
