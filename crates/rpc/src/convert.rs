//! Between the model and its messages on the wire, both ways and without loss, but for the values of HTTP headers:
//! those may be secret and are never sent, so they read back as empty.
//!
//! Objects refer to others by name on the wire. What a Frontend or a Backend refers to is in the same message: among
//! what is listed there, or in `referenced`. So a message is understood by itself, whatever the reader knows.

mod change;
mod config;
mod enums;
mod event;
mod health;
mod node;
mod objects;
mod probe;
mod scalar;
mod state;
mod vpp;

pub use self::event::Line;
pub(crate) use self::{
    event::{Words, encode},
    objects::Resolver,
    scalar::{read_time, time},
    state::{
        FrontendParts, backend_names, backend_status, frontend_names, frontend_parts, frontend_status, read_state,
        state,
    },
    vpp::{read_counters, read_dump},
};

/// A message that is not what an agent sends.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is not valid: {found}")]
pub struct Malformed {
    /// The field.
    pub field: &'static str,
    /// What was found.
    pub found: String,
}

impl Malformed {
    pub(crate) fn new(field: &'static str, found: impl Into<String>) -> Self {
        Self { field, found: found.into() }
    }

    pub(crate) fn missing(field: &'static str) -> Self {
        Self::new(field, "nothing")
    }
}
