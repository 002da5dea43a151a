//! Types and decisions shared by all crates.
//!
//! Pure: no access to Kubernetes, VPP or the network, no clock and no randomness. All inputs are parameters, so each
//! rule can be tested with plain values.

#![warn(missing_docs)]

pub mod actual;
pub mod body_pattern;
pub mod change;
pub mod conf;
pub mod config;
pub mod counters;
pub mod derived;
pub mod desired;
pub mod disruption;
pub mod drain;
pub mod event;
pub mod fingerprint;
pub mod flow_hash;
pub mod flushes;
pub mod frontend_status;
pub mod health;
pub mod name;
pub mod operator_change;
pub mod path;
pub mod plan;
pub mod preview;
pub mod printable;
pub mod probe_mode;
pub mod problem;
pub mod ramp;
pub mod server_map;
pub mod table;
pub mod table_change;
pub mod table_fingerprint;
pub mod trace;
pub mod value;
pub mod view;
pub mod vip;
pub mod weights;

#[cfg(test)]
mod test_objects;

pub use name::Name;
pub use server_map::ServerMap;
