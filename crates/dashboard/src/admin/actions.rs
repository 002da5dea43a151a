//! Operator changes: the preview of a change's effects, and the change itself.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    extract::{State, rejection::JsonRejection},
    response::{IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize};

use super::Admin;
use crate::{request_error::RequestError, sessions::Session};
use maglev_fleet::{
    NodeState,
    flow_effects::sentences,
    operator_change::{ChangeOutcome, affected_frontends, roll_out, unserved_frontends},
};
use maglev_kube::{ChangeRequest, WriteOutcome};
use maglev_model::{Name, config::AdminState, derived::DerivedName, operator_change::OperatorChange, vip::Weight};

/// Longest time to wait until a change is in effect on all nodes.
const ROLLOUT_TIMEOUT: Duration = Duration::from_secs(30);
/// Most Frontends whose effect a preview computes.
const MAX_FRONTENDS: usize = 20;
/// Longest reason in bytes. It becomes an annotation and is shown in a table.
const MAX_REASON: usize = 500;

/// An operator change as the page sends it.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "field", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Change {
    AdminState {
        backend: String,
        #[cfg_attr(test, ts(as = "crate::contract::AdminState"))]
        state: String,
    },
    Weight {
        frontend: String,
        pool: String,
        backend: String,
        weight: i64,
    },
}

/// A change, and the options of making it.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
#[serde(deny_unknown_fields)]
pub struct ChangeBody {
    change: Change,
    reason: Option<String>,
    /// Makes the change even if checks fail.
    #[serde(default)]
    force: bool,
}

/// The expected effect of a change.
#[derive(Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Preview {
    change: String,
    /// Frontends whose weights can change.
    touches: Vec<String>,
    /// The effect on new and tracked flows, a sentence for each VIP and group of nodes.
    effects: Vec<String>,
    /// The subset of `touches` that would be left without any effective weight on some node.
    leaves_unserved: Vec<String>,
    /// Number of nodes that responded.
    nodes: usize,
}

type Body<T> = Result<Json<T>, JsonRejection>;

/// The effects of a change, from the last states of the nodes. Changes nothing.
pub async fn preview(State(admin): State<Arc<Admin>>, body: Body<Change>) -> Result<Response, RequestError> {
    let change = OperatorChange::try_from(read(body)?)?;
    let mut nodes = admin.fleet.nodes();
    nodes.retain(|node| node.as_of.is_some());
    let (affected, unserved) = (affected_frontends(&nodes, &change), unserved_frontends(&nodes, &change));
    let responding = nodes.len();
    let effects = effects(&change, affected.len(), nodes).await?;
    let preview = Preview {
        change: change.to_string(),
        touches: names(&affected),
        effects,
        leaves_unserved: names(&unserved),
        nodes: responding,
    };
    Ok(Json(preview).into_response())
}

/// The effect of `change` on flows. Of many Frontends only their number, since a table is computed for each VIP and node.
async fn effects(
    change: &OperatorChange,
    frontends: usize,
    nodes: Vec<NodeState>,
) -> Result<Vec<String>, RequestError> {
    if frontends > MAX_FRONTENDS {
        let backend = change.object();
        return Ok(vec![format!(
            "The effect on {frontends} Frontends is not computed here: see maglevc whatif backend {backend}"
        )]);
    }
    let change = change.clone();
    tokio::task::spawn_blocking(move || sentences(&change, nodes)).await.map_err(|_| RequestError::Internal)
}

/// Makes a change, and reports on which nodes it is in effect.
pub async fn change(
    State(admin): State<Arc<Admin>>,
    Extension(session): Extension<Session>,
    body: Body<ChangeBody>,
) -> Result<Response, RequestError> {
    let ChangeBody { change, reason, force } = read(body)?;
    let reason = reason.map(|reason| reason.trim().to_owned()).filter(|reason| !reason.is_empty());
    if reason.as_ref().is_some_and(|reason| reason.len() > MAX_REASON || reason.chars().any(char::is_control)) {
        return Err(RequestError::BadBody(format!("reason: must be one line of at most {MAX_REASON} bytes")));
    }
    let client = admin.sessions.client(&session)?;
    let request = ChangeRequest { change: change.try_into()?, by: session.user, reason, force };
    let fleet = admin.fleet.clone();
    // A separate task: a browser that disconnects must not cancel it between the write and its Event.
    let task = tokio::spawn(async move { (roll_out(&fleet, &client, &request, ROLLOUT_TIMEOUT).await, request) });
    let (result, request) = task.await.map_err(|_| RequestError::Internal)?;
    match result {
        Ok(outcome) => Ok(Json(ChangeReport::new(request, outcome)).into_response()),
        Err(error) => {
            tracing::warn!(by = request.by, change = %request.change, %error, "operator change refused");
            Err(RequestError::Change(error))
        }
    }
}

/// The result of a change, and its progress on the nodes.
#[derive(Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
pub struct ChangeReport {
    change: String,
    old: String,
    new: String,
    written: bool,
    by: String,
    /// Field managers that lost the field.
    taken_from: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_failed: Option<String>,
    in_effect_on: usize,
    nodes: usize,
    seconds: f64,
    /// Nodes on which the change is not in effect yet, with the reason.
    pending: BTreeMap<Arc<str>, String>,
}

impl ChangeReport {
    fn new(request: ChangeRequest, outcome: ChangeOutcome) -> Self {
        let ChangeOutcome { write, nodes, pending, duration } = outcome;
        let WriteOutcome { old, new, written, taken_from, event_failed, .. } = write;
        let (change, by, in_effect_on) = (request.change.to_string(), request.by, nodes - pending.len());
        let seconds = (duration.as_secs_f64() * 10.0).round() / 10.0;
        Self { change, old, new, written, by, taken_from, event_failed, in_effect_on, nodes, seconds, pending }
    }
}

fn read<T>(body: Body<T>) -> Result<T, RequestError> {
    body.map(|Json(body)| body).map_err(|rejection| RequestError::BadBody(rejection.body_text()))
}

fn names(names: &[Name]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

impl TryFrom<Change> for OperatorChange {
    type Error = RequestError;

    fn try_from(change: Change) -> Result<Self, RequestError> {
        match change {
            Change::AdminState { backend, state } => {
                let state = match &*state {
                    "Enabled" => AdminState::Enabled,
                    "Paused" => AdminState::Paused,
                    "Disabled" => AdminState::Disabled,
                    _ => return bad_body(&format!("state: {state:?} is not one of Enabled, Paused, Disabled")),
                };
                Ok(Self::AdminState { backend: namespaced_name("backend", &backend)?, state })
            }
            Change::Weight { frontend, pool, backend, weight } => {
                let checked = u8::try_from(weight).ok().and_then(Weight::new);
                let Some(weight) = checked else {
                    return bad_body(&format!("weight: {weight} is not between 0 and 100"));
                };
                Ok(Self::Weight {
                    frontend: namespaced_name("frontend", &frontend)?,
                    pool: name_part("pool", &pool)?.into(),
                    backend: backend_part(&frontend, &backend)?.into(),
                    weight,
                })
            }
        }
    }
}

fn bad_body<T>(text: &str) -> Result<T, RequestError> {
    Err(RequestError::BadBody(text.to_owned()))
}

fn namespaced_name(field: &str, text: &str) -> Result<Name, RequestError> {
    if let Some(derived) = DerivedName::parse(&Name::from(text)) {
        return bad_body(&derived.how_to_change());
    }
    match text.split_once('/') {
        Some((namespace, name)) => Ok(Name::namespaced(name_part(field, namespace)?, name_part(field, name)?)),
        None => bad_body(&format!("{field}: {text:?} is not namespace/name")),
    }
}

/// Checks the name of a Backend in a pool of `frontend`.
fn backend_part<'t>(frontend: &str, text: &'t str) -> Result<&'t str, RequestError> {
    let name = Name::from(frontend).sibling(text);
    match DerivedName::parse(&name).or_else(|| DerivedName::parse(&Name::from(text))) {
        Some(derived) => bad_body(&derived.how_to_change()),
        None => name_part("backend", text),
    }
}

/// Checks that a name is valid in Kubernetes. It becomes part of a URL, so everything else is rejected.
fn name_part<'t>(field: &str, text: &'t str) -> Result<&'t str, RequestError> {
    let inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
    let ends = [text.bytes().next(), text.bytes().last()];
    let ends = ends.iter().all(|end| end.is_some_and(|byte| byte.is_ascii_alphanumeric()));
    if ends && text.len() <= 253 && text.bytes().all(inside) && !text.contains("..") {
        Ok(text)
    } else {
        bad_body(&format!("{field}: {text:?} is not a valid name"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<OperatorChange, String> {
        let change: Change = serde_json::from_str(json).map_err(|error| error.to_string())?;
        OperatorChange::try_from(change).map_err(|error| error.to_string())
    }

    #[test]
    fn changes_of_the_page_are_decoded() {
        let state =
            read(r#"{"field":"admin_state","backend":"shop/web-1","state":"Paused"}"#).expect("the change is valid");
        let backend = Name::namespaced("shop", "web-1");
        assert_eq!(state, OperatorChange::AdminState { backend, state: AdminState::Paused });
        let weight = r#"{"field":"weight","frontend":"shop/web","pool":"primary","backend":"web-1","weight":0}"#;
        assert_eq!(
            read(weight).expect("the change is valid").to_string(),
            "weight of web-1 in pool primary of Frontend shop/web"
        );
    }

    #[test]
    fn invalid_change_is_rejected_with_the_name_of_the_field() {
        for (json, named) in [
            (r#"{"field":"admin_state","backend":"web-1","state":"Paused"}"#, "backend: \"web-1\" is not"),
            (r#"{"field":"admin_state","backend":"node:a","state":"Paused"}"#, "it is Node a"),
            (r#"{"field":"admin_state","backend":"shop/web@10.0.0.1","state":"Paused"}"#, "of Service shop/web"),
            (
                r#"{"field":"weight","frontend":"shop/web","pool":"p","backend":"web@10.0.0.1","weight":0}"#,
                "of Service shop/web",
            ),
            (r#"{"field":"admin_state","backend":"shop/..","state":"Paused"}"#, "is not a valid name"),
            (r#"{"field":"admin_state","backend":"shop/a/b","state":"Paused"}"#, "is not a valid name"),
            (r#"{"field":"admin_state","backend":"shop/a?x","state":"Paused"}"#, "is not a valid name"),
            (r#"{"field":"admin_state","backend":"shop/","state":"Paused"}"#, "is not a valid name"),
            (r#"{"field":"admin_state","backend":"shop/a","state":"paused"}"#, "state: \"paused\""),
            (r#"{"field":"weight","frontend":"a/b","pool":"p","backend":"c","weight":101}"#, "weight: 101"),
            (r#"{"field":"weight","frontend":"a/b","pool":"p","backend":"c","weight":-1}"#, "weight: -1"),
            (r#"{"field":"address","backend":"shop/a"}"#, "unknown variant"),
        ] {
            let error = read(json).expect_err(json);
            assert!(error.contains(named), "{json}: {error}");
        }
    }
}
