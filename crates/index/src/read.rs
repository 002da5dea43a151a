//! Reads stored objects: applies defaults, checks rules over several fields, and extracts the readable parts of objects
//! that do not decode.
//!
//! The types of `crd` decode strictly, so an object with a value out of range does not decode. Rules over several fields
//! are checked here as well as in the schema, for objects that were stored before the schema had the rules.

mod address_policy;
mod backend;
mod frontend;
mod health_check;
mod load_balancer_config;

use std::net::IpAddr;

use serde::de::DeserializeOwned;
use serde_json::Value;

pub(crate) use self::{
    address_policy::address_policy,
    backend::backend,
    frontend::frontend,
    health_check::{CheckContext, health_check},
    load_balancer_config::load_balancer_config,
};
use super::object::Unreadable;
use maglev_model::{
    Name,
    config::Kind,
    problem::{Problem, Reason},
};

/// Maximum length in characters of a decoder's error message. The message of a condition is limited to 1 KiB.
const LONGEST_ERROR: usize = 400;

/// A field with an invalid value.
struct Invalid {
    field: &'static str,
    /// The predicate of the message: the value found and the values allowed.
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

/// Decodes one field of a raw spec. `null` counts as absent.
type FieldDecoder = fn(&Value) -> Result<(), serde_json::Error>;

/// A [`FieldDecoder`] for a field of type `T`.
fn decodes_as<T: DeserializeOwned>(value: &Value) -> Result<(), serde_json::Error> {
    T::deserialize(value).map(drop)
}

/// The field of a raw spec; `None` if absent or `null`.
fn field<'a>(spec: &'a Value, name: &str) -> Option<&'a Value> {
    spec.get(name).filter(|value| !value.is_null())
}

/// The problem of an object that does not decode. Names the first of `fields` that does not decode, if any. `outcome`
/// describes the consequences.
fn unreadable(
    kind: Kind,
    name: &Name,
    undecoded: &Unreadable,
    fields: &[(&'static str, FieldDecoder)],
    outcome: &str,
) -> Problem {
    let fault = fields.iter().find_map(|(key, decode)| {
        let error = decode(field(&undecoded.spec, key)?).err()?;
        Some((format!("spec.{key}"), error.to_string()))
    });
    let (path, error) = fault.unwrap_or_else(|| (String::new(), undecoded.error.clone()));
    let error: String = error.chars().take(LONGEST_ERROR).collect();
    let part = if path.is_empty() { "the stored object" } else { &path };
    let message = format!("{} {name}: {part} cannot be read: {error}; {outcome}", kind.as_str());
    Problem::new(Reason::Unreadable, path, message)
}

/// The address of a raw spec in any spelling.
fn raw_address(spec: &Value) -> Option<IpAddr> {
    field(spec, "address")?.as_str()?.parse().ok()
}

/// Rejects loopback addresses unless they are allowed.
fn check_loopback(address: IpAddr, allow_loopback: bool) -> Result<(), Invalid> {
    if address.is_loopback() && !allow_loopback {
        let what = format!("is {address}: a loopback address is allowed only if maglevd runs with --allow-loopback");
        return Err(Invalid::new("spec.address", what));
    }
    Ok(())
}
