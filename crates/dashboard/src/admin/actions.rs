//! Pause, enable, disable, set a weight: what it would touch, and the change itself.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    extract::{State, rejection::JsonRejection},
    response::{IntoResponse as _, Response},
};
use kube::Client;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Admin, AdminMode, cookie::Session, refused::Refused};
use maglev_fleet::by_hand::{Done, carry_out, left_unserved, touched};
use maglev_kube::{OperatorAction, Outcome};
use maglev_model::{Name, by_hand::HandChange, config::AdminState, vip::Weight};

/// How long nodes may take.
const LIMIT: Duration = Duration::from_secs(30);
/// Annotations are bounded, and this one is read in a table.
const MAX_REASON: usize = 500;

/// A change as the page says it.
#[derive(Debug, Deserialize)]
#[serde(tag = "field", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Wanted {
    AdminState { backend: String, state: String },
    Weight { frontend: String, pool: String, backend: String, weight: i64 },
}

/// A change, why, and whether it is to be made all the same.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    change: Wanted,
    reason: Option<String>,
    #[serde(default)]
    force: bool,
}

type Body<T> = Result<Json<T>, JsonRejection>;

/// What a change would touch, as far as the nodes are known. It asks nobody and changes nothing.
pub async fn preview(State(admin): State<Arc<Admin>>, body: Body<Wanted>) -> Result<Response, Refused> {
    let change = HandChange::try_from(read(body)?)?;
    let mut nodes = admin.fleet.nodes();
    nodes.retain(|node| node.as_of.is_some());
    let (touches, unserved) = (names(&touched(&nodes, &change)), names(&left_unserved(&nodes, &change)));
    let preview = json!({
        "change": change.to_string(), "touches": touches, "leaves_unserved": unserved, "nodes": nodes.len(),
    });
    Ok(Json(preview).into_response())
}

/// Makes a change and tells who has it.
pub async fn change(
    State(admin): State<Arc<Admin>>,
    Extension(session): Extension<Session>,
    body: Body<Order>,
) -> Result<Response, Refused> {
    let Order { change, reason, force } = read(body)?;
    let reason = reason.map(|reason| reason.trim().to_owned()).filter(|reason| !reason.is_empty());
    if reason.as_ref().is_some_and(|reason| reason.len() > MAX_REASON || reason.chars().any(char::is_control)) {
        return Err(Refused::BadBody(format!("reason: one line of at most {MAX_REASON} bytes")));
    }
    let client = admin.client(&session)?;
    let action = OperatorAction { change: change.try_into()?, by: session.who, reason, force };
    let fleet = admin.fleet.clone();
    // A browser that goes away must not end it between the write and its Event.
    let work = tokio::spawn(async move { (carry_out(&fleet, &client, &action, LIMIT).await, action) });
    let (done, action) = work.await.map_err(|_| Refused::Broken)?;
    match done {
        Ok(done) => Ok(Json(Changed::new(action, done)).into_response()),
        Err(err) => {
            tracing::warn!(by = action.by, change = %action.change, %err, "operator-action-refused");
            Err(Refused::Change(err))
        }
    }
}

/// What was changed, and who has it.
#[derive(Serialize)]
struct Changed {
    change: String,
    old: String,
    new: String,
    written: bool,
    by: String,
    taken_from: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_failed: Option<String>,
    in_effect_on: usize,
    nodes: usize,
    seconds: f64,
    /// What the others wait for.
    pending: BTreeMap<Arc<str>, String>,
}

impl Changed {
    fn new(action: OperatorAction, done: Done) -> Self {
        let Done { outcome, nodes, pending, took } = done;
        let Outcome { old, new, written, taken_from, event_failed, .. } = outcome;
        let (change, by, in_effect_on) = (action.change.to_string(), action.by, nodes - pending.len());
        let seconds = (took.as_secs_f64() * 10.0).round() / 10.0;
        Self { change, old, new, written, by, taken_from, event_failed, in_effect_on, nodes, seconds, pending }
    }
}

impl Admin {
    /// Who writes for them.
    fn client(&self, session: &Session) -> Result<Client, Refused> {
        match (&self.mode, &session.token) {
            (AdminMode::Basic { client, .. }, _) => Ok(client.clone()),
            (AdminMode::Token(clients), Some(token)) => {
                clients.of(token.clone()).map_err(|err| Refused::Unreachable(err.to_string()))
            }
            (AdminMode::Token(_), None) => Err(Refused::NotSignedIn),
        }
    }
}

fn read<T>(body: Body<T>) -> Result<T, Refused> {
    body.map(|Json(body)| body).map_err(|err| Refused::BadBody(err.body_text()))
}

fn names(names: &[Name]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

impl TryFrom<Wanted> for HandChange {
    type Error = Refused;

    fn try_from(wanted: Wanted) -> Result<Self, Refused> {
        match wanted {
            Wanted::AdminState { backend, state } => {
                let state = match &*state {
                    "Enabled" => AdminState::Enabled,
                    "Paused" => AdminState::Paused,
                    "Disabled" => AdminState::Disabled,
                    _ => return bad(&format!("state: {state:?} is none of Enabled, Paused, Disabled")),
                };
                Ok(Self::AdminState { backend: name("backend", &backend)?, state })
            }
            Wanted::Weight { frontend, pool, backend, weight } => {
                let checked = u8::try_from(weight).ok().and_then(Weight::new);
                let Some(weight) = checked else {
                    return bad(&format!("weight: {weight} is not between 0 and 100"));
                };
                Ok(Self::Weight {
                    frontend: name("frontend", &frontend)?,
                    pool: part("pool", &pool)?.into(),
                    backend: part("backend", &backend)?.into(),
                    weight,
                })
            }
        }
    }
}

fn bad<T>(text: &str) -> Result<T, Refused> {
    Err(Refused::BadBody(text.to_owned()))
}

fn name(field: &str, text: &str) -> Result<Name, Refused> {
    match text.split_once('/') {
        Some((namespace, name)) => Ok(Name::namespaced(part(field, namespace)?, part(field, name)?)),
        None => bad(&format!("{field}: {text:?} is not namespace/name")),
    }
}

/// A name as Kubernetes allows it. It becomes part of a URL, so nothing else may pass.
fn part<'t>(field: &str, text: &'t str) -> Result<&'t str, Refused> {
    let inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
    let ends = [text.bytes().next(), text.bytes().last()];
    let ends = ends.iter().all(|end| end.is_some_and(|byte| byte.is_ascii_alphanumeric()));
    if ends && text.len() <= 253 && text.bytes().all(inside) && !text.contains("..") {
        Ok(text)
    } else {
        bad(&format!("{field}: {text:?} is no name"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<HandChange, String> {
        let wanted: Wanted = serde_json::from_str(json).map_err(|err| err.to_string())?;
        HandChange::try_from(wanted).map_err(|err| err.to_string())
    }

    #[test]
    fn a_change_is_read_from_the_page_s_words() {
        let state = read(r#"{"field":"admin_state","backend":"shop/web-1","state":"Paused"}"#).expect("legal");
        let backend = Name::namespaced("shop", "web-1");
        assert_eq!(state, HandChange::AdminState { backend, state: AdminState::Paused });
        let weight = r#"{"field":"weight","frontend":"shop/web","pool":"primary","backend":"web-1","weight":0}"#;
        assert_eq!(read(weight).expect("legal").to_string(), "weight of web-1 in pool primary of Frontend shop/web");
    }

    #[test]
    fn what_is_no_change_is_refused_by_name() {
        for (json, named) in [
            (r#"{"field":"admin_state","backend":"web-1","state":"Paused"}"#, "backend: \"web-1\" is not"),
            (r#"{"field":"admin_state","backend":"shop/..","state":"Paused"}"#, "is no name"),
            (r#"{"field":"admin_state","backend":"shop/a/b","state":"Paused"}"#, "is no name"),
            (r#"{"field":"admin_state","backend":"shop/a?x","state":"Paused"}"#, "is no name"),
            (r#"{"field":"admin_state","backend":"shop/","state":"Paused"}"#, "is no name"),
            (r#"{"field":"admin_state","backend":"shop/a","state":"paused"}"#, "state: \"paused\""),
            (r#"{"field":"weight","frontend":"a/b","pool":"p","backend":"c","weight":101}"#, "weight: 101"),
            (r#"{"field":"weight","frontend":"a/b","pool":"p","backend":"c","weight":-1}"#, "weight: -1"),
            (r#"{"field":"address","backend":"shop/a"}"#, "unknown variant"),
        ] {
            let refused = read(json).expect_err(json);
            assert!(refused.contains(named), "{json}: {refused}");
        }
    }
}
