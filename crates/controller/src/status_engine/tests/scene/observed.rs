//! The stored objects of a scene, as the watches deliver them.

use std::sync::Arc;

use jiff::Timestamp;
use maglev_index::{Meta, Object, Stored, Unreadable};
use maglev_kube::{ObservedObject, StoredStatus};
use maglev_model::{
    Name,
    config::{Kind, Revision},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

pub fn observed(kind: Kind, name: &Name, spec: &Value, stored: &StoredStatus) -> ObservedObject {
    fn decode<S: DeserializeOwned>(meta: Meta, spec: &Value) -> Stored<S> {
        let spec = S::deserialize(spec).map_err(|error| Unreadable { spec: spec.clone(), error: error.to_string() });
        Stored { meta, spec }
    }
    let revision = Revision { uid: Arc::clone(&stored.uid), generation: stored.generation };
    // "web" is older than the Frontends that claim its VIP, too.
    let created = Timestamp::from_second(if name.as_str() == "shop/web" { 1 } else { 2 }).unwrap();
    let meta = Meta { name: name.clone(), revision, created };
    let object = match kind {
        Kind::HealthCheck => Object::HealthCheck(decode(meta, spec)),
        Kind::Backend => Object::Backend(decode(meta, spec)),
        Kind::Frontend => Object::Frontend(decode(meta, spec)),
        Kind::LoadBalancerConfig => Object::LoadBalancerConfig(decode(meta, spec)),
        Kind::AddressPolicy => Object::AddressPolicy(decode(meta, spec)),
        Kind::Node | Kind::Namespace | Kind::EndpointSlice => unreachable!("not kinds that users write"),
    };
    ObservedObject { object, stored: stored.clone() }
}
