//! Tests against a real control plane. They share one control plane; each test has its own namespace.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy.toml allows them in tests, but not in functions that tests call"
)]

mod admin;
mod agent;
mod agent_discovery;
mod bad_manifests;
mod certificates;
mod chart;
mod connection_flood;
mod control_plane;
mod controller;
mod cpu_starvation;
mod crds;
mod dashboard;
mod harness;
mod header_values;
mod maglevc;
mod maglevd;
mod metrics;
mod node;
mod node_selector;
mod operator_change;
mod promtool;
mod proxies;
mod sandbox;
mod third_party;
mod watches;
