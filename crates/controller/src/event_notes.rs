//! The Kubernetes Events that follow from a written status. Events are therefore aggregated and rate-limited like the
//! status.

use std::sync::Arc;

use maglev_crd::BackendState;
use maglev_kube::{EventNote, StatusKind};
use maglev_model::Name;

use super::{drained::DRAINED, status::Status};

/// Conditions that exist only while something is wrong.
const NEGATIVE: [&str; 6] =
    ["Conflicted", "Degraded", "ProbePathSuspect", "RemovalHeld", "PolicyViolation", "Violated"];
/// Conditions whose change to True is published, too.
const POSITIVE: [&str; 4] = ["Programmed", "Available", "AgentConnected", "VPPConnected"];

/// The object that Events are about.
#[derive(Clone, Copy, Debug)]
pub struct Regarding<'a> {
    pub kind: StatusKind,
    pub name: &'a Name,
    pub uid: &'a Arc<str>,
}

impl Regarding<'_> {
    fn note(&self, warning: bool, reason: &str, note: impl Into<String>) -> EventNote {
        let (name, uid) = (self.name.clone(), Arc::clone(self.uid));
        EventNote { kind: self.kind, name, uid, warning, reason: reason.to_owned(), note: note.into() }
    }
}

/// The Events for the change of an object's status from `old` to `new`. `backend_note` is the message for a change of a
/// Backend's state.
pub fn event_notes(object: Regarding<'_>, old: &Status, new: &Status, backend_note: Option<&str>) -> Vec<EventNote> {
    let mut notes = Vec::new();
    for condition in new.conditions() {
        let kind = condition.type_.as_str();
        let before = old.condition(kind).filter(|old| old.observed_generation.is_some());
        let is_same = before.is_some_and(|old| (&old.status, &old.reason) == (&condition.status, &condition.reason));
        if is_same || kind == "Ready" {
            continue;
        }
        match condition.status.as_str() {
            // A drain that goes on is no warning.
            "True" if kind == DRAINED => notes.push(object.note(false, kind, &*condition.message)),
            _ if kind == DRAINED => {}
            "True" if NEGATIVE.contains(&kind) => {
                notes.push(object.note(true, &condition.reason, &*condition.message));
            }
            // A condition that is True from the start is not published, except Programmed.
            "True" if POSITIVE.contains(&kind) && (before.is_some() || kind == "Programmed") => {
                notes.push(object.note(false, kind, &*condition.message));
            }
            "True" if before.is_some_and(|old| old.status == "False") => {
                notes.push(object.note(false, kind, &*condition.message));
            }
            "False" => {
                notes.push(object.note(true, &condition.reason, format!("not {kind}: {}", condition.message)));
            }
            _ => {}
        }
    }
    for kind in NEGATIVE {
        if old.condition(kind).is_some_and(|old| old.status == "True") && new.condition(kind).is_none() {
            notes.push(object.note(false, &format!("No{kind}"), format!("no longer {kind}")));
        }
    }
    if let (Status::Backend(old), Status::Backend(new)) = (old, new)
        && old.state.is_some()
        && old.state != new.state
        && let (Some(state), Some(note)) = (new.state, backend_note)
    {
        let warning = matches!(state, BackendState::Down | BackendState::Mixed);
        notes.push(object.note(warning, &format!("Backend{state:?}"), note));
    }
    notes
}
