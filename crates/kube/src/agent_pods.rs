//! Addresses of the agents: watches the maglevd pods. Called by `fleet`. While the pods cannot be listed, the last list
//! stays in force.
//!
//! Everybody who can create pods can give them the labels of an agent's pod. So only pods of one namespace are watched,
//! and only pods that a DaemonSet owns are agents.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    api::{ListParams, ObjectMeta},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    Delays,
    kinds::name_of,
    pod::{has_ended, port},
    reflector::{Listed, Reflector},
};
use maglev_model::Name;

/// Label selector of the agents' pods of all releases.
pub const SELECTOR: &str = "app.kubernetes.io/name=maglev,app.kubernetes.io/component=maglevd";
/// Name of the agent's gRPC port without TLS in its container.
const PORT_NAME: &str = "grpc";
/// Name of the agent's gRPC port with TLS. Agents of version 0.1 have none.
pub(crate) const TLS_PORT_NAME: &str = "grpc-tls";
/// The gRPC port if no container names one.
const PORT: u16 = 9090;

/// A maglevd pod that belongs to a DaemonSet, is scheduled, has not ended and has an IP address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentPod {
    pub name: Name,
    pub uid: Arc<str>,
    /// The Node that the pod runs on.
    pub node: Arc<str>,
    pub ip: IpAddr,
    /// The gRPC port without TLS.
    pub port: u16,
    /// The gRPC port with TLS, if the agent has one.
    pub tls_port: Option<u16>,
    /// Set while the pod is being deleted.
    pub terminating: bool,
}

/// The watch before it runs.
pub struct PodWatch(Reflector<Pod, AgentPod>);

impl PodWatch {
    /// Watches the pods of `namespace`.
    pub fn new(client: Client, namespace: &str, delays: Delays) -> (Self, watch::Receiver<Listed<AgentPod>>) {
        let api = Api::namespaced(client, namespace);
        let (reflector, pods_rx) = Reflector::new(api, "Pod", Some(SELECTOR), delays, agent_pod);
        (Self(reflector), pods_rx)
    }

    /// Watches until `shutdown`.
    pub fn run(self, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        self.0.run(shutdown)
    }
}

/// The namespaces with agents' pods, in order; only `namespace`, if given.
///
/// # Errors
/// The pods cannot be listed.
pub async fn agent_namespaces(client: &Client, namespace: Option<&str>) -> Result<BTreeSet<String>, kube::Error> {
    let pods: Api<Pod> = match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let listed = pods.list_metadata(&ListParams::default().labels(SELECTOR)).await?;
    let owned = listed.items.into_iter().map(|pod| pod.metadata).filter(belongs_to_daemon_set);
    Ok(owned.filter_map(|metadata| metadata.namespace).collect())
}

/// True if a DaemonSet controls the pod.
pub fn belongs_to_daemon_set(pod: &ObjectMeta) -> bool {
    let controls = |kind: &str, controller: Option<bool>| kind == "DaemonSet" && controller == Some(true);
    pod.owner_references.iter().flatten().any(|owner| controls(&owner.kind, owner.controller))
}

/// `None` unless the pod belongs to a DaemonSet, is scheduled, has not ended and has an IP address.
fn agent_pod(pod: &Pod) -> Option<AgentPod> {
    let (spec, status) = (pod.spec.as_ref()?, pod.status.as_ref()?);
    if has_ended(status.phase.as_deref()) || !belongs_to_daemon_set(&pod.metadata) {
        return None;
    }
    Some(AgentPod {
        name: name_of(&pod.metadata),
        uid: pod.metadata.uid.as_deref().unwrap_or_default().into(),
        node: spec.node_name.as_deref()?.into(),
        ip: status.pod_ip.as_deref()?.parse().ok()?,
        port: port(spec, PORT_NAME).unwrap_or(PORT),
        tls_port: port(spec, TLS_PORT_NAME),
        terminating: pod.metadata.deletion_timestamp.is_some(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(spec: &Value, status: &Value) -> Pod {
        let owner = json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "d", "controller": true});
        let metadata = json!({"name": "maglevd-x", "namespace": "lb", "uid": "u", "ownerReferences": [owner]});
        serde_json::from_value(json!({"metadata": metadata, "spec": spec, "status": status})).expect("a pod")
    }

    #[test]
    fn pod_is_an_agent_once_it_has_a_node_and_an_address() {
        let container = json!({"name": "maglevd", "ports": [{"name": "grpc", "containerPort": 9999}]});
        let spec = json!({"nodeName": "node-a", "containers": [container]});
        let agent = agent_pod(&pod(&spec, &json!({"podIP": "10.0.0.1", "phase": "Running"}))).expect("an agent");
        assert_eq!((agent.name.as_str(), &*agent.node, agent.port), ("lb/maglevd-x", "node-a", 9999));
        assert_eq!((agent.ip, agent.terminating, agent.tls_port), ([10, 0, 0, 1].into(), false, None));
        let mut encrypted = spec.clone();
        encrypted["containers"][0]["ports"] = json!([{"name": "grpc-tls", "containerPort": 9998}]);
        let agent = agent_pod(&pod(&encrypted, &json!({"podIP": "10.0.0.1"}))).expect("an agent");
        assert_eq!((agent.port, agent.tls_port), (PORT, Some(9998)));

        assert_eq!(agent_pod(&pod(&spec, &json!({"phase": "Pending"}))), None);
        assert_eq!(agent_pod(&pod(&spec, &json!({"podIP": "10.0.0.1", "phase": "Failed"}))), None);
        let unbound = json!({"containers": [{"name": "maglevd"}]});
        assert_eq!(agent_pod(&pod(&unbound, &json!({"podIP": "10.0.0.1"}))), None);
        let mut foreign = pod(&spec, &json!({"podIP": "10.0.0.1", "phase": "Running"}));
        for (kind, controller) in [("ReplicaSet", Some(true)), ("DaemonSet", None)] {
            let owner = &mut foreign.metadata.owner_references.as_mut().expect("an owner")[0];
            (owner.kind, owner.controller) = (kind.to_owned(), controller);
            assert_eq!(agent_pod(&foreign), None, "{kind} {controller:?}");
        }
        foreign.metadata.owner_references = None;
        assert_eq!(agent_pod(&foreign), None, "anybody can create a pod with these labels");
        let bound = json!({"nodeName": "node-a", "containers": [{"name": "maglevd"}]});
        assert_eq!(agent_pod(&pod(&bound, &json!({"podIP": "::1"}))).map(|pod| pod.port), Some(PORT));
    }
}
