//! Tests that apply objects and check the received configuration.

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
mod reading;
mod references;
