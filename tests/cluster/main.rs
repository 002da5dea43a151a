//! Tests against a real control plane. They share one control plane; each test has its own namespace.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy.toml allows them in tests, but not in functions that tests call"
)]

mod admin;
mod agent;
mod agent_auth;
mod agent_certificates;
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
mod lost_secrets;
mod maglevc;
mod maglevd;
mod memory;
mod metrics;
mod node;
mod node_selector;
mod operator_change;
mod packets;
mod promtool;
mod proxies;
mod sandbox;
mod scrapes;
mod services;
mod stalled_probes;
mod table_fingerprints;
mod tenant;
mod third_party;
mod watches;
