//! The gRPC of a whole agent: a client that nobody here wrote.

mod python;
mod world;
