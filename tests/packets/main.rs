//! Tests with packets: clients and backends in network namespaces, and VPPs between them. Each test programs the VPPs itself;
//! `tests/cluster/packets.rs` has the tests with agents.
//!
//! Tests in a module `real` run on the real VPP whose path is in `MAGLEV_VPP`, and are skipped without it; the others run on
//! simulated ones.
//!
//! The tests need root and `/dev/net/tun`. Elsewhere each prints that it is not run.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy.toml allows them in tests, but not in functions that tests call"
)]

mod affinity;
mod backends;
mod connection;
mod encapsulation;
mod flows;
mod lab;
mod load;
mod lost_vpp;
mod namespaces;
mod packet_size;
mod path_probe;
mod preview;
mod shares;
mod trace;
mod vpp;
