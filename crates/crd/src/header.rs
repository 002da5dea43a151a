//! A request header of an HTTP probe: its value is in the object, or in a Secret.

#![expect(unreachable_pub, reason = "KubeSchema copies each struct, with its visibility, into a function")]

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text;

/// An additional request header.
#[derive(KubeSchema, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.value) != has(self.valueFrom)")
        .message("needs either value or valueFrom").reason(Reason::FieldValueInvalid).field_path(".value"),
    // A value that is stored is let through: the API server applies the rules to writes of the status, too.
    validation = Rule::new(SECRET_RULE)
        .optional_old_self(true)
        .message("must not contain the value of a header for credentials, since everyone who can read HealthChecks could read it: put the value into a Secret, and refer to it with valueFrom.secretKeyRef")
        .reason(Reason::FieldValueForbidden).field_path(".value")
)]
pub struct Header {
    /// Name of the header, such as X-Probe: at most 64 characters. Required.
    #[schemars(schema_with = "text::header_name")]
    pub name: String,

    /// Value of the header: one line of printable ASCII characters, at most 1024. Everyone who can
    /// read the HealthCheck can read the value, so headers for credentials (Authorization,
    /// Proxy-Authorization, Cookie, and names that end with Auth, Token, Secret, Password, Credentials
    /// or API-Key) need valueFrom. Required, unless valueFrom is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "text::header_value")]
    pub value: Option<String>,

    /// Source of the value, for values that must stay secret. Excludes value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<HeaderSource>,
}

/// Omits the value, which may be a secret.
impl std::fmt::Debug for Header {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Header").field("name", &self.name).field("value_from", &self.value_from).finish_non_exhaustive()
    }
}

/// The source of the value of a header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeaderSource {
    /// Key of a Secret in the namespace of the HealthCheck. Required. The role of the agents must
    /// include the Secret (chart value agent.rbac). A changed value is used within minutes. While the
    /// Secret or the key is missing, the backends are not probed and keep their weights.
    pub secret_key_ref: SecretKeyRef,
}

/// A key of a Secret in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret. Required.
    #[schemars(schema_with = "text::object_name")]
    pub name: String,

    /// Key in the data of the Secret: the value of the header, one line of printable ASCII characters,
    /// at most 8192. A line end after the value is removed. Required.
    #[schemars(schema_with = "text::secret_key")]
    pub key: String,
}

/// True for a stored value or a header that is not for credentials, see [`Header::is_for_credentials`].
const SECRET_RULE: &str = "!has(self.value) || !self.name.lowerAscii().matches('^(authorization|proxy-authorization|cookie|(.*-)?(auth|token|secret|password|credentials?|api-?key))$') || (oldSelf.hasValue() && has(oldSelf.value().value) && oldSelf.value().value == self.value)";

impl Header {
    /// True if the header is for credentials, as its name says. The rule of the schema is the same.
    pub fn is_for_credentials(&self) -> bool {
        const NAMES: [&str; 3] = ["authorization", "proxy-authorization", "cookie"];
        const ENDS: [&str; 8] =
            ["auth", "token", "secret", "password", "credential", "credentials", "apikey", "api-key"];
        let name = self.name.to_ascii_lowercase();
        let has_end = |end: &str| name.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('-'));
        NAMES.contains(&name.as_str()) || ENDS.iter().any(|end| has_end(end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str) -> Header {
        Header { name: name.into(), value: Some("s3cret".into()), value_from: None }
    }

    #[test]
    fn headers_for_credentials_are_recognized_by_their_names() {
        for name in ["Authorization", "proxy-authorization", "Cookie", "X-Api-Key", "apikey", "PRIVATE-TOKEN", "Token"]
        {
            assert!(header(name).is_for_credentials(), "{name}");
        }
        for name in ["X-Probe", "Accept", "X-Tokens", "Tokenizer", "X-Key", "If-Match", "Cookie-Policy", "Author"] {
            assert!(!header(name).is_for_credentials(), "{name}");
        }
    }
}
