//! The agent against a simulated VPP over a real socket.

mod chaos;
mod vpp_counters;
pub mod fixture;
mod flush;
mod mirror;
mod configuration;
mod mass_removal;
mod unchanged_state;
mod shared_backend;
mod metrics;
mod legacy_plugin;
mod drift;
mod vpp_failures;
mod warm_up;
mod withdraw;
