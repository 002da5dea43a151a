//! Kubernetes load balancing on VPP's Maglev plugin.
//!
//! One library, laid out in rooms; `ARCHITECTURE.md` is the map, and `tests/arrows.rs` keeps which
//! room may use which. The binaries in `src/bin/` only parse flags and wire the rooms together.

pub mod agent;
pub mod cli;
pub mod controller;
pub mod crd;
pub mod dashboard;
pub mod fleet;
pub mod health;
pub mod index;
pub mod k8s;
pub mod model;
pub mod rpc;
pub mod sandbox;
pub mod telemetry;
pub mod vpp;
