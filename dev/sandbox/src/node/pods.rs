//! Watches the pods bound to the node and runs a [`PodWorker`] for each.
//!
//! While the API server is unreachable, pods keep running; changes arrive with the next list.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use futures::{FutureExt, StreamExt, future::BoxFuture};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{context::Context, pod_worker::PodWorker};

pub struct Pods {
    node: Arc<Context>,
    /// By UID; kept until the object is deleted, even if the worker has ended.
    workers: HashMap<String, watch::Sender<Option<Arc<Pod>>>>,
    /// The pods of the list in progress.
    listed: Vec<Arc<Pod>>,
    tasks: TaskTracker,
}

impl Pods {
    pub fn new(node: Arc<Context>) -> Self {
        Self { node, workers: HashMap::new(), listed: Vec::new(), tasks: TaskTracker::new() }
    }

    /// Runs the node's pods until `shutdown`, and returns after the exit of all their processes.
    pub fn run(mut self, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        async move {
            let bound = watcher::Config::default().fields(&format!("spec.nodeName={}", self.node.name));
            let mut events = watcher(Api::<Pod>::all(self.node.client.clone()), bound).default_backoff().boxed();
            loop {
                tokio::select! {
                    () = shutdown.cancelled() => break,
                    event = events.next() => match event {
                        Some(Ok(event)) => self.handle_event(event, &shutdown),
                        Some(Err(error)) => tracing::debug!(node = self.node.name, %error, "watching pods failed"),
                        None => break,
                    }
                }
            }
            self.tasks.close();
            self.tasks.wait().await;
        }
        .boxed()
    }

    fn handle_event(&mut self, event: Event<Pod>, shutdown: &CancellationToken) {
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(pod) => self.listed.push(Arc::new(pod)),
            Event::InitDone => self.replace(shutdown),
            Event::Apply(pod) => self.apply(Arc::new(pod), shutdown),
            Event::Delete(pod) => self.remove(&pod.uid().unwrap_or_default()),
        }
    }

    fn replace(&mut self, shutdown: &CancellationToken) {
        let mut listed = std::mem::take(&mut self.listed);
        let uids: HashSet<String> = listed.iter().filter_map(|pod| pod.uid()).collect();
        let deleted: Vec<String> = self.workers.keys().filter(|uid| !uids.contains(*uid)).cloned().collect();
        deleted.iter().for_each(|uid| self.remove(uid));
        // Pods with an address first, so that no new pod takes it.
        listed.sort_by_key(|pod| pod.status.as_ref().is_none_or(|status| status.pod_ip.is_none()));
        listed.into_iter().for_each(|pod| self.apply(pod, shutdown));
    }

    fn apply(&mut self, pod: Arc<Pod>, shutdown: &CancellationToken) {
        let uid = pod.uid().unwrap_or_default();
        if let Some(worker) = self.workers.get(&uid) {
            worker.send_replace(Some(pod));
            return;
        }
        let (object_tx, object_rx) = watch::channel(Some(Arc::clone(&pod)));
        self.workers.insert(uid, object_tx);
        let worker = PodWorker { node: Arc::clone(&self.node), object: pod, object_rx };
        self.tasks.spawn(worker.run(shutdown.clone()));
    }

    fn remove(&mut self, uid: &str) {
        if let Some(worker) = self.workers.remove(uid) {
            worker.send_replace(None);
        }
    }
}
