//! Objects as raw JSON with metadata, readable by this build or not.
//!
//! A typed list fails as a whole for one object that serde cannot read, and a typed watch skips the object, so that it
//! looks deleted. Raw JSON always decodes; [`RawObject::object`] then reads the spec and keeps an unreadable one beside
//! its error.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use jiff::Timestamp;
use kube::{
    Resource,
    api::ObjectMeta,
    core::{ApiResource, DynamicResourceScope},
};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _, MapAccess, Visitor},
};
use serde_json::{Map, Value, value::RawValue};

use super::kinds::name_of;
use maglev_crd::DRAIN_ANNOTATION;
use maglev_index::{Meta, NamespaceObject, NodeObject, Object, Stored, Unreadable};
use maglev_model::{
    Name,
    config::{Kind, Revision},
};

mod slice;

/// The label of an EndpointSlice with the name of its Service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// An object as the API server stores it.
#[derive(Clone, Debug)]
pub(crate) struct RawObject {
    metadata: ObjectMeta,
    /// Without `endpoints`.
    json: Value,
    /// `endpoints` of an EndpointSlice, not decoded: most EndpointSlices of a cluster are dropped after a look at their labels.
    endpoints: Option<Box<RawValue>>,
}

impl<'de> Deserialize<'de> for RawObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let RawFields { json, endpoints } = deserializer.deserialize_map(FieldsVisitor)?;
        let mut json = Value::Object(json);
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
        Ok(Self { metadata, json, endpoints })
    }
}

/// The fields of an object.
struct RawFields {
    json: Map<String, Value>,
    endpoints: Option<Box<RawValue>>,
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = RawFields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawFields, A::Error> {
        let mut fields = RawFields { json: Map::new(), endpoints: None };
        while let Some(key) = map.next_key::<String>()? {
            if key == "endpoints" {
                fields.endpoints = Some(map.next_value()?);
            } else {
                fields.json.insert(key, map.next_value()?);
            }
        }
        Ok(fields)
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
            Kind::EndpointSlice => Object::EndpointSlice(self.endpoint_slice()),
        }
    }

    /// The Service of an EndpointSlice; `None` without the label.
    pub(crate) fn service(&self) -> Option<Name> {
        let label = self.json.get("metadata")?.get("labels")?.get(SERVICE_NAME)?.as_str()?;
        Some(Name::namespaced(self.metadata.namespace.as_deref().unwrap_or_default(), label))
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

    fn annotation(&self, key: &str) -> Option<String> {
        let annotations = self.json.pointer("/metadata/annotations")?;
        annotations.get(key)?.as_str().map(str::to_owned)
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
            drain: self.annotation(DRAIN_ANNOTATION),
            unschedulable: self.json.pointer("/spec/unschedulable").and_then(Value::as_bool).unwrap_or(false),
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
mod tests;
