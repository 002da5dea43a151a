//! Records Kubernetes Events on behalf of the leader, for `kubectl describe`.

use std::{sync::Arc, time::Duration};

use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::Timestamp,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use maglev_net::error_chain;
use tokio::time::timeout;

use super::{
    Leadership,
    status_writer::{FIELD_MANAGER, StatusKind, WriteError},
};
use maglev_model::{Name, printable::escaped};

/// Timeout of one request.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest note that the API server accepts, in bytes.
const MAX_NOTE_BYTES: usize = 1024;
/// Longest `reportingInstance` that the API server accepts, in bytes.
const MAX_INSTANCE_BYTES: usize = 128;
/// Longest name of an object, in bytes.
const MAX_NAME_BYTES: usize = 253;
/// Namespace of Events about cluster-scoped objects.
const DEFAULT_NAMESPACE: &str = "default";

/// An Event about one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventNote {
    pub kind: StatusKind,
    pub name: Name,
    pub uid: Arc<str>,
    /// True for the type Warning, false for Normal.
    pub warning: bool,
    /// A fixed PascalCase word.
    pub reason: String,
    /// Human-readable message.
    pub note: String,
}

#[derive(Clone)]
pub struct EventRecorder {
    client: Client,
    identity: Arc<str>,
    leadership: Arc<Leadership>,
}

impl EventRecorder {
    /// Records as `identity`, and only while `leadership` holds.
    pub fn new(client: Client, identity: &str, leadership: Arc<Leadership>) -> Self {
        Self { client, identity: identity.into(), leadership }
    }

    /// # Errors
    /// See [`WriteError`].
    pub async fn publish(&self, event_note: &EventNote) -> Result<(), WriteError> {
        if !self.leadership.holds() {
            return Err(WriteError::NotLeading);
        }
        let event = event(event_note, &self.identity, Timestamp::now());
        let namespace = event.metadata.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE);
        let events: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        match timeout(TIMEOUT, events.create(&PostParams::default(), &event)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(WriteError::Refused(error_chain(&error))),
            Err(_) => Err(WriteError::Timeout),
        }
    }
}

/// The Event to create. Repetitions are not counted in a series, since the note contains the numbers.
fn event(note: &EventNote, identity: &str, now: Timestamp) -> Event {
    let resource = note.kind.resource();
    let namespace = Some(note.name.namespace()).filter(|namespace| !namespace.is_empty()).map(str::to_owned);
    let regarding = ObjectReference {
        api_version: Some(resource.api_version),
        kind: Some(resource.kind),
        namespace: namespace.clone(),
        name: Some(note.name.name().to_owned()),
        uid: Some(note.uid.to_string()),
        ..ObjectReference::default()
    };
    Event {
        action: Some("Reconcile".to_owned()),
        event_time: Some(MicroTime(now)),
        metadata: ObjectMeta {
            namespace: namespace.or_else(|| Some(DEFAULT_NAMESPACE.to_owned())),
            name: Some(event_name(note.name.name(), now)),
            ..ObjectMeta::default()
        },
        note: Some(truncate(&escaped(&note.note), MAX_NOTE_BYTES).to_owned()),
        reason: Some(note.reason.clone()),
        regarding: Some(regarding),
        reporting_controller: Some(FIELD_MANAGER.to_owned()),
        reporting_instance: Some(truncate(identity, MAX_INSTANCE_BYTES).to_owned()),
        type_: Some(if note.warning { "Warning" } else { "Normal" }.to_owned()),
        ..Event::default()
    }
}

/// The name of an Event about the object `name`: the name, shortened if necessary, and the time in nanoseconds.
fn event_name(name: &str, now: Timestamp) -> String {
    let suffix = format!(".{:x}", now.as_nanosecond());
    let start = truncate(name, MAX_NAME_BYTES - suffix.len());
    // Each part of a name between dots ends with a letter or digit.
    format!("{}{suffix}", start.trim_end_matches(['.', '-']))
}

fn truncate(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_name_is_valid_for_the_longest_object_name() {
        let now: Timestamp = "2026-11-23T02:00:00.123456789Z".parse().expect("a time");
        assert_eq!(event_name("web", now), format!("web.{:x}", now.as_nanosecond()));
        for name in ["a".repeat(253), format!("{}-{}", "a".repeat(235), "b".repeat(17)), "a.".repeat(126) + "b"] {
            let event = event_name(&name, now);
            assert!(event.len() <= MAX_NAME_BYTES, "{event}");
            let is_valid = |part: &str| {
                let ends = [part.chars().next(), part.chars().last()];
                ends.iter().all(|end| end.is_some_and(|end| end.is_ascii_alphanumeric()))
            };
            assert!(event.split('.').all(is_valid), "{event}");
        }
    }

    #[test]
    fn event_of_a_cluster_scoped_object_is_printable_and_in_the_default_namespace() {
        let note = EventNote {
            kind: StatusKind::MaglevNode,
            name: Name::cluster("node-a"),
            uid: "u-1".into(),
            warning: true,
            reason: "NotConnected".to_owned(),
            note: format!("\u{1b}[31m\u{202e}{}", "é".repeat(600)),
        };
        let event = event(&note, &"i".repeat(253), Timestamp::UNIX_EPOCH);
        assert_eq!(event.metadata.namespace.as_deref(), Some("default"));
        let regarding = event.regarding.expect("it is set");
        assert_eq!((regarding.kind.as_deref(), regarding.namespace), (Some("MaglevNode"), None));
        let note = event.note.expect("it is set");
        assert!(note.starts_with("\\u{1b}[31m\\u{202e}éé"), "control characters are escaped: {note}");
        assert_eq!((note.len(), event.reporting_instance.map(|id| id.len())), (1024, Some(128)));
    }
}
