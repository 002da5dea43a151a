//! References from one object to another of the same namespace.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text;

/// A reference to an object in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LocalRef {
    /// Name of the object. Required.
    #[schemars(schema_with = "text::object_name")]
    pub name: String,
}

/// The kind of an object that holds CA certificates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CaCertificateKind {
    /// `ConfigMap`.
    #[default]
    ConfigMap,
    /// `Secret`.
    Secret,
}

/// A reference to a ConfigMap or Secret in the same namespace whose key `ca.crt` holds CA certificates (PEM).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CaCertificateRef {
    /// Kind of the object: ConfigMap (the default) or Secret.
    #[serde(default)]
    pub kind: CaCertificateKind,
    /// Name of the object. Required.
    #[schemars(schema_with = "text::object_name")]
    pub name: String,
}
