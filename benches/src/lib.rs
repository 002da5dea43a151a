//! Parts shared by several benchmarks: a large node, an agent's gRPC server, counting processes, CPU and memory usage.

pub mod counting_process;
pub mod large_node;
pub mod rpc;
pub mod usage;
