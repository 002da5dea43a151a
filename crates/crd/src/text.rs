//! Texts that follow a pattern. Each is a CEL rule with a message rather than a `pattern`, for
//! which the API server would answer with nothing but the regular expression.

use schemars::{Schema, SchemaGenerator, json_schema};

/// A text of at most `max` characters that matches `pattern`, or else `message`.
fn text(max: u32, pattern: &str, message: &str) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": max,
        "x-kubernetes-validations": [{ "rule": format!("self.matches(r\"{pattern}\")"), "message": message }],
    })
}

/// The name of an object, as Kubernetes wants it for most kinds (RFC 1123 subdomain).
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

/// The value of a label of a Node.
pub fn label_value() -> Schema {
    text(
        63,
        "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$",
        "must be a label's value: letters, digits, hyphens, underscores and dots, or empty",
    )
}

/// A host name or IPv4 address; checked for its letters, not for whether it exists.
pub fn host(_: &mut SchemaGenerator) -> Schema {
    text(
        253,
        r"^[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?(\.[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)*$",
        "must be a host name such as www.example.com, or an IPv4 address, without scheme and port",
    )
}

/// A path with its query, as it stands in an HTTP request (RFC 3986).
pub fn path(_: &mut SchemaGenerator) -> Schema {
    text(
        1024,
        "^/[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*$",
        "must begin with / and hold only characters of a URL's path and query (percent-encode the others)",
    )
}

/// An HTTP token (RFC 9110) that is no header which the prober sets.
pub fn header_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 64,
        "x-kubernetes-validations": [
            {
                "rule": "self.matches(r\"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$\")",
                "message": "must be the name of a header: letters, digits, hyphens and the like, without blanks and colon",
            },
            {
                "rule": "!(self.lowerAscii() in ['host', 'content-length', 'transfer-encoding', 'connection', 'user-agent'])",
                "message": "must not be Host, Content-Length, Transfer-Encoding, Connection or User-Agent: \
                            the prober sets these (for Host, see http.host)",
                "reason": "FieldValueForbidden",
            },
        ],
    })
}

/// The value of a header: one line.
pub fn header_value(_: &mut SchemaGenerator) -> Schema {
    text(
        1024,
        r"^([!-~]([\t -~]*[!-~])?)?$",
        "must be one line of printable ASCII characters, without blanks at either end",
    )
}

/// The full name of a gRPC service.
pub fn grpc_service(_: &mut SchemaGenerator) -> Schema {
    text(253, "^[A-Za-z0-9_.-]+$", "must be the full name of a gRPC service, such as shop.v1.Cart")
}
