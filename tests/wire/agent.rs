//! The agent against a simulated VPP over a real socket.

mod backend_counters;
mod chaos;
mod clocks;
mod configuration;
mod disruption;
mod drain;
mod drift;
pub mod fixture;
mod flush;
mod foreign_neighbour;
mod legacy_plugin;
mod lies;
mod mass_removal;
mod metrics;
mod mirror;
mod moved_buckets;
mod nat;
mod ramp;
mod shared_backend;
mod spot_check;
mod state_file;
mod unchanged_state;
mod vpp_counters;
mod vpp_failures;
mod warm_up;
mod withdraw;
