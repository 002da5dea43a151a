//! Kubernetes Events for volumes that cannot be mounted, like a kubelet's: `kubectl describe pod` shows them.

use kube::{
    Resource as _,
    runtime::events::{Event, EventType, Recorder, Reporter},
};

use super::{config_error::ConfigError, pod::RunningPod};

/// Publishes one Event for each distinct error of a pod's volumes.
pub struct MountEvents {
    recorder: Recorder,
    last: Option<String>,
}

impl MountEvents {
    pub fn new(pod: &RunningPod) -> Self {
        let reporter = Reporter { controller: "kubelet".to_owned(), instance: Some(pod.node.name.clone()) };
        Self { recorder: Recorder::new(pod.node.client.clone(), reporter), last: None }
    }

    /// Publishes the error. A repeated error is not published again; an Event that cannot be written is repeated with
    /// the next attempt to mount.
    pub async fn publish(&mut self, pod: &RunningPod, error: &ConfigError) {
        let note = format!("MountVolume.SetUp failed: {error}");
        if self.last.as_ref() == Some(&note) {
            return;
        }
        let event = Event {
            type_: EventType::Warning,
            reason: "FailedMount".to_owned(),
            note: Some(note.clone()),
            action: "MountVolume".to_owned(),
            secondary: None,
        };
        match self.recorder.publish(&event, &pod.object.object_ref(&())).await {
            Ok(()) => self.last = Some(note),
            Err(error) => tracing::warn!(pod = pod.name(), %error, "cannot publish an Event"),
        }
    }
}
