//! One pod, from binding to deletion. Run by `pods`.
//!
//! ```text
//!  pods ──latest object──► PodWorker ──stop──► containers ──status──► PodWorker ──status──► API server
//! ```

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateTerminated, ContainerStatus, Pod, PodStatus,
};
use k8s_openapi::jiff::Timestamp;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Preconditions},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    addresses::PodNamespaces,
    container::{ContainerRun, Slot, StopRx, next_stop, waiting},
    context::Context,
    mount_events::MountEvents,
    pod::RunningPod,
    registry::RegisteredPod,
    status::{Containers, RestartPolicy, StatusWriter},
    status_patch::StatusPatch,
    volumes,
};
use crate::packets::Namespace;

/// Grace period of a pod whose object was deleted (`kubectl delete --force`).
const DELETED_GRACE: Duration = Duration::from_secs(2);

/// The latest object of the pod; `None` after its deletion.
pub type ObjectRx = watch::Receiver<Option<Arc<Pod>>>;

pub struct PodWorker {
    pub node: Arc<Context>,
    pub object: Arc<Pod>,
    pub object_rx: ObjectRx,
}

impl PodWorker {
    /// Runs the pod until its object is deleted or, at `shutdown`, until its processes have exited.
    pub fn run(mut self, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        async move {
            if !is_finished(&self.object) && !self.must_stop() {
                self.run_pod(&shutdown).await;
            }
            tokio::select! {
                // Files are kept: the pod can run again on a new node of the same name.
                () = shutdown.cancelled() => return,
                () = self.delete() => {}
            }
            self.clean_up();
        }
        .boxed()
    }

    fn must_stop(&self) -> bool {
        self.object_rx.borrow().as_ref().is_none_or(|pod| pod.metadata.deletion_timestamp.is_some())
    }

    fn api(&self) -> Api<Pod> {
        Api::namespaced(self.node.client.clone(), &self.object.namespace().unwrap_or_default())
    }

    async fn run_pod(&mut self, shutdown: &CancellationToken) {
        let node = Arc::clone(&self.node);
        match place(&self.object, node.namespaces.as_ref()) {
            Place::Host => self.run_at(node.address, None, shutdown).await,
            Place::Loopback => match node.addresses.take(self.address_before()) {
                Some(ip) => {
                    self.run_at(ip, None, shutdown).await;
                    node.addresses.release(ip);
                }
                None => self.log_pending("no free pod address on the node"),
            },
            Place::Namespace(namespaces) => match namespaces.attach(self.address_before()).await {
                Ok(Some((ip, link))) => {
                    self.run_at(ip, Some(link.namespace().clone()), shutdown).await;
                    namespaces.detach(ip, link).await;
                }
                Ok(None) => self.log_pending("no free pod address on the node"),
                Err(error) => self.log_pending(&maglev_net::error_chain(&error)),
            },
        }
    }

    fn log_pending(&self, reason: &str) {
        tracing::error!(pod = self.object.name_any(), reason, "the pod stays pending");
    }

    async fn run_at(&mut self, ip: Ipv4Addr, namespace: Option<Namespace>, shutdown: &CancellationToken) {
        let (node, object) = (Arc::clone(&self.node), Arc::clone(&self.object));
        let pod = Arc::new(RunningPod { node, object, ip, namespace });
        let containers = first_statuses(&pod);
        let logs = containers.init.iter().chain(&containers.main);
        let logs = logs.map(|status| (status.name.clone(), Arc::default())).collect();
        let entry = Arc::new(RegisteredPod { uid: pod.uid(), ip, namespace: pod.namespace.clone(), logs });
        self.node.registry.insert(&pod.namespace(), &pod.name(), Arc::clone(&entry));
        self.supervise(&pod, entry, containers, shutdown).await;
    }

    /// The address in the pod's status, which it gets again if possible.
    fn address_before(&self) -> Option<Ipv4Addr> {
        self.object.status.as_ref().and_then(|status| status.pod_ip.as_ref()?.parse().ok())
    }

    /// Runs the containers, publishes their status and forwards stop requests.
    async fn supervise(
        &mut self,
        pod: &Arc<RunningPod>,
        entry: Arc<RegisteredPod>,
        containers: Containers,
        shutdown: &CancellationToken,
    ) {
        let containers_tx = Arc::new(watch::Sender::new(containers));
        let mut containers_rx = containers_tx.subscribe();
        let (stop_tx, stop_rx) = watch::channel(None);
        let (status_tx, status_rx) = watch::channel(None);
        let patching = StatusPatch::new(pod, status_rx).run();
        let patching = tokio::spawn(patching);
        let mut writer = StatusWriter::from_status(self.object.status.as_ref());
        let mut publish = |containers: &Containers, terminating: bool| {
            status_tx.send_replace(Some(writer.status(pod, containers, terminating, Timestamp::now())));
        };
        let running = run_containers(Arc::clone(pod), entry, Arc::clone(&containers_tx), stop_rx);
        tokio::pin!(running);
        publish(&containers_tx.borrow(), false);
        loop {
            tokio::select! {
                () = &mut running => break,
                _ = containers_rx.changed() => publish(&containers_rx.borrow_and_update().clone(), stop_tx.borrow().is_some()),
                grace = next_stop_request(&mut self.object_rx) => shorten(&stop_tx, grace),
                () = shutdown.cancelled(), if stop_tx.borrow().is_none() => shorten(&stop_tx, self.node.timings.stop_within),
            }
        }
        publish(&containers_tx.borrow(), stop_tx.borrow().is_some());
        drop(status_tx);
        let abort = patching.abort_handle();
        tokio::select! {
            _ = patching => {}
            () = shutdown.cancelled() => abort.abort(),
            _ = self.object_rx.wait_for(Option::is_none) => abort.abort(),
        }
    }

    /// Waits for the pod's deletion, then removes its object, which is the task of the node: no process runs any more.
    async fn delete(&mut self) {
        let retry = self.node.timings.retry;
        let deleting =
            |pod: &Option<Arc<Pod>>| pod.as_ref().is_none_or(|pod| pod.metadata.deletion_timestamp.is_some());
        if self.object_rx.wait_for(deleting).await.map_or(true, |pod| pod.is_none()) {
            return;
        }
        // Files first, so that they are gone once the object is.
        self.clean_up();
        let uid = self.object.uid();
        let preconditions = Some(Preconditions { uid, resource_version: None });
        let now = DeleteParams { grace_period_seconds: Some(0), preconditions, ..DeleteParams::default() };
        loop {
            match self.api().delete(&self.object.name_any(), &now).await {
                Ok(_) => return,
                // Already deleted, or replaced by another pod of the same name.
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => return,
                Err(error) => tracing::warn!(pod = self.object.name_any(), %error, "cannot delete a stopped pod"),
            }
            tokio::time::sleep(retry).await;
        }
    }

    fn clean_up(&self) {
        let uid = self.object.uid().unwrap_or_default();
        let namespace = self.object.namespace().unwrap_or_default();
        self.node.registry.remove(&namespace, &self.object.name_any(), &uid);
        let dir = self.node.root.join("pods").join(&uid);
        match std::fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(dir = %dir.display(), %error, "cannot remove the directory of a stopped pod");
            }
            _ => {}
        }
    }
}

/// The network of a pod.
enum Place<'a> {
    /// `hostNetwork`.
    Host,
    /// A loopback address.
    Loopback,
    /// A network namespace.
    Namespace(&'a PodNamespaces),
}

/// A pod with a token stays in the host's namespace, where it can reach the API server.
fn place<'a>(pod: &Pod, namespaces: Option<&'a PodNamespaces>) -> Place<'a> {
    let Some(spec) = pod.spec.as_ref() else { return Place::Loopback };
    match namespaces.filter(|_| spec.automount_service_account_token == Some(false)) {
        _ if spec.host_network == Some(true) => Place::Host,
        Some(namespaces) => Place::Namespace(namespaces),
        None => Place::Loopback,
    }
}

/// True if no container of the pod will run again.
fn is_finished(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// Waits for the next update with a deletion timestamp, or for the deletion. Returns the grace period.
async fn next_stop_request(object_rx: &mut ObjectRx) -> Duration {
    loop {
        if object_rx.changed().await.is_err() {
            return std::future::pending().await;
        }
        let object = object_rx.borrow_and_update();
        let Some(pod) = object.as_ref() else { return DELETED_GRACE };
        if pod.metadata.deletion_timestamp.is_some() {
            let seconds = pod.metadata.deletion_grace_period_seconds.unwrap_or(30);
            return Duration::from_secs(seconds.try_into().unwrap_or(0));
        }
    }
}

/// Requests a stop, or shortens the grace period of an earlier request. Updates of a terminating pod repeat its grace period.
fn shorten(stop_tx: &watch::Sender<Option<Duration>>, grace: Duration) {
    stop_tx.send_if_modified(|stop| {
        let shorter = stop.is_none_or(|before| grace < before);
        if shorter {
            *stop = Some(grace);
        }
        shorter
    });
}

/// Creates the volumes, then runs the init containers one by one and the main containers concurrently.
async fn run_containers(
    pod: Arc<RunningPod>,
    entry: Arc<RegisteredPod>,
    containers_tx: Arc<watch::Sender<Containers>>,
    mut stop_rx: StopRx,
) {
    let mut events = MountEvents::new(&pod);
    let (mounts, renewal) = loop {
        let error = match volumes::prepare(&pod).await {
            Ok(ready) => break ready,
            Err(error) => error,
        };
        containers_tx.send_modify(|containers| {
            for status in containers.init.iter_mut().chain(&mut containers.main) {
                status.state = Some(waiting(error.reason(), error.to_string()));
            }
        });
        let retry = async {
            events.publish(&pod, &error).await;
            tokio::time::sleep(pod.node.timings.retry).await;
        };
        tokio::select! {
            _ = next_stop(&mut stop_rx, None) => return,
            () = retry => {}
        }
    };
    let mounts = Arc::new(mounts);
    let policy = RestartPolicy::from_spec(pod.spec());
    let container = |spec: &Container, slot: Slot, policy| {
        let status = slot.status_mut(&mut containers_tx.borrow().clone()).clone();
        let logs = Arc::clone(&entry.logs[&spec.name]);
        let (pod, mounts) = (Arc::clone(&pod), Arc::clone(&mounts));
        let (containers_tx, stop_rx, spec) = (Arc::clone(&containers_tx), stop_rx.clone(), spec.clone());
        ContainerRun { pod, mounts, spec, slot, policy, logs, containers_tx, stop_rx, status }.run()
    };
    let all = async {
        for (index, spec) in pod.spec().init_containers.iter().flatten().enumerate() {
            if container(spec, Slot::Init(index), policy.for_init()).await != Some(0) {
                return;
            }
        }
        let main = pod.spec().containers.iter().enumerate();
        futures::future::join_all(main.map(|(index, spec)| container(spec, Slot::Main(index), policy))).await;
    };
    tokio::select! {
        () = all => {}
        () = renewal.run(&pod) => {}
    }
}

/// The initial status of the containers. Containers of an earlier run of this node died with it and count as restarted.
fn first_statuses(pod: &RunningPod) -> Containers {
    let before = pod.object.status.as_ref();
    let list = |specs: &[Container], old: fn(&PodStatus) -> Option<&Vec<ContainerStatus>>| {
        let old = before.and_then(old);
        let find = |name: &str| old?.iter().find(|status| status.name == name && status.container_id.is_some());
        specs.iter().map(|spec| first_status(spec, find(&spec.name))).collect()
    };
    Containers {
        init: list(pod.spec().init_containers.as_deref().unwrap_or_default(), |s| s.init_container_statuses.as_ref()),
        main: list(&pod.spec().containers, |s| s.container_statuses.as_ref()),
    }
}

fn first_status(spec: &Container, before: Option<&ContainerStatus>) -> ContainerStatus {
    let image = spec.image.clone().unwrap_or_default();
    ContainerStatus {
        name: spec.name.clone(),
        image_id: image.clone(),
        image,
        state: Some(waiting("ContainerCreating", String::new())),
        started: Some(false),
        restart_count: before.map_or(0, |status| status.restart_count + 1),
        last_state: before.map(lost),
        ..ContainerStatus::default()
    }
}

/// The last state of a container whose end was not observed, as reported by a kubelet.
fn lost(status: &ContainerStatus) -> ContainerState {
    let ended = status.state.as_ref().and_then(|state| state.terminated.clone());
    let terminated = ended.unwrap_or_else(|| ContainerStateTerminated {
        container_id: status.container_id.clone(),
        exit_code: 137,
        reason: Some("ContainerStatusUnknown".to_owned()),
        message: Some("the container ended when its node stopped".to_owned()),
        ..ContainerStateTerminated::default()
    });
    ContainerState { terminated: Some(terminated), ..ContainerState::default() }
}
