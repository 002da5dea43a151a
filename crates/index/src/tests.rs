//! Tests that apply objects and check the received configuration.

mod address_grants;
mod addresses;
mod certificates;
mod conflicts;
mod events;
mod fixture;
mod header_values;
mod held;
mod incremental;
mod node;
mod order;
mod policies;
mod policy_limits;
mod policy_properties;
mod reading;
mod references;
mod services;
