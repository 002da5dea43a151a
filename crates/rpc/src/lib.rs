//! The gRPC server of an agent, and its client.
//!
//! ```text
//!  telemetry: events, snapshots ──┐                  ┌─▶ client: View, Line ─▶ fleet, cli
//!  other sources from the binary ─┴▶ server ──gRPC──┤
//!                                                    └─▶ third-party clients, by reflection
//! ```
//!
//! `proto/maglev/v1/maglev.proto` is the contract; the build generates `proto` from it. `convert` maps between messages
//! and the model, both ways. Events are encoded once per level for all watchers.

#![warn(missing_docs)]

mod convert;
mod encoded;
#[cfg(test)]
mod tests;
mod weights;

pub mod client;
pub mod proto;
pub mod server;

pub use convert::{Line, Malformed};
pub use server::{Server, ServerOptions};
