//! Helpers that the tests and benchmarks of several crates share.
//!
//! [`binary()`] is the only way to a program of this workspace from a test; [`checkout`] and [`target_directory`] are the
//! only places that know the layout of a checkout.

pub mod agent_server;
pub mod credentials;
pub mod netns;
pub mod objects;
pub mod python;
pub mod tokens;

mod binary;
mod change_generator;
mod event_collector;
mod limit;
mod paths;

pub use self::{
    agent_server::AgentServer,
    binary::binary,
    change_generator::ChangeGenerator,
    credentials::Credentials,
    event_collector::{EventCollector, Published},
    limit::within,
    paths::{checkout, target_directory},
};
