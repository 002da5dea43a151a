//! `apply`, then look at the receiver.

mod certificates;
mod conflicts;
mod events;
mod fixture;
mod held;
mod incremental;
mod node;
mod order;
mod reading;
mod references;
