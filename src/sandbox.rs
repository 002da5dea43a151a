//! A cluster on one machine.

pub mod demo_backend;
