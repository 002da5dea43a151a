//! References from one object to another of the same namespace.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text;

/// An object of the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LocalRef {
    /// Its name.
    #[schemars(schema_with = "text::object_name")]
    pub name: String,
}

/// The kind of object that holds CA certificates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CaCertificateKind {
    /// A ConfigMap.
    #[default]
    ConfigMap,
    /// A Secret.
    Secret,
}

/// A ConfigMap or Secret of the same namespace with CA certificates under the key `ca.crt`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CaCertificateRef {
    /// The kind of object: ConfigMap (the default) or Secret.
    #[serde(default)]
    pub kind: CaCertificateKind,
    /// Its name.
    #[schemars(schema_with = "text::object_name")]
    pub name: String,
}
