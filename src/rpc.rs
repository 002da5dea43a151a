//! The gRPC of an agent: what it tells of itself, and the client of that.
//!
//! ```text
//!  telemetry: Subscriber, Snapshot ─┐                    ┌─▶ rpc::client: View, Line ─▶ fleet, cli
//!  what the binary hands over ──────┴▶ server ──gRPC────┤
//!                                                        └─▶ anybody's client, by reflection
//! ```
//!
//! `proto/maglev/v1/maglev.proto` is the contract; the build makes `proto` of it. `convert` goes between messages and
//! the model, both ways. Events are encoded once per level for all watchers.

#![allow(dead_code, unused_imports, unreachable_pub, reason = "the server is not here yet")]

mod convert;
mod encoded;
#[cfg(test)]
mod tests;
mod weights;

pub mod client;
pub mod proto;

pub use convert::{Line, Malformed};
