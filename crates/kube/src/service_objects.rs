//! The parts of Services and of Frontends from which the controller computes the Frontends of Services.

use std::{collections::BTreeMap, net::IpAddr, num::NonZeroU16, sync::Arc};

use jiff::Timestamp;
use serde::Deserialize as _;
use serde_json::Value;

use super::raw_object::RawObject;
use maglev_crd::Condition;
use maglev_model::{
    Name,
    vip::{Family, Protocol, Service},
};

/// `spec.loadBalancerClass` of the Services that this load balancer serves.
pub const SERVICE_CLASS: &str = "maglev.vpp.io/vpp";
/// Prefix of the annotations that a Service may have, and of the conditions that the controller sets on it.
pub const PREFIX: &str = "maglev.vpp.io/";
/// The label of a Frontend with the name of the Service that it was made for.
pub const SERVICE_LABEL: &str = "maglev.vpp.io/service";

/// A Service of the class, or one that still has conditions from a time when it was.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceObject {
    pub name: Name,
    pub uid: Arc<str>,
    /// `metadata.resourceVersion`.
    pub version: String,
    /// `metadata.generation`; 0 if the API server does not set it.
    pub generation: i64,
    pub created: Timestamp,
    /// True once the Service is being deleted.
    pub is_deleting: bool,
    /// `None` for a Service that is not of the class any more.
    pub spec: Option<Arc<ServiceSpec>>,
    /// The addresses in `status.loadBalancer.ingress` with `ipMode` VIP.
    pub ingress: Vec<IpAddr>,
    /// True if `status.loadBalancer.ingress` has more than these addresses.
    pub has_foreign_ingress: bool,
    /// The conditions that the controller sets.
    pub conditions: Vec<Condition>,
}

/// `spec` and annotations of a Service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceSpec {
    pub ports: Vec<ServicePort>,
    /// `ipFamilies`.
    pub families: Vec<Family>,
    /// `ipFamilyPolicy` is RequireDualStack.
    pub needs_all_families: bool,
    /// `externalTrafficPolicy` is Local.
    pub is_local: bool,
    /// `sessionAffinity` is ClientIP.
    pub has_affinity: bool,
    pub has_selector: bool,
    /// The deprecated `loadBalancerIP`.
    pub load_balancer_ip: Option<String>,
    /// The annotations with the prefix [`PREFIX`], without it.
    pub annotations: BTreeMap<String, String>,
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// Empty if the only port of the Service has no name.
    pub name: String,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    pub port: NonZeroU16,
}

/// A Frontend, made for a Service or by hand.
#[derive(Clone, Debug, PartialEq)]
pub struct FrontendObject {
    pub name: Name,
    pub uid: Arc<str>,
    /// `metadata.resourceVersion`.
    pub version: String,
    pub created: Timestamp,
    /// True once the Frontend is being deleted.
    pub is_deleting: bool,
    /// The Service that the Frontend was made for.
    pub owner: Option<FrontendOwner>,
    /// `spec.address`, even of a Frontend that does not decode; `None` if unreadable.
    pub address: Option<IpAddr>,
    /// `spec.protocol` and `spec.port`; `None` if unreadable.
    pub traffic: Option<Service>,
    /// The raw spec; `null` for a Frontend that was made by hand.
    pub spec: Value,
    /// The conditions of the present generation.
    pub conditions: Vec<Condition>,
}

/// The Service that a Frontend was made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrontendOwner {
    pub service: Name,
    /// `metadata.uid` of the Service.
    pub uid: Arc<str>,
}

impl ServiceObject {
    /// Reads a Service; `None` if it does not concern this load balancer.
    pub(crate) fn read(raw: &RawObject) -> Option<Self> {
        let text = |pointer: &str| raw.field(pointer).and_then(Value::as_str);
        let is_of_class =
            text("/spec/type") == Some("LoadBalancer") && text("/spec/loadBalancerClass") == Some(SERVICE_CLASS);
        let own = conditions(raw).filter(|condition| condition.type_.starts_with(PREFIX));
        // The API server leaves out the number 0.
        let with_generation = |condition: Condition| Condition {
            observed_generation: Some(condition.observed_generation.unwrap_or(0)),
            ..condition
        };
        let conditions: Vec<Condition> = own.map(with_generation).collect();
        if !is_of_class && conditions.is_empty() {
            return None;
        }
        let listed = raw.field("/status/loadBalancer/ingress").and_then(Value::as_array);
        let listed = listed.map_or(&[][..], Vec::as_slice);
        let ingress: Vec<IpAddr> = listed.iter().filter_map(own_ingress).collect();
        let revision = raw.revision();
        Some(Self {
            name: raw.name(),
            uid: revision.uid,
            version: raw.resource_version().to_owned(),
            generation: revision.generation,
            created: created(raw),
            is_deleting: text("/metadata/deletionTimestamp").is_some(),
            spec: is_of_class.then(|| Arc::new(ServiceSpec::read(raw))),
            has_foreign_ingress: ingress.len() != listed.len(),
            ingress,
            conditions,
        })
    }
}

/// The address of an entry of `status.loadBalancer.ingress` that the controller may have written.
fn own_ingress(entry: &Value) -> Option<IpAddr> {
    let text = |field: &str| entry.get(field).and_then(Value::as_str);
    text("ip").filter(|_| text("ipMode") == Some("VIP"))?.parse().ok()
}

impl ServiceSpec {
    fn read(raw: &RawObject) -> Self {
        let text = |field: &str| raw.field(&format!("/spec/{field}")).and_then(Value::as_str);
        let list = |field: &str| raw.field(&format!("/spec/{field}")).and_then(Value::as_array).into_iter().flatten();
        let family = |family: &Value| match family.as_str() {
            Some("IPv4") => Some(Family::V4),
            Some("IPv6") => Some(Family::V6),
            _ => None,
        };
        let annotation =
            |(key, value): (&String, &Value)| Some((key.strip_prefix(PREFIX)?.to_owned(), value.as_str()?.to_owned()));
        let annotations = raw.field("/metadata/annotations").and_then(Value::as_object).into_iter().flatten();
        let selector = raw.field("/spec/selector").and_then(Value::as_object);
        Self {
            ports: list("ports").filter_map(ServicePort::read).collect(),
            families: list("ipFamilies").filter_map(family).collect(),
            needs_all_families: text("ipFamilyPolicy") == Some("RequireDualStack"),
            is_local: text("externalTrafficPolicy") == Some("Local"),
            has_affinity: text("sessionAffinity") == Some("ClientIP"),
            has_selector: selector.is_some_and(|selector| !selector.is_empty()),
            load_balancer_ip: text("loadBalancerIP").filter(|address| !address.is_empty()).map(str::to_owned),
            annotations: annotations.filter_map(annotation).collect(),
        }
    }
}

impl ServicePort {
    fn read(port: &Value) -> Option<Self> {
        let text = |field: &str| port.get(field).and_then(Value::as_str);
        Some(Self {
            name: text("name").unwrap_or_default().to_owned(),
            protocol: text("protocol").unwrap_or("TCP").to_owned(),
            port: number(port.get("port"))?,
        })
    }

    /// The traffic to the port; `None` for a protocol that no Frontend has.
    pub fn traffic(&self) -> Option<Service> {
        Some(Service::Port { protocol: protocol(&self.protocol)?, port: self.port })
    }
}

impl FrontendObject {
    /// Reads a Frontend, even one that does not decode.
    pub(crate) fn read(raw: &RawObject) -> Self {
        let text = |pointer: &str| raw.field(pointer).and_then(Value::as_str);
        let owner = owner(raw);
        let traffic = match (text("/spec/protocol"), raw.field("/spec/port")) {
            (None, None) => Some(Service::AllPorts),
            (Some(name), port) => {
                protocol(name).zip(number(port)).map(|(protocol, port)| Service::Port { protocol, port })
            }
            (None, Some(_)) => None,
        };
        let revision = raw.revision();
        let generation = Some(revision.generation);
        Self {
            name: raw.name(),
            uid: revision.uid,
            version: raw.resource_version().to_owned(),
            created: created(raw),
            is_deleting: text("/metadata/deletionTimestamp").is_some(),
            address: text("/spec/address").and_then(|address| address.parse().ok()),
            traffic,
            spec: owner.as_ref().and_then(|_| raw.field("/spec").cloned()).unwrap_or_default(),
            owner,
            conditions: conditions(raw).filter(|condition| condition.observed_generation == generation).collect(),
        }
    }

    /// True if this was certainly read before `other`, see [`StoredStatus::is_older_than`](super::StoredStatus).
    pub fn is_older_than(&self, other: &Self) -> bool {
        let number = |object: &Self| object.version.parse::<u64>().ok();
        self.uid == other.uid && number(self).zip(number(other)).is_some_and(|(own, other)| own < other)
    }

    /// The condition `kind` of the present generation.
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.type_ == kind)
    }
}

/// The Service that controls a Frontend. The label is required, too: only the controller sets both.
fn owner(raw: &RawObject) -> Option<FrontendOwner> {
    let label = SERVICE_LABEL.replace('/', "~1");
    let label = raw.field(&format!("/metadata/labels/{label}"))?.as_str()?;
    let owners = raw.field("/metadata/ownerReferences")?.as_array()?;
    let is_service =
        |owner: &&Value| owner["kind"] == "Service" && owner["apiVersion"] == "v1" && owner["controller"] == true;
    let owner = owners.iter().find(is_service)?;
    let name = owner["name"].as_str().filter(|name| *name == label)?;
    Some(FrontendOwner { service: raw.name().sibling(name), uid: owner["uid"].as_str()?.into() })
}

/// `metadata.creationTimestamp`; an object without one counts as the newest.
fn created(raw: &RawObject) -> Timestamp {
    let text = raw.field("/metadata/creationTimestamp").and_then(Value::as_str);
    text.and_then(|text| text.parse().ok()).unwrap_or(Timestamp::MAX)
}

fn conditions(raw: &RawObject) -> impl Iterator<Item = Condition> {
    let listed = raw.field("/status/conditions").and_then(Value::as_array);
    listed.into_iter().flatten().filter_map(|condition| Condition::deserialize(condition).ok())
}

fn protocol(name: &str) -> Option<Protocol> {
    match name {
        "TCP" => Some(Protocol::Tcp),
        "UDP" => Some(Protocol::Udp),
        _ => None,
    }
}

fn number(port: Option<&Value>) -> Option<NonZeroU16> {
    u16::try_from(port?.as_u64()?).ok().and_then(NonZeroU16::new)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn raw(value: Value) -> RawObject {
        serde_json::from_value(value).expect("an object with metadata")
    }

    fn condition(kind: &str, generation: i64) -> Value {
        json!({
            "type": kind, "status": "True", "reason": "R", "message": "", "observedGeneration": generation,
            "lastTransitionTime": "2026-11-23T02:00:00Z",
        })
    }

    fn service(spec: &Value, status: &Value) -> Option<ServiceObject> {
        let annotations = json!({"maglev.vpp.io/encap": "GRE", "other/one": "x"});
        let metadata = json!({"name": "web", "namespace": "shop", "uid": "u", "annotations": annotations});
        ServiceObject::read(&raw(json!({"metadata": metadata, "spec": spec, "status": status})))
    }

    #[test]
    fn service_of_the_class_is_read() {
        let spec = json!({
            "type": "LoadBalancer", "loadBalancerClass": SERVICE_CLASS, "externalTrafficPolicy": "Local",
            "sessionAffinity": "ClientIP", "ipFamilies": ["IPv6", "IPv4"], "ipFamilyPolicy": "RequireDualStack",
            "selector": {"app": "web"}, "loadBalancerIP": "203.0.113.1",
            "ports": [{"name": "http", "port": 80, "protocol": "TCP"}, {"name": "s", "port": 81, "protocol": "SCTP"}],
        });
        let ingress = json!([{"ip": "203.0.113.1", "ipMode": "VIP"}, {"ip": "203.0.113.2", "ipMode": "Proxy"}]);
        let conditions = json!([condition("maglev.vpp.io/Accepted", 0), condition("other/Ready", 0)]);
        let status = json!({"loadBalancer": {"ingress": ingress}, "conditions": conditions});
        let read = service(&spec, &status).expect("it is of the class");
        assert_eq!(read.ingress, ["203.0.113.1".parse::<IpAddr>().unwrap()]);
        assert!(read.has_foreign_ingress && !read.is_deleting);
        assert_eq!(read.conditions.len(), 1);
        let spec = read.spec.expect("it is of the class");
        assert!(spec.is_local && spec.has_affinity && spec.has_selector && spec.needs_all_families);
        assert_eq!(spec.families, [Family::V6, Family::V4]);
        assert_eq!(spec.load_balancer_ip.as_deref(), Some("203.0.113.1"));
        assert_eq!(spec.annotations, [("encap".to_owned(), "GRE".to_owned())].into());
        let ports: Vec<_> = spec.ports.iter().map(|port| (&*port.name, port.traffic().is_some())).collect();
        assert_eq!(ports, [("http", true), ("s", false)]);
    }

    #[test]
    fn other_services_do_not_count_unless_they_have_our_conditions() {
        let none = json!({});
        for spec in [
            json!({"type": "ClusterIP"}),
            json!({"type": "LoadBalancer"}),
            json!({"type": "LoadBalancer", "loadBalancerClass": "example.com/other"}),
            json!({"type": "NodePort", "loadBalancerClass": SERVICE_CLASS}),
        ] {
            assert_eq!(service(&spec, &none), None, "{spec}");
            let left = service(&spec, &json!({"conditions": [condition("maglev.vpp.io/Accepted", 0)]}));
            assert_eq!(left.expect("it has a condition").spec, None);
        }
    }

    fn frontend(metadata: &Value, spec: &Value, status: &Value) -> FrontendObject {
        FrontendObject::read(&raw(json!({"metadata": metadata, "spec": spec, "status": status})))
    }

    #[test]
    fn frontend_belongs_to_the_service_in_label_and_owner() {
        let owner = json!({"apiVersion": "v1", "kind": "Service", "name": "web", "uid": "s", "controller": true});
        let metadata = |label: &str, owner: &Value| {
            json!({
                "name": "web-80-tcp", "namespace": "shop", "uid": "f", "generation": 2,
                "labels": {SERVICE_LABEL: label}, "ownerReferences": [owner],
            })
        };
        let spec = json!({"address": "203.0.113.1", "protocol": "TCP", "port": 80});
        let status = json!({"conditions": [condition("Accepted", 2), condition("Programmed", 1)]});
        let read = frontend(&metadata("web", &owner), &spec, &status);
        let expected = FrontendOwner { service: Name::namespaced("shop", "web"), uid: "s".into() };
        assert_eq!((read.owner.as_ref(), &read.spec), (Some(&expected), &spec));
        assert_eq!(read.address, "203.0.113.1".parse().ok());
        assert!(matches!(read.traffic, Some(Service::Port { protocol: Protocol::Tcp, .. })));
        assert!(read.condition("Accepted").is_some() && read.condition("Programmed").is_none());

        let by_hand = frontend(&metadata("other", &owner), &spec, &json!({}));
        assert_eq!((by_hand.owner, by_hand.spec), (None, Value::Null));
        let mut shared = owner;
        shared["controller"] = false.into();
        assert_eq!(frontend(&metadata("web", &shared), &spec, &json!({})).owner, None);
    }

    #[test]
    fn claim_of_an_unreadable_frontend_is_read_as_far_as_possible() {
        let metadata = json!({"name": "web", "namespace": "shop"});
        let read = |spec: Value| {
            let read = frontend(&metadata, &spec, &json!({}));
            (read.address.map(|address| address.to_string()), read.traffic)
        };
        let address = Some("203.0.113.1".to_owned());
        assert_eq!(read(json!({"address": "203.0.113.1", "encap": 7})), (address.clone(), Some(Service::AllPorts)));
        assert_eq!(read(json!({"address": "203.0.113.1", "protocol": "SCTP", "port": 1})), (address.clone(), None));
        assert_eq!(read(json!({"address": "203.0.113.1", "port": 1})), (address, None));
        assert_eq!(read(json!({"address": 7})), (None, Some(Service::AllPorts)));
    }

    #[test]
    fn older_read_of_a_frontend_is_recognized() {
        let read = |version: &str| {
            let metadata = json!({"name": "web", "namespace": "shop", "uid": "f", "resourceVersion": version});
            frontend(&metadata, &json!({}), &json!({}))
        };
        assert!(read("9").is_older_than(&read("10")));
        assert!(!read("10").is_older_than(&read("10")) && !read("x").is_older_than(&read("10")));
    }
}
