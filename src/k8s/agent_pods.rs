//! Where the agents are: watches the maglevd pods. Called by `fleet`.
//!
//! As everywhere in this room, what is not known is unknown: while the pods cannot be listed, the last list stands.

use std::{collections::BTreeMap, net::IpAddr, pin::pin, sync::Arc};

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    runtime::watcher::{self, Event},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    Delays,
    causes::{Causes, describe},
    release_pods::{has_ended, port},
    retry::Retry,
};
use crate::model::Name;

/// The labels of an agent's pod, whatever release it is of.
pub const SELECTOR: &str = "app.kubernetes.io/name=maglev,app.kubernetes.io/component=maglevd";
/// The name of the agent's gRPC port in its container.
const PORT_NAME: &str = "grpc";
/// That port where no container names it.
const PORT: u16 = 9090;

/// A pod of maglevd that is bound to a node and has an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentPod {
    /// `namespace/name`.
    pub name: Name,
    /// `metadata.uid`.
    pub uid: Arc<str>,
    /// The Node that it runs on.
    pub node: Arc<str>,
    /// Its address.
    pub ip: IpAddr,
    /// The port of its gRPC.
    pub port: u16,
    /// It is being deleted.
    pub terminating: bool,
}

/// The agents' pods, by name.
pub type AgentPods = Arc<BTreeMap<Name, AgentPod>>;

/// The watch before it runs.
pub struct PodWatch {
    api: Api<Pod>,
    delays: Delays,
    pods: watch::Sender<Option<AgentPods>>,
    known: BTreeMap<Name, AgentPod>,
    /// The list that is under way.
    incoming: Option<BTreeMap<Name, AgentPod>>,
    causes: Causes,
}

impl PodWatch {
    /// Watches the pods of `namespace`, or of all, and where they appear: `None` until the first complete list.
    #[must_use]
    pub fn new(client: Client, namespace: Option<&str>, delays: Delays) -> (Self, watch::Receiver<Option<AgentPods>>) {
        let api = match namespace {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::all(client),
        };
        let (pods, pods_rx) = watch::channel(None);
        let causes = Causes::default();
        (Self { api, delays, pods, known: BTreeMap::new(), incoming: None, causes }, pods_rx)
    }

    /// Watches until `shutdown`.
    #[must_use]
    pub fn run(self, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        async move {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = self.watch() => {}
            }
        }
        .boxed()
    }

    async fn watch(mut self) {
        let seconds = u32::try_from(self.delays.watch.as_secs()).unwrap_or(u32::MAX).max(1);
        let config = watcher::Config::default().labels(SELECTOR).timeout(seconds);
        let mut events = pin!(watcher::watcher(self.api.clone(), config));
        let mut retry = Retry::new(self.delays);
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => self.take(event),
                Err(error) => {
                    self.tell(&error);
                    sleep_until(Instant::now() + retry.next()).await;
                }
            }
        }
    }

    fn take(&mut self, event: Event<Pod>) {
        match event {
            Event::Init => self.incoming = Some(BTreeMap::new()),
            Event::InitApply(pod) => {
                let found = agent_pod(&pod).map(|pod| (pod.name.clone(), pod));
                self.incoming.get_or_insert_default().extend(found);
                return;
            }
            Event::InitDone => {
                self.known = self.incoming.take().unwrap_or_default();
                self.pods.send_replace(Some(Arc::new(self.known.clone())));
                return;
            }
            // One that has no address yet, or not any more, is nobody to talk to.
            Event::Apply(pod) => match agent_pod(&pod) {
                Some(pod) => drop(self.known.insert(pod.name.clone(), pod)),
                None => drop(self.known.remove(&name(&pod))),
            },
            Event::Delete(pod) => drop(self.known.remove(&name(&pod))),
        }
        self.pods.send_if_modified(|pods| match pods {
            Some(pods) if **pods != self.known => {
                *pods = Arc::new(self.known.clone());
                true
            }
            _ => false,
        });
    }

    fn tell(&self, error: &watcher::Error) {
        let expired = matches!(error, watcher::Error::WatchError(status) if status.code == 410);
        let err = describe(error);
        if !expired && self.causes.is_news(&err) {
            tracing::warn!(kind = "Pod", kept = self.known.len(), err, "watch-failed");
        }
    }
}

fn name(pod: &Pod) -> Name {
    let of = |text: &Option<String>| text.clone().unwrap_or_default();
    Name::namespaced(&of(&pod.metadata.namespace), &of(&pod.metadata.name))
}

/// `None` for a pod that is not bound, has no address yet, or has ended.
fn agent_pod(pod: &Pod) -> Option<AgentPod> {
    let (spec, status) = (pod.spec.as_ref()?, pod.status.as_ref()?);
    if has_ended(pod) {
        return None;
    }
    Some(AgentPod {
        name: name(pod),
        uid: pod.metadata.uid.as_deref().unwrap_or_default().into(),
        node: spec.node_name.as_deref()?.into(),
        ip: status.pod_ip.as_deref()?.parse().ok()?,
        port: port(spec, PORT_NAME).unwrap_or(PORT),
        terminating: pod.metadata.deletion_timestamp.is_some(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(spec: &Value, status: &Value) -> Pod {
        let metadata = json!({"name": "maglevd-x", "namespace": "lb", "uid": "u"});
        serde_json::from_value(json!({"metadata": metadata, "spec": spec, "status": status})).expect("a pod")
    }

    #[test]
    fn a_pod_is_an_agent_once_it_has_node_and_address() {
        let container = json!({"name": "maglevd", "ports": [{"name": "grpc", "containerPort": 9999}]});
        let spec = json!({"nodeName": "node-a", "containers": [container]});
        let found = agent_pod(&pod(&spec, &json!({"podIP": "10.0.0.1", "phase": "Running"}))).expect("an agent");
        assert_eq!((found.name.as_str(), &*found.node, found.port), ("lb/maglevd-x", "node-a", 9999));
        assert_eq!((found.ip, found.terminating), ([10, 0, 0, 1].into(), false));

        assert_eq!(agent_pod(&pod(&spec, &json!({"phase": "Pending"}))), None);
        assert_eq!(agent_pod(&pod(&spec, &json!({"podIP": "10.0.0.1", "phase": "Failed"}))), None);
        let unbound = json!({"containers": [{"name": "maglevd"}]});
        assert_eq!(agent_pod(&pod(&unbound, &json!({"podIP": "10.0.0.1"}))), None);
        let bound = json!({"nodeName": "node-a", "containers": [{"name": "maglevd"}]});
        assert_eq!(agent_pod(&pod(&bound, &json!({"podIP": "::1"}))).map(|pod| pod.port), Some(PORT));
    }
}
