//! The drain of a Node, whose derived Backends have no object: an annotation of the Node, written with the rights of the
//! user.

use k8s_openapi::{api::core::v1::Node, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{Api, Client};
use serde_json::Value;

use super::{ChangeTarget, Object, Origin};
use crate::operator_change::{ownership::Step, patch::annotation};
use maglev_crd::{DRAIN_ANNOTATION, DrainSpec};
use maglev_model::{Name, config::AdminState, operator_change::OperatorChange};

/// The path of the annotation.
pub const ANNOTATION: &[Step<'static>] =
    &[Step::Field("metadata"), Step::Field("annotations"), Step::Field(DRAIN_ANNOTATION)];

impl Object for Node {
    fn api(client: &Client, _: &Name) -> Api<Self> {
        Api::all(client.clone())
    }

    /// Derived Backends have no generation.
    fn generation(_: &ObjectMeta) -> i64 {
        0
    }
}

/// The name of the Node whose drain changes; `None` for another change.
pub fn name(change: &OperatorChange) -> Option<Name> {
    match Origin::parse(change.object())? {
        Origin::Node(node) => Some(Name::cluster(&node)),
        Origin::Service(_) => None,
    }
}

/// A change of the drain of a Node.
pub enum DrainRequest {
    /// Drains the Node; `None` leaves the settings of an existing drain.
    Start(Option<DrainSpec>),
    End,
}

impl DrainRequest {
    /// `None` if `change` is about another object, or not possible for a Node.
    pub fn new(change: &OperatorChange) -> Option<Self> {
        name(change)?;
        match change {
            OperatorChange::Drain { drain, .. } => Some(Self::Start(drain.map(DrainSpec::from))),
            OperatorChange::AdminState { state: AdminState::Paused, .. } => Some(Self::Start(None)),
            OperatorChange::AdminState { state: AdminState::Enabled, .. } => Some(Self::End),
            OperatorChange::AdminState { state: AdminState::Disabled, .. } | OperatorChange::Weight { .. } => None,
        }
    }
}

impl ChangeTarget {
    /// Sets or removes the annotation of `node`.
    pub fn node(change: &OperatorChange, node: Node, request: DrainRequest) -> Self {
        let metadata = node.metadata;
        let current = metadata.annotations.as_ref().and_then(|annotations| annotations.get(DRAIN_ANNOTATION)).cloned();
        let drains = current.as_ref().filter(|value| *value != "false");
        let none = DrainSpec { deadline: None, on_deadline: None };
        let new = match request {
            DrainRequest::Start(Some(drain)) => Some(drain.to_annotation()),
            DrainRequest::Start(None) => Some(drains.cloned().unwrap_or_else(|| none.to_annotation())),
            DrainRequest::End => None,
        };
        Self {
            change: change.clone(),
            generation: 0,
            old: describe(drains),
            new: describe(new.as_ref()),
            is_set: drains == new.as_ref(),
            fields: vec![(annotation(DRAIN_ANNOTATION), new.map(Value::from))],
            metadata,
        }
    }
}

/// The drain in words.
fn describe(value: Option<&String>) -> String {
    match value.map(|value| DrainSpec::from_annotation(value)) {
        None => "not drained".to_owned(),
        Some(drain) => {
            format!("drained, {}", drain.unwrap_or(DrainSpec { deadline: None, on_deadline: None }))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use maglev_model::drain::{DrainConf, OnDeadline};

    fn target(annotation: Option<&str>, change: &OperatorChange) -> ChangeTarget {
        let annotations = annotation.map(|value| json!({DRAIN_ANNOTATION: value}));
        let node = serde_json::from_value(json!({"metadata": {"name": "w1", "annotations": annotations}})).unwrap();
        ChangeTarget::node(change, node, DrainRequest::new(change).unwrap())
    }

    fn state(state: AdminState) -> OperatorChange {
        OperatorChange::AdminState { backend: Name::from("node:w1"), state }
    }

    fn drain(drain: Option<DrainConf>) -> OperatorChange {
        OperatorChange::Drain { backend: Name::from("node:w1:ipv6"), drain }
    }

    #[test]
    fn drain_of_a_node_is_an_annotation() {
        let conf = DrainConf { deadline: Some(Duration::from_mins(10)), on_deadline: OnDeadline::Flush };
        for (annotation, change, value, old, new, is_set) in [
            (None, drain(Some(conf)), Some("10m Flush"), "not drained", "drained, Flush after 10m", false),
            (Some("false"), drain(None), Some("true"), "not drained", "drained, no deadline", false),
            (Some("10m"), drain(None), Some("10m"), "drained, Keep after 10m", "drained, Keep after 10m", true),
            (Some("odd"), state(AdminState::Enabled), None, "drained, no deadline", "not drained", false),
            (None, state(AdminState::Enabled), None, "not drained", "not drained", true),
        ] {
            let target = target(annotation, &change);
            let expected = vec![("/metadata/annotations/maglev.vpp.io~1drain".to_owned(), value.map(Value::from))];
            assert_eq!(target.fields, expected);
            assert_eq!((&*target.old, &*target.new, target.is_set), (old, new, is_set), "{change}");
            assert_eq!(name(&change), Some(Name::cluster("w1")));
        }
    }

    #[test]
    fn node_is_never_disabled() {
        assert!(DrainRequest::new(&state(AdminState::Disabled)).is_none());
        let endpoint = OperatorChange::Drain { backend: Name::from("shop/web@10.0.0.1"), drain: None };
        assert!(DrainRequest::new(&endpoint).is_none());
    }
}
