//! What a written status is worth telling: the Kubernetes Events. As folded and as rationed as the status is.

use maglev_crd::BackendState;
use maglev_kube::status_writer::Written;

use super::status::Status;

/// Something to tell of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Whether something is wrong.
    pub(crate) warning: bool,
    /// One fixed word.
    pub(crate) reason: String,
    pub(crate) text: String,
}

impl Note {
    fn new(warning: bool, reason: &str, text: impl Into<String>) -> Self {
        Self { warning, reason: reason.to_owned(), text: text.into() }
    }
}

/// Conditions that are there only while something is wrong.
const WRONG: [&str; 4] = ["Conflicted", "Degraded", "ProbePathSuspect", "RemovalHeld"];
/// Conditions that are worth a line when all is well, too.
const TOLD: [&str; 4] = ["Programmed", "Available", "AgentConnected", "VPPConnected"];

/// What to tell of an object whose status has become `new`. `sentence` is what the nodes say of a Backend.
pub fn between(what: Written, old: &Status, new: &Status, sentence: Option<&str>) -> Vec<Note> {
    let mut notes = Vec::new();
    for condition in new.conditions() {
        let kind = condition.type_.as_str();
        let before = old.condition(kind).filter(|of| of.observed_generation.is_some());
        let same = before.is_some_and(|of| (&of.status, &of.reason) == (&condition.status, &condition.reason));
        if same || kind == "Ready" {
            continue;
        }
        match condition.status.as_str() {
            "True" if WRONG.contains(&kind) => notes.push(Note::new(true, &condition.reason, &*condition.message)),
            // What was well from the beginning is no news, but that it is programmed is.
            "True" if TOLD.contains(&kind) && (before.is_some() || kind == "Programmed") => {
                notes.push(Note::new(false, kind, &*condition.message));
            }
            "True" if before.is_some_and(|of| of.status == "False") => {
                notes.push(Note::new(false, kind, &*condition.message));
            }
            "False" => notes.push(Note::new(true, &condition.reason, format!("not {kind}: {}", condition.message))),
            _ => {}
        }
    }
    for kind in WRONG {
        if old.condition(kind).is_some_and(|of| of.status == "True") && new.condition(kind).is_none() {
            notes.push(Note::new(false, &format!("No{kind}"), format!("no longer {kind}")));
        }
    }
    if let (Written::Kind(_), Status::Backend(old), Status::Backend(new)) = (what, old, new)
        && old.state.is_some()
        && old.state != new.state
        && let (Some(state), Some(sentence)) = (new.state, sentence)
    {
        let warning = matches!(state, BackendState::Down | BackendState::Mixed);
        notes.push(Note::new(warning, &format!("Backend{state:?}"), sentence));
    }
    notes
}
