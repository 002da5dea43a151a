//! From what is stored to what the index works with: defaults filled in, what the schema's CEL could
//! not hold checked, and of what does not decode as much as can be read.
//!
//! The types of `crd` decode strictly, so a value out of range arrives here as an object that does
//! not decode. What is left to check are rules over several fields, for objects that were stored
//! before the schema had them.

mod backend;
mod frontend;
mod health_check;
mod load_balancer_config;

use std::net::IpAddr;

use serde::de::DeserializeOwned;
use serde_json::Value;

pub(crate) use self::{
    backend::backend, frontend::frontend, health_check::health_check, load_balancer_config::load_balancer_config,
};
use super::object::Unreadable;
use maglev_model::{
    Name,
    config::Kind,
    problem::{Problem, Reason},
};

/// Longer texts of a decoder are cut: a condition's message has 1 KiB.
const LONGEST_ERROR: usize = 400;

/// A field whose value is not allowed.
struct Invalid {
    field: &'static str,
    /// What was found and what is allowed.
    what: String,
}

impl Invalid {
    fn new(field: &'static str, what: impl Into<String>) -> Self {
        Self { field, what: what.into() }
    }

    fn problem(self, kind: Kind, name: &Name) -> Problem {
        let Self { field, what } = self;
        Problem::new(Reason::Invalid, field, format!("{} {name}: {field} {what}", kind.as_str()))
    }
}

/// Tries to decode one field of a raw spec; absent and `null` are the same.
type FieldDecoder = fn(&Value) -> Result<(), serde_json::Error>;

/// A [`Probe`] for a field of type `T`.
fn decodes_as<T: DeserializeOwned>(value: &Value) -> Result<(), serde_json::Error> {
    T::deserialize(value).map(drop)
}

/// The field of a raw spec, unless it is absent or `null`.
fn field<'a>(spec: &'a Value, name: &str) -> Option<&'a Value> {
    spec.get(name).filter(|value| !value.is_null())
}

/// The problem of an object that does not decode: names the first of `fields` at fault, where one is.
/// `outcome` says what happens meanwhile.
fn unreadable(
    kind: Kind,
    name: &Name,
    found: &Unreadable,
    fields: &[(&'static str, FieldDecoder)],
    outcome: &str,
) -> Problem {
    let fault = fields.iter().find_map(|(key, decode)| {
        let error = decode(field(&found.spec, key)?).err()?;
        Some((format!("spec.{key}"), error.to_string()))
    });
    let (path, error) = fault.unwrap_or_else(|| (String::new(), found.error.clone()));
    let error: String = error.chars().take(LONGEST_ERROR).collect();
    let of = if path.is_empty() { "the stored object" } else { &path };
    let message = format!("{} {name}: {of} cannot be read: {error}; {outcome}", kind.as_str());
    Problem::new(Reason::Unreadable, path, message)
}

/// An address of a raw spec, in whatever spelling.
fn raw_address(spec: &Value) -> Option<IpAddr> {
    field(spec, "address")?.as_str()?.parse().ok()
}

/// Why `address` is not allowed here, if it is not.
fn refuse_loopback(address: IpAddr, allow_loopback: bool) -> Result<(), Invalid> {
    if address.is_loopback() && !allow_loopback {
        let what = format!("is {address}: a loopback address is allowed only where maglevd runs with --allow-loopback");
        return Err(Invalid::new("spec.address", what));
    }
    Ok(())
}
