//! What needs a real control plane: one for all tests here, a namespace per test.

#[path = "cluster/chart.rs"]
mod chart;
#[path = "cluster/control_plane.rs"]
mod control_plane;
#[path = "cluster/harness.rs"]
mod harness;
#[path = "cluster/watches.rs"]
mod watches;
