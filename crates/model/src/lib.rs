//! Plain types and decisions that every room shares.
//!
//! Nothing here talks to Kubernetes, VPP or the network, reads a clock or draws a random number:
//! what a function needs to know is handed to it, so every rule can be tested with plain values.

#![warn(missing_docs)]

pub mod actual;
pub mod by_hand;
pub mod change;
pub mod config;
pub mod counters;
pub mod desired;
pub mod event;
pub mod fingerprint;
pub mod health;
pub mod name;
pub mod plan;
pub mod problem;
pub mod table;
pub mod view;
pub mod vip;
pub mod weights;

pub use name::Name;
