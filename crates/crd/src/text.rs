//! Schemas of texts that follow a pattern. Each is a CEL rule with a message rather than a `pattern`,
//! since the API server reports only the regular expression for a `pattern`.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::json;

/// A text of at most `max` characters that matches `pattern`; `message` is reported otherwise.
fn text(max: u32, pattern: &str, message: &str) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": max,
        "x-kubernetes-validations": [{ "rule": format!("self.matches(r\"{pattern}\")"), "message": message }],
    })
}

/// The name of an object, as Kubernetes requires for most kinds (RFC 1123 subdomain).
pub fn object_name(_: &mut SchemaGenerator) -> Schema {
    text(
        253,
        r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        "must be the name of an object of the same namespace: lower-case letters, digits, hyphens and dots",
    )
}

/// A name within an object (RFC 1123 label).
pub fn label(_: &mut SchemaGenerator) -> Schema {
    text(
        63,
        "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        "must be a name of lower-case letters, digits and hyphens, beginning and ending with a letter or digit",
    )
}

/// The rule for a map whose keys are names of labels.
pub const LABEL_KEYS: &str =
    "self.all(key, key.matches(r'^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$'))";

/// The value of a label.
pub fn label_value() -> Schema {
    text(
        63,
        "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$",
        "must be a label value: letters, digits, hyphens, underscores and dots, or empty",
    )
}

/// A host name or IP address, optionally with a port. Only the spelling is checked.
pub fn host(_: &mut SchemaGenerator) -> Schema {
    text(
        259,
        concat!(
            r"^([A-Za-z0-9_]([-A-Za-z0-9_]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([-A-Za-z0-9_]*[A-Za-z0-9_])?)*\.?(:[0-9]{1,5})?",
            r"|\[[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\](:[0-9]{1,5})?",
            r"|[0-9A-Fa-f]*:[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*)$",
        ),
        "must be a host name such as www.example.com, or an IP address, without scheme and path; a port may follow, as in \
         www.example.com:8080 or [2001:db8::1]:8080",
    )
}

/// A regular expression that the agents can use with the meaning that the API server gives it. The rules keep the
/// compiled expression within the limit of `model::body_pattern`.
pub fn body_pattern(_: &mut SchemaGenerator) -> Schema {
    // True for a text in which the backslashes before `{}` are no escape of it.
    let unescaped = |pattern: &str| format!(r"(^|[^\\])(\\\\)*{pattern}");
    let rules = [
        ("''.matches(self) || !''.matches(self)".to_owned(), "must be a regular expression (RE2 syntax)"),
        (
            format!("!self.matches(r\"{}\")", unescaped(r"\\[pP]")),
            "must not contain a Unicode class (\\p or \\P): list the characters instead, as in [a-zäöü]",
        ),
        (
            r#"!self.matches(r"\{[0-9]+(,[0-9]*)?\}(?s:.*\{[0-9]+(,[0-9]*)?\}){8}")"#.to_owned(),
            "must not contain more than 8 repetition counts such as {2,30}",
        ),
        (
            r#"!self.matches(r"\{([0-9]+,)?[0-9]{3,}(,[0-9]*)?\}")"#.to_owned(),
            "must not contain a repetition count above 99, as in {100}",
        ),
        (
            format!("!self.matches(r\"{}\")", unescaped(r"\)\{[0-9]+(,[0-9]*)?\}")),
            "must not contain a repetition count after a group, as in (ab){2}: write the repetition out, or use * or +",
        ),
    ];
    let rules: Vec<_> = rules.iter().map(|(rule, message)| json!({ "rule": rule, "message": message })).collect();
    json_schema!({ "type": "string", "minLength": 1, "maxLength": 1024, "x-kubernetes-validations": rules })
}

/// A path, optionally with a query, of an HTTP request (RFC 3986).
pub fn path(_: &mut SchemaGenerator) -> Schema {
    text(
        1024,
        "^/[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*$",
        "must begin with / and contain only characters allowed in the path and query of a URL (percent-encode others)",
    )
}

/// The name of a header: an HTTP token (RFC 9110) other than the headers that the probe sets itself.
pub fn header_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 64,
        "x-kubernetes-validations": [
            {
                "rule": "self.matches(r\"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$\")",
                "message": "must be the name of a header (an HTTP token): letters, digits, hyphens and similar characters, \
                            without spaces and colons",
            },
            {
                "rule": "!(self.lowerAscii() in ['host', 'content-length', 'transfer-encoding', 'connection', 'user-agent'])",
                "message": "must not be Host, Content-Length, Transfer-Encoding, Connection or User-Agent: \
                            the probe sets these headers itself (for Host, use http.host)",
                "reason": "FieldValueForbidden",
            },
        ],
    })
}

/// The value of a header: one line of printable ASCII.
pub fn header_value(_: &mut SchemaGenerator) -> Schema {
    text(
        1024,
        r"^([!-~]([\t -~]*[!-~])?)?$",
        "must be one line of printable ASCII characters, without spaces at either end",
    )
}

/// A key in the data of a Secret or ConfigMap.
pub fn secret_key(_: &mut SchemaGenerator) -> Schema {
    text(253, "^[A-Za-z0-9._-]+$", "must be a key of a Secret: letters, digits, hyphens, underscores and dots")
}

/// The full name of a gRPC service.
pub fn grpc_service(_: &mut SchemaGenerator) -> Schema {
    text(253, "^[A-Za-z0-9_.-]+$", "must be the full name of a gRPC service, such as shop.v1.Cart")
}
