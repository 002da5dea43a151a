//! Writes kubeconfig files, self-contained so that they can be copied.

use std::path::Path;

use k8s_openapi::ByteString;
use serde_json::{Value, json};

use super::SandboxError;
use super::pki::{self, IssuedCertificate};

#[derive(Debug, Clone)]
pub enum Credentials {
    Certificate(IssuedCertificate),
    /// A bearer token, such as that of a ServiceAccount.
    Token(String),
}

/// Writes a kubeconfig with one cluster, one user and one context, all named `sandbox`.
///
/// # Errors
/// The file cannot be written.
pub fn write(
    path: &Path,
    server: &str,
    authority_pem: &str,
    namespace: &str,
    credentials: &Credentials,
) -> Result<(), SandboxError> {
    let user = match credentials {
        Credentials::Certificate(issued) => json!({
            "client-certificate-data": base64(&issued.certificate_pem),
            "client-key-data": base64(&issued.key_pem),
        }),
        Credentials::Token(token) => json!({ "token": token }),
    };
    let cluster = json!({ "server": server, "certificate-authority-data": base64(authority_pem) });
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "sandbox", "cluster": cluster }],
        "users": [{ "name": "sandbox", "user": user }],
        "contexts": [{
            "name": "sandbox",
            "context": { "cluster": "sandbox", "user": "sandbox", "namespace": namespace },
        }],
        "current-context": "sandbox",
    });
    // JSON is YAML.
    pki::write(path, &format!("{config:#}\n"))
}

fn base64(text: &str) -> Value {
    serde_json::to_value(ByteString(text.as_bytes().to_vec())).expect("bytes have a JSON form")
}
