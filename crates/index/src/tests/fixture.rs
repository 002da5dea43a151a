//! Builders of objects, and an index that has listed every kind.

use std::{collections::BTreeMap, sync::Arc};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::{Changes, Index, IndexOptions, Meta, NamespaceObject, NodeObject, Object, Stored, Unreadable};
use maglev_model::{
    Name,
    config::{Backend, Check, Config, Frontend, Kind, Member, NodeConfig, Revision, Standing},
    problem::{Problem, Reason},
};

/// The Node that the index runs on.
pub const NODE: &str = "node-a";

/// An object of `kind`, created at second `when`. A spec that does not decode becomes an unreadable object, as in a watch.
pub fn object(kind: Kind, name: &str, when: i64, generation: i64, spec: &Value) -> Object {
    let meta = Meta {
        name: name.split_once('/').map_or_else(|| Name::cluster(name), |(ns, name)| Name::namespaced(ns, name)),
        revision: Revision { uid: format!("uid-{name}-{when}").into(), generation },
        created: jiff::Timestamp::from_second(when).unwrap(),
    };
    fn stored<S: DeserializeOwned>(meta: Meta, spec: &Value) -> Stored<S> {
        let spec = S::deserialize(spec).map_err(|error| Unreadable { spec: spec.clone(), error: error.to_string() });
        Stored { meta, spec }
    }
    match kind {
        Kind::HealthCheck => Object::HealthCheck(stored(meta, spec)),
        Kind::Backend => Object::Backend(stored(meta, spec)),
        Kind::Frontend => Object::Frontend(stored(meta, spec)),
        Kind::LoadBalancerConfig => Object::LoadBalancerConfig(stored(meta, spec)),
        Kind::AddressPolicy => Object::AddressPolicy(stored(meta, spec)),
        Kind::Node | Kind::Namespace | Kind::EndpointSlice => unreachable!("see node(), namespace() and slice()"),
    }
}

pub fn check(name: &str, spec: &Value) -> Object {
    object(Kind::HealthCheck, name, 0, 1, spec)
}

/// A TCP check.
pub fn tcp(name: &str) -> Object {
    check(name, &json!({"type": "TCP", "port": 80}))
}

pub fn backend(name: &str, spec: &Value) -> Object {
    object(Kind::Backend, name, 0, 1, spec)
}

/// A backend without a check.
pub fn at(name: &str, address: &str) -> Object {
    backend(name, &json!({ "address": address }))
}

/// A backend with a check.
pub fn probed(name: &str, address: &str, check: &str) -> Object {
    backend(name, &json!({ "address": address, "healthCheckRef": { "name": check } }))
}

/// A Frontend created at `when`.
pub fn frontend(name: &str, when: i64, spec: &Value) -> Object {
    object(Kind::Frontend, name, when, 1, spec)
}

/// A Frontend's spec on TCP `port` with one pool, `primary`.
pub fn vip(address: &str, port: u16, backends: &[&str]) -> Value {
    let backends: Vec<Value> = backends.iter().map(|name| json!({ "name": name })).collect();
    json!({"address": address, "protocol": "TCP", "port": port, "pools": [{"name": "primary", "backends": backends}]})
}

/// `spec` with `field` set.
pub fn with(mut spec: Value, field: &str, value: Value) -> Value {
    spec[field] = value;
    spec
}

/// `spec` without `field`.
pub fn without(mut spec: Value, field: &str) -> Value {
    spec.as_object_mut().unwrap().remove(field);
    spec
}

pub fn lb_config(name: &str, when: i64, spec: &Value) -> Object {
    object(Kind::LoadBalancerConfig, name, when, 1, spec)
}

/// An AddressPolicy.
pub fn policy(name: &str, spec: &Value) -> Object {
    object(Kind::AddressPolicy, name, 0, 1, spec)
}

/// A Namespace with one label.
pub fn namespace(name: &str, label: &str, value: &str) -> Object {
    let labels = BTreeMap::from([(label.to_owned(), value.to_owned())]);
    Object::Namespace(NamespaceObject { name: name.to_owned(), labels })
}

/// The own Node with one label.
pub fn node(label: &str, value: &str) -> Object {
    Object::Node(NodeObject {
        name: NODE.to_owned(),
        labels: BTreeMap::from([(label.to_owned(), value.to_owned())]),
        addresses: vec!["192.0.2.7".parse().unwrap(), "2001:db8::7".parse().unwrap()],
        ..NodeObject::default()
    })
}

pub fn name(text: &str) -> Name {
    text.split_once('/').map_or_else(|| Name::cluster(text), |(ns, name)| Name::namespaced(ns, name))
}

/// An index and its receiver.
pub struct IndexFixture {
    pub index: Index,
    pub config_rx: watch::Receiver<Option<Config>>,
}

impl IndexFixture {
    /// An index that has not listed any kind.
    pub fn unlisted(allow_loopback: bool) -> Self {
        let (index, config_rx) = Index::new(IndexOptions {
            allow_loopback,
            node_name: Some(NODE.to_owned()),
            services: true,
            ..IndexOptions::default()
        });
        Self { index, config_rx }
    }

    /// An index that has not listed any kind, on a node that cannot send ICMP probes.
    pub fn without_icmp(missing: &str) -> Self {
        let icmp_missing = Some(missing.to_owned());
        let options = IndexOptions { node_name: Some(NODE.to_owned()), icmp_missing, ..IndexOptions::default() };
        let (index, config_rx) = Index::new(options);
        Self { index, config_rx }
    }

    /// An index that has listed every kind, with `objects` and the own Node.
    pub fn new(objects: Vec<Object>) -> Self {
        let mut fixture = Self::unlisted(false);
        fixture.list_all(objects);
        fixture
    }

    /// Lists every kind in one batch, with `objects` and the own Node.
    pub fn list_all(&mut self, mut objects: Vec<Object>) -> Changes {
        if !objects.iter().any(|object| object.kind() == Kind::Node) {
            objects.push(node("role", "lb"));
        }
        let mut batch = self.index.batch();
        for kind in Kind::ALL {
            batch.reset(kind, objects.iter().filter(|object| object.kind() == kind).cloned().collect());
        }
        batch.publish()
    }

    pub fn apply(&mut self, object: Object) -> Changes {
        self.index.apply(object)
    }

    pub fn delete(&mut self, kind: Kind, object: &str) -> Changes {
        self.index.delete(kind, &name(object))
    }

    pub fn config(&self) -> Config {
        self.config_rx.borrow().clone().expect("every kind is listed")
    }

    pub fn frontend(&self, object: &str) -> Arc<Frontend> {
        self.config().frontends.get(&name(object)).expect("the claim is known").clone()
    }

    pub fn backend(&self, object: &str) -> Arc<Backend> {
        self.config().backends.get(&name(object)).expect("it is readable").clone()
    }

    pub fn health_check(&self, object: &str) -> Check {
        self.backend(object).check.clone()
    }

    pub fn node_config(&self) -> NodeConfig {
        (*self.config().node).clone()
    }

    /// The members of the first pool.
    pub fn members(&self, object: &str) -> Vec<Member> {
        self.frontend(object).pools[0].members.to_vec()
    }

    /// The names of the members of the first pool.
    pub fn member_names(&self, object: &str) -> Vec<String> {
        self.members(object).iter().map(|member| member.backend.as_str().to_owned()).collect()
    }

    pub fn problems(&self, kind: Kind, object: &str) -> Vec<Problem> {
        self.index.problems(kind, &name(object)).to_vec()
    }

    /// The reasons and fields of an object's problems.
    pub fn reasons(&self, kind: Kind, object: &str) -> Vec<(Reason, String)> {
        self.problems(kind, object).into_iter().map(|problem| (problem.reason, problem.field)).collect()
    }

    /// The standing of a Frontend: `"serving"`, or the standing with reason and field of the problem.
    pub fn standing(&self, object: &str) -> String {
        match &self.frontend(object).standing {
            Standing::Serving => "serving".to_owned(),
            Standing::Held(problem) => format!("held {} {}", problem.reason, problem.field),
            Standing::Withdrawn(problem) => format!("withdrawn {} {}", problem.reason, problem.field),
        }
    }
}
