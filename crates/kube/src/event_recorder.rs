//! Records Kubernetes Events on behalf of the leader, for `kubectl describe`.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use maglev_net::error_chain;
use tokio::time::timeout;

use super::{
    Leadership,
    status_writer::{FIELD_MANAGER, StatusKind, WriteError},
};
use maglev_model::Name;

/// Timeout of one request.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest note that the API server accepts, in bytes.
const MAX_NOTE_BYTES: usize = 1024;

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
    reporter: Reporter,
    leadership: Arc<Leadership>,
}

impl EventRecorder {
    /// Records as `identity`, and only while `leadership` holds.
    pub fn new(client: Client, identity: &str, leadership: Arc<Leadership>) -> Self {
        let reporter = Reporter { controller: FIELD_MANAGER.to_owned(), instance: Some(identity.to_owned()) };
        Self { client, reporter, leadership }
    }

    /// # Errors
    /// See [`WriteError`].
    pub async fn publish(&self, event_note: &EventNote) -> Result<(), WriteError> {
        if !self.leadership.holds() {
            return Err(WriteError::NotLeading);
        }
        let resource = event_note.kind.resource();
        let namespace = Some(event_note.name.namespace()).filter(|namespace| !namespace.is_empty());
        let regarding = ObjectReference {
            api_version: Some(resource.api_version),
            kind: Some(resource.kind),
            namespace: namespace.map(str::to_owned),
            name: Some(event_note.name.name().to_owned()),
            uid: Some(event_note.uid.to_string()),
            ..ObjectReference::default()
        };
        let event = Event {
            type_: if event_note.warning { EventType::Warning } else { EventType::Normal },
            reason: event_note.reason.clone(),
            note: Some(truncate(&event_note.note).to_owned()),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        // A Recorder that is reused counts repetitions and keeps the first note; but the note contains the numbers.
        let recorder = Recorder::new(self.client.clone(), self.reporter.clone());
        match timeout(TIMEOUT, recorder.publish(&event, &regarding)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(WriteError::Refused(error_chain(&error))),
            Err(_) => Err(WriteError::Timeout),
        }
    }
}

fn truncate(note: &str) -> &str {
    &note[..note.floor_char_boundary(MAX_NOTE_BYTES.min(note.len()))]
}
