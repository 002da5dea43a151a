//! The gRPC of an agent: what it tells of itself, and the client of that.
//!
//! ```text
//!  telemetry: Subscriber, Snapshot ─┐                   ┌─▶ client: View, Line ─▶ fleet, cli
//!  what the binary hands over ──────┴▶ server ──gRPC───┤
//!                                                       └─▶ anybody's client, by reflection
//! ```
//!
//! `proto/maglev/v1/maglev.proto` is the contract; the build makes `proto` of it. `convert` goes between messages and
//! the model, both ways. Events are encoded once per level for all watchers.

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
