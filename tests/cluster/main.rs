//! What needs a real control plane: one for all tests here, a namespace per test.

#![allow(clippy::unwrap_used, clippy::panic, reason = "clippy.toml allows them in tests, but not in what tests call")]

mod admin;
mod agent;
mod bad_manifests;
mod certificates;
mod chart;
mod control_plane;
mod controller;
mod crds;
mod dashboard;
mod harness;
mod maglevc;
mod maglevd;
mod metrics;
mod node;
mod operator_action;
mod promtool;
mod starved;
mod strangers;
mod up;
mod watches;
