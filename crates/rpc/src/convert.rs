//! Conversion between the model and messages, both ways and without loss, except for the values of HTTP headers, which
//! may be secret: they are never sent and read back as empty.
//!
//! In messages, objects refer to other objects by name. The objects that a Frontend or a Backend refers to are in the
//! same message, listed or in `referenced`, so every message is self-contained.

mod change;
mod config;
mod counters;
mod drain;
mod enums;
mod event;
mod health;
mod node;
mod objects;
mod path;
mod probe;
mod ramp;
mod scalar;
mod state;
mod vpp;

pub use self::event::Line;
pub(crate) use self::{
    counters::read_counters,
    event::{Interner, encode},
    objects::Resolver,
    path::{path, read_paths},
    scalar::{read_time, time},
    state::{
        FrontendParts, backend_names, backend_status, frontend_names, frontend_parts, frontend_status, read_state,
        state,
    },
    vpp::read_dump,
};

/// A malformed field of a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("field {field}: {problem}")]
pub struct Malformed {
    /// Name of the field.
    pub field: &'static str,
    /// Human-readable problem, with the value found.
    pub problem: String,
}

impl Malformed {
    pub(crate) fn new(field: &'static str, value: impl std::fmt::Display) -> Self {
        Self { field, problem: format!("invalid value {value}") }
    }

    pub(crate) fn missing(field: &'static str) -> Self {
        Self { field, problem: "missing".to_owned() }
    }
}
