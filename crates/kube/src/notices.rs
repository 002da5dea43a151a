//! Kubernetes Events, for whoever leads: what `kubectl describe` shows below an object.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use tokio::time::timeout;

use super::{
    Leadership, causes::describe, status_writer::FIELD_MANAGER, status_writer::WriteError, status_writer::Written,
};
use maglev_model::Name;

/// For one Event.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest note that the API server takes, in bytes.
const LONGEST_NOTE: usize = 1024;

/// Something to tell of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The kind of object.
    pub what: Written,
    pub name: Name,
    pub uid: Arc<str>,
    /// Whether something is wrong.
    pub warning: bool,
    /// One fixed word.
    pub reason: String,
    /// A sentence for people.
    pub note: String,
}

/// Tells through one client.
#[derive(Clone)]
pub struct Notices {
    client: Client,
    reporter: Reporter,
    leadership: Arc<Leadership>,
}

impl Notices {
    /// Tells in the name of `identity` for as long as `leadership` holds.
    pub fn new(client: Client, identity: &str, leadership: Arc<Leadership>) -> Self {
        let reporter = Reporter { controller: FIELD_MANAGER.to_owned(), instance: Some(identity.to_owned()) };
        Self { client, reporter, leadership }
    }

    /// Tells it.
    ///
    /// # Errors
    /// [`WriteError`] says why it was not told.
    pub async fn publish(&self, notice: &Notice) -> Result<(), WriteError> {
        if !self.leadership.holds() {
            return Err(WriteError::NotLeading);
        }
        let resource = notice.what.resource();
        let namespace = Some(notice.name.namespace()).filter(|namespace| !namespace.is_empty());
        let about = ObjectReference {
            api_version: Some(resource.api_version),
            kind: Some(resource.kind),
            namespace: namespace.map(str::to_owned),
            name: Some(notice.name.name().to_owned()),
            uid: Some(notice.uid.to_string()),
            ..ObjectReference::default()
        };
        let event = Event {
            type_: if notice.warning { EventType::Warning } else { EventType::Normal },
            reason: notice.reason.clone(),
            note: Some(cut(&notice.note).to_owned()),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        // A Recorder that lives on counts repetitions and keeps the first note; but the note has the numbers.
        let recorder = Recorder::new(self.client.clone(), self.reporter.clone());
        match timeout(TIMEOUT, recorder.publish(&event, &about)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(WriteError::Refused(describe(&error))),
            Err(_) => Err(WriteError::Timeout),
        }
    }
}

fn cut(note: &str) -> &str {
    &note[..note.floor_char_boundary(LONGEST_NOTE.min(note.len()))]
}
