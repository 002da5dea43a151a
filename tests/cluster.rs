//! What needs a real control plane: one for all tests here, a namespace per test.

#![allow(clippy::unwrap_used, clippy::panic, reason = "clippy.toml allows them in tests, but not in what tests call")]

#[path = "cluster/agent.rs"]
mod agent;
#[path = "cluster/bad_manifests.rs"]
mod bad_manifests;
#[path = "cluster/chart.rs"]
mod chart;
#[path = "cluster/control_plane.rs"]
mod control_plane;
#[path = "cluster/crds.rs"]
mod crds;
#[path = "cluster/harness.rs"]
mod harness;
#[path = "cluster/maglevd.rs"]
mod maglevd;
#[path = "cluster/node.rs"]
mod node;
#[path = "cluster/up.rs"]
mod up;
#[path = "cluster/watches.rs"]
mod watches;
