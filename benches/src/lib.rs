//! Parts that several benchmarks share: a large node, an agent's server, processes that count, usage of processes.

pub mod counting;
pub mod large_node;
pub mod rpc;
pub mod usage;
