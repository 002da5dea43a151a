//! Helpers that the tests and benchmarks of several crates share.
//!
//! [`binary`] is the only way to a program of this workspace from a test; [`checkout`] and [`target_directory`] are the
//! only places that know the layout of a checkout.

pub mod agent_server;
pub mod python;

mod binary;
mod limit;
mod paths;
mod world;

pub use self::{
    agent_server::AgentServer,
    binary::binary,
    limit::within,
    paths::{checkout, target_directory},
    world::World,
};
