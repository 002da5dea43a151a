//! VIPs of the Frontends in a manifest, for `--from`. Other kinds are ignored; a document that cannot be read is an error.

use std::net::IpAddr;

use maglev_crd::{FrontendSpec, GROUP, Protocol};
use serde_json::Value;

use super::vip::{Scheme, Vip};

/// The place of an error: file, and document with its first line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub file: String,
    pub document: usize,
    pub line: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, document {} (line {})", self.file, self.document, self.line)
    }
}

/// Errors of a manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("{place}: not valid YAML: {detail}")]
    Syntax { place: Place, detail: String },
    #[error("{place}: not a Kubernetes object: {field} is missing")]
    NoObject { place: Place, field: &'static str },
    #[error("{place}: Frontend {name}: {field}: {detail}")]
    Field { place: Place, name: String, field: String, detail: String },
}

/// The VIPs of a manifest.
#[derive(Debug, Default)]
pub struct ManifestVips {
    pub vips: Vec<Vip>,
    /// Names of Frontends without a port: all traffic to the address, so no port is known to test.
    pub without_port: Vec<String>,
}

/// Reads all Frontends of `text`. TCP Frontends on `http_ports` and `https_ports` are tested with HTTP requests.
///
/// # Errors
/// A document is not valid YAML, not an object, or a Frontend that the API server would reject.
pub fn read(file: &str, text: &str, http_ports: &[u16], https_ports: &[u16]) -> Result<ManifestVips, ManifestError> {
    let mut found = ManifestVips::default();
    let documents = split(text);
    for (index, (line, document)) in documents.into_iter().enumerate() {
        let place = Place { file: file.to_owned(), document: index + 1, line };
        let value: Value = match serde_saphyr::from_str(&document) {
            Ok(value) => value,
            Err(error) => return Err(ManifestError::Syntax { place, detail: first_line(&error.to_string()) }),
        };
        for object in objects(value) {
            let kind = object.get("kind").and_then(Value::as_str);
            let version = object.get("apiVersion").and_then(Value::as_str);
            let (Some(kind), Some(version)) = (kind, version) else {
                let field = if kind.is_none() { "kind" } else { "apiVersion" };
                return Err(ManifestError::NoObject { place, field });
            };
            if kind == "Frontend" && version.split('/').next() == Some(GROUP) {
                add(&mut found, &object, &place, (http_ports, https_ports))?;
            }
        }
    }
    Ok(found)
}

/// The documents with their first lines. Each is preceded by empty lines, so that positions in errors are those of the file.
fn split(text: &str) -> Vec<(usize, String)> {
    let mut documents = vec![(1, String::new())];
    for (index, line) in text.lines().enumerate() {
        let is_separator =
            line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '#']));
        if is_separator {
            documents.push((index + 2, "\n".repeat(index + 1)));
        } else if let Some((_, document)) = documents.last_mut() {
            document.push_str(line);
            document.push('\n');
        }
    }
    let has_content =
        |text: &str| text.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
    documents.retain(|(_, text)| has_content(text));
    documents
}

/// The objects of a document, which may be a list.
fn objects(document: Value) -> Vec<Value> {
    match document.get("items").and_then(Value::as_array) {
        Some(items) => items.clone(),
        None if document.is_null() => vec![],
        None => vec![document],
    }
}

fn add(
    found: &mut ManifestVips,
    object: &Value,
    place: &Place,
    (http_ports, https_ports): (&[u16], &[u16]),
) -> Result<(), ManifestError> {
    let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("without a name");
    let fail = |field: String, detail: String| ManifestError::Field {
        place: place.clone(),
        name: name.to_owned(),
        field,
        detail,
    };
    let Some(spec) = object.get("spec") else {
        return Err(fail("spec".to_owned(), "is missing".to_owned()));
    };
    let spec: FrontendSpec = serde_path_to_error::deserialize(spec).map_err(|error| {
        let path = error.path().to_string();
        let field = if path == "." { "spec".to_owned() } else { format!("spec.{path}") };
        fail(field, error.into_inner().to_string())
    })?;
    let address = IpAddr::from(spec.address);
    let (protocol, port) = match (spec.protocol, spec.port) {
        (Some(protocol), Some(port)) => (protocol, u16::try_from(port.get()).unwrap_or(u16::MAX)),
        (None, None) => {
            found.without_port.push(name.to_owned());
            return Ok(());
        }
        (Some(_), None) => {
            return Err(fail("spec.port".to_owned(), "is missing: protocol and port go together".to_owned()));
        }
        (None, Some(_)) => {
            return Err(fail("spec.protocol".to_owned(), "is missing: protocol and port go together".to_owned()));
        }
    };
    let scheme = match protocol {
        Protocol::Udp => Scheme::Udp,
        Protocol::Tcp if http_ports.contains(&port) => Scheme::Http,
        Protocol::Tcp if https_ports.contains(&port) => Scheme::Https,
        Protocol::Tcp => Scheme::Tcp,
    };
    found.vips.push(Vip::new(scheme, address, port));
    Ok(())
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# VIPs
apiVersion: v1
kind: Service
metadata: {name: other}
---
apiVersion: maglev.vpp.io/v1alpha1
kind: Frontend
metadata: {name: web}
spec: {address: 203.0.113.10, protocol: TCP, port: 80, pools: []}
--- # UDP
apiVersion: maglev.vpp.io/v1alpha1
kind: Frontend
metadata: {name: dns}
spec: {address: '2001:db8::53', protocol: UDP, port: 53, pools: []}
---
apiVersion: example.com/v1
kind: Frontend
spec: {address: nonsense}
---
---
apiVersion: maglev.vpp.io/v1alpha1
kind: Frontend
metadata: {name: all}
spec: {address: 203.0.113.99, pools: []}
";

    fn urls(text: &str) -> Vec<String> {
        read("f.yaml", text, &[80], &[443]).unwrap().vips.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn frontends_of_all_documents_are_taken_and_other_kinds_ignored() {
        assert_eq!(urls(TEXT), ["http://203.0.113.10/", "udp://[2001:db8::53]:53"]);
        assert_eq!(read("f.yaml", TEXT, &[80], &[]).unwrap().without_port, ["all"]);
        let list = r#"{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "maglev.vpp.io/v1alpha1", "kind":
            "Frontend", "metadata": {"name": "a"}, "spec": {"address": "203.0.113.1", "protocol": "TCP", "port": 443,
            "pools": []}}]}"#;
        assert_eq!(urls(list), ["https://203.0.113.1/"]);
        assert_eq!(read("f.yaml", list, &[], &[]).unwrap().vips[0].to_string(), "tcp://203.0.113.1:443");
    }

    #[test]
    fn errors_name_file_document_and_field() {
        let frontend = |spec: &str| {
            format!(
                "{TEXT}---\napiVersion: maglev.vpp.io/v1alpha1\nkind: Frontend\nmetadata: {{name: bad}}\nspec: {spec}\n"
            )
        };
        for (spec, texts) in [
            ("{address: 203.0.113.300, pools: []}", ["Frontend bad: spec.address", "canonical"]),
            ("{address: 203.0.113.1, protocol: TCP, port: 70000, pools: []}", ["spec.port", "from 1 to 65535"]),
            ("{address: 203.0.113.1, protocol: TCP, pools: []}", ["spec.port", "go together"]),
            ("{address: 203.0.113.1, port: 80, pools: []}", ["spec.protocol", "go together"]),
            (
                "{address: 203.0.113.1, pools: [{name: a, backends: [{name: b, weight: 101}]}]}",
                ["spec.pools[0].backends[0].weight", "101"],
            ),
            ("{pools: []}", ["spec: ", "address"]),
        ] {
            let error = read("vips.yaml", &frontend(spec), &[], &[]).unwrap_err().to_string();
            let place = "vips.yaml, document 6 (line 26)";
            assert!(error.starts_with(place) && texts.iter().all(|text| error.contains(text)), "{error}");
        }
    }

    #[test]
    fn documents_that_are_no_objects_are_errors() {
        for (text, expected) in [
            ("a: 1\n---\nkind: [\n", "f.yaml, document 1 (line 1): not a Kubernetes object: kind is missing"),
            ("kind: Pod\n", "apiVersion is missing"),
            ("# none\n---\n{\n", "f.yaml, document 1 (line 3): not valid YAML"),
        ] {
            let error = read("f.yaml", text, &[], &[]).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
