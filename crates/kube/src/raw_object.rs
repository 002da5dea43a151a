//! Objects as raw JSON with metadata, readable by this build or not.
//!
//! A typed list fails as a whole for one object that serde cannot read, and a typed watch skips the object, so that it
//! looks deleted. Raw JSON always decodes; [`RawObject::object`] then reads the spec and keeps an unreadable one beside
//! its error.

use std::{borrow::Cow, collections::BTreeMap};

use jiff::Timestamp;
use kube::{
    Resource,
    api::ObjectMeta,
    core::{ApiResource, DynamicResourceScope},
};
use serde::{Deserialize, Deserializer, de::DeserializeOwned, de::Error as _};
use serde_json::Value;

use super::kinds::name_of;
use maglev_index::{Meta, NamespaceObject, NodeObject, Object, Stored, Unreadable};
use maglev_model::{
    Name,
    config::{Kind, Revision},
};

/// An object as the API server stores it.
#[derive(Clone, Debug)]
pub(crate) struct RawObject {
    metadata: ObjectMeta,
    json: Value,
}

impl<'de> Deserialize<'de> for RawObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut json = Value::deserialize(deserializer)?;
        let Some(metadata) = json.get_mut("metadata").and_then(Value::as_object_mut) else {
            return Err(D::Error::custom("an object without metadata"));
        };
        // Often larger than the rest of the object, and not needed here.
        metadata.remove("managedFields");
        let text = |key: &str| metadata.get(key).and_then(Value::as_str).map(str::to_owned);
        let metadata = ObjectMeta {
            name: text("name"),
            namespace: text("namespace"),
            uid: text("uid"),
            resource_version: text("resourceVersion"),
            generation: metadata.get("generation").and_then(Value::as_i64),
            ..ObjectMeta::default()
        };
        Ok(Self { metadata, json })
    }
}

impl Resource for RawObject {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        resource.kind.as_str().into()
    }

    fn group(resource: &ApiResource) -> Cow<'_, str> {
        resource.group.as_str().into()
    }

    fn version(resource: &ApiResource) -> Cow<'_, str> {
        resource.version.as_str().into()
    }

    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        resource.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl RawObject {
    /// `namespace/name`, or the bare name of a cluster-scoped object.
    pub(crate) fn name(&self) -> Name {
        name_of(&self.metadata)
    }

    /// A field by its JSON pointer.
    pub(crate) fn field(&self, pointer: &str) -> Option<&Value> {
        self.json.pointer(pointer)
    }

    pub(crate) fn resource_version(&self) -> &str {
        self.metadata.resource_version.as_deref().unwrap_or_default()
    }

    /// `metadata.uid` and `metadata.generation`.
    pub(crate) fn revision(&self) -> Revision {
        Revision {
            uid: self.metadata.uid.as_deref().unwrap_or_default().into(),
            generation: self.metadata.generation.unwrap_or_default(),
        }
    }

    /// Equal only for the same bytes in etcd.
    pub(crate) fn version(&self) -> ObjectVersion {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        ObjectVersion { uid: text(&self.metadata.uid), resource_version: text(&self.metadata.resource_version) }
    }

    /// The object in the form that the index reads.
    pub(crate) fn object(&self, kind: Kind) -> Object {
        match kind {
            Kind::HealthCheck => Object::HealthCheck(self.stored()),
            Kind::Backend => Object::Backend(self.stored()),
            Kind::Frontend => Object::Frontend(self.stored()),
            Kind::LoadBalancerConfig => Object::LoadBalancerConfig(self.stored()),
            Kind::AddressPolicy => Object::AddressPolicy(self.stored()),
            Kind::Node => Object::Node(self.node()),
            Kind::Namespace => Object::Namespace(self.namespace()),
        }
    }

    fn stored<S: DeserializeOwned>(&self) -> Stored<S> {
        let spec = self.json.get("spec").unwrap_or(&Value::Null);
        let spec =
            S::deserialize(spec).map_err(|error| Unreadable { error: explain::<S>(spec, &error), spec: spec.clone() });
        Stored { meta: self.index_meta(), spec }
    }

    fn index_meta(&self) -> Meta {
        let created = self.json.pointer("/metadata/creationTimestamp").and_then(Value::as_str);
        Meta {
            name: self.name(),
            revision: self.revision(),
            // The oldest object wins a conflict, so an object without a creation time counts as the newest.
            created: created.and_then(|text| text.parse().ok()).unwrap_or(Timestamp::MAX),
        }
    }

    fn labels(&self) -> BTreeMap<String, String> {
        let labels = self.json.pointer("/metadata/labels").and_then(Value::as_object);
        let label = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
        labels.into_iter().flatten().filter_map(label).collect()
    }

    fn namespace(&self) -> NamespaceObject {
        NamespaceObject { name: self.metadata.name.clone().unwrap_or_default(), labels: self.labels() }
    }

    fn node(&self) -> NodeObject {
        let addresses = self.json.pointer("/status/addresses").and_then(Value::as_array);
        let internal = |address: &Value| {
            let internal = address.get("type").and_then(Value::as_str) == Some("InternalIP");
            address.get("address").filter(|_| internal)?.as_str()?.parse().ok()
        };
        NodeObject {
            name: self.metadata.name.clone().unwrap_or_default(),
            labels: self.labels(),
            addresses: addresses.into_iter().flatten().filter_map(internal).collect(),
        }
    }
}

/// Uid and resourceVersion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ObjectVersion {
    uid: String,
    resource_version: String,
}

/// The text of serde's error for `spec`, without the values of HTTP headers, which may be secret: serde quotes a value
/// of an unexpected type.
fn explain<S: DeserializeOwned>(spec: &Value, error: &serde_json::Error) -> String {
    let mut redacted = spec.clone();
    let headers = redacted.get_mut("http").and_then(Value::as_object_mut).and_then(|http| http.remove("headers"));
    match (headers, S::deserialize(&redacted)) {
        (None, _) => error.to_string(),
        (Some(_), Err(other)) => other.to_string(),
        (Some(_), Ok(_)) => {
            "spec.http.headers: not a list of objects with name, and value or valueFrom (values are not shown)".into()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn raw(json: Value) -> RawObject {
        serde_json::from_value(json).expect("an object with metadata")
    }

    fn metadata() -> Value {
        json!({
            "name": "web-1", "namespace": "shop", "uid": "u-1", "resourceVersion": "42", "generation": 3,
            "creationTimestamp": "2026-11-23T02:00:00Z", "managedFields": [{"manager": "kubectl"}],
        })
    }

    #[test]
    fn readable_object_decodes() {
        let raw = raw(json!({"metadata": metadata(), "spec": {"address": "10.0.0.7"}}));
        let Object::Backend(stored) = raw.object(Kind::Backend) else { panic!("it is a Backend") };
        assert_eq!(stored.meta.name.as_str(), "shop/web-1");
        assert_eq!((&*stored.meta.revision.uid, stored.meta.revision.generation), ("u-1", 3));
        assert_eq!(stored.meta.created, "2026-11-23T02:00:00Z".parse().expect("a time"));
        assert!(stored.spec.is_ok(), "{:?}", stored.spec);
        assert_eq!(raw.version(), ObjectVersion { uid: "u-1".into(), resource_version: "42".into() });
    }

    #[test]
    fn undecodable_object_keeps_its_raw_spec() {
        for spec in [json!({"address": ["10.0.0.7"]}), json!("text"), json!(7), json!([]), Value::Null] {
            let raw = raw(json!({"metadata": metadata(), "spec": spec}));
            let Object::Backend(stored) = raw.object(Kind::Backend) else { panic!("it is a Backend") };
            let unreadable = stored.spec.expect_err("it does not decode");
            assert_eq!(unreadable.spec, spec);
            assert!(!unreadable.error.is_empty());
            assert_eq!(stored.meta.name.as_str(), "shop/web-1");
        }
        let raw = raw(json!({"metadata": {"name": 7, "generation": "x", "labels": 3}}));
        assert!(matches!(raw.object(Kind::Frontend), Object::Frontend(Stored { spec: Err(_), .. })));
        assert!(matches!(raw.object(Kind::Node), Object::Node(_)));
    }

    #[test]
    fn list_survives_one_undecodable_object() {
        let list = json!({
            "apiVersion": "maglev.vpp.io/v1alpha1", "kind": "BackendList", "metadata": {"resourceVersion": "7"},
            "items": [
                {"metadata": {"name": "a", "namespace": "x"}, "spec": {"address": {}}},
                {"metadata": {"name": "b", "namespace": "x"}, "spec": {"address": "10.0.0.7"}},
            ],
        });
        let list: kube::core::ObjectList<RawObject> = serde_json::from_value(list).expect("the list decodes");
        let readable: Vec<_> = list
            .items
            .iter()
            .map(|raw| matches!(raw.object(Kind::Backend), Object::Backend(Stored { spec: Ok(_), .. })))
            .collect();
        assert_eq!(readable, [false, true]);
    }

    #[test]
    fn header_values_are_never_shown() {
        let spec = |header: Value| json!({"type": "HTTP", "port": 80, "http": {"headers": [header]}});
        for header in [json!({"name": "X-Key", "value": 31_337}), json!("secret-31337")] {
            let raw = raw(json!({"metadata": metadata(), "spec": spec(header)}));
            let Object::HealthCheck(stored) = raw.object(Kind::HealthCheck) else { panic!("it is a HealthCheck") };
            let error = stored.spec.expect_err("it does not decode").error;
            assert!(!error.contains("31337") && error.contains("headers"), "{error}");
        }
    }

    #[test]
    fn node_has_labels_and_internal_addresses() {
        let raw = raw(json!({
            "metadata": {"name": "node-a", "labels": {"role": "lb"}},
            "status": {"addresses": [
                {"type": "Hostname", "address": "node-a"}, {"type": "InternalIP", "address": "10.0.0.1"},
                {"type": "InternalIP", "address": "2001:db8::1"}, {"type": "InternalIP", "address": "odd"},
            ]},
        }));
        let Object::Node(node) = raw.object(Kind::Node) else { panic!("it is a Node") };
        assert_eq!((node.name.as_str(), node.labels["role"].as_str()), ("node-a", "lb"));
        let addresses: Vec<_> = node.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["10.0.0.1", "2001:db8::1"]);
    }
}
