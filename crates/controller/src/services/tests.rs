//! Tests of the engine, with a simulated API server.

mod assignment;
pub mod objects;
mod properties;
mod status;
pub mod world;
