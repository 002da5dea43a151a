//! Writes a pod's latest status to the API server, with retries.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::pod::RunningPod;

pub struct StatusPatch {
    api: Api<Pod>,
    name: String,
    uid: String,
    retry: Duration,
    status_rx: watch::Receiver<Option<PodStatus>>,
}

impl StatusPatch {
    pub fn new(pod: &Arc<RunningPod>, status_rx: watch::Receiver<Option<PodStatus>>) -> Self {
        Self { api: pod.api(), name: pod.name(), uid: pod.uid(), retry: pod.node.timings.retry, status_rx }
    }

    /// Ends after writing the last status once the sender is dropped, or when the pod no longer exists.
    pub fn run(mut self) -> BoxFuture<'static, ()> {
        async move {
            while self.status_rx.changed().await.is_ok() {
                if self.write_latest().await.is_err() {
                    return;
                }
            }
        }
        .boxed()
    }

    async fn write_latest(&mut self) -> Result<(), PodDeleted> {
        loop {
            let Some(status) = self.status_rx.borrow_and_update().clone() else { return Ok(()) };
            let patch = Patch::Strategic(patch(&self.uid, &status));
            match self.api.patch_status(&self.name, &PatchParams::default(), &patch).await {
                Ok(_) => return Ok(()),
                // 409: the name belongs to another pod.
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => return Err(PodDeleted),
                Err(kube::Error::Api(status)) if status.code == 422 => {
                    tracing::error!(
                        pod = self.name,
                        error = status.message,
                        "the API server rejected the status of a pod"
                    );
                    return Ok(());
                }
                Err(error) => {
                    tracing::debug!(pod = self.name, %error, "cannot write the status of a pod, retrying");
                    tokio::time::sleep(self.retry).await;
                }
            }
        }
    }
}

struct PodDeleted;

/// A strategic merge patch for the pod with this UID. Conditions are merged by type, so conditions of other writers are kept;
/// fields that a condition no longer has must be cleared explicitly.
fn patch(uid: &str, status: &PodStatus) -> Value {
    let mut status = serde_json::to_value(status).expect("a status has a JSON form");
    for condition in status["conditions"].as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        for field in ["reason", "message"] {
            condition.entry(field).or_insert(Value::Null);
        }
    }
    json!({"metadata": {"uid": uid}, "status": status})
}
