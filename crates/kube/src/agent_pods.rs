//! Addresses of the agents: watches the maglevd pods. Called by `fleet`. While the pods cannot be listed, the last list
//! stays in force.

use std::{net::IpAddr, sync::Arc};

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
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
/// Name of the agent's gRPC port in its container.
const PORT_NAME: &str = "grpc";
/// The gRPC port if no container names one.
const PORT: u16 = 9090;

/// A maglevd pod that is scheduled, has not ended and has an IP address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentPod {
    pub name: Name,
    pub uid: Arc<str>,
    /// The Node that the pod runs on.
    pub node: Arc<str>,
    pub ip: IpAddr,
    /// The gRPC port.
    pub port: u16,
    /// Set while the pod is being deleted.
    pub terminating: bool,
}

/// The watch before it runs.
pub struct PodWatch(Reflector<Pod, AgentPod>);

impl PodWatch {
    /// Watches the pods of `namespace`, or of all namespaces.
    pub fn new(client: Client, namespace: Option<&str>, delays: Delays) -> (Self, watch::Receiver<Listed<AgentPod>>) {
        let api = match namespace {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::all(client),
        };
        let (reflector, pods_rx) = Reflector::new(api, "Pod", Some(SELECTOR), delays, agent_pod);
        (Self(reflector), pods_rx)
    }

    /// Watches until `shutdown`.
    pub fn run(self, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        self.0.run(shutdown)
    }
}

/// `None` unless the pod is scheduled, has not ended and has an IP address.
fn agent_pod(pod: &Pod) -> Option<AgentPod> {
    let (spec, status) = (pod.spec.as_ref()?, pod.status.as_ref()?);
    if has_ended(status.phase.as_deref()) {
        return None;
    }
    Some(AgentPod {
        name: name_of(&pod.metadata),
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
    fn pod_is_an_agent_once_it_has_a_node_and_an_address() {
        let container = json!({"name": "maglevd", "ports": [{"name": "grpc", "containerPort": 9999}]});
        let spec = json!({"nodeName": "node-a", "containers": [container]});
        let agent = agent_pod(&pod(&spec, &json!({"podIP": "10.0.0.1", "phase": "Running"}))).expect("an agent");
        assert_eq!((agent.name.as_str(), &*agent.node, agent.port), ("lb/maglevd-x", "node-a", 9999));
        assert_eq!((agent.ip, agent.terminating), ([10, 0, 0, 1].into(), false));

        assert_eq!(agent_pod(&pod(&spec, &json!({"phase": "Pending"}))), None);
        assert_eq!(agent_pod(&pod(&spec, &json!({"podIP": "10.0.0.1", "phase": "Failed"}))), None);
        let unbound = json!({"containers": [{"name": "maglevd"}]});
        assert_eq!(agent_pod(&pod(&unbound, &json!({"podIP": "10.0.0.1"}))), None);
        let bound = json!({"nodeName": "node-a", "containers": [{"name": "maglevd"}]});
        assert_eq!(agent_pod(&pod(&bound, &json!({"podIP": "::1"}))).map(|pod| pod.port), Some(PORT));
    }
}
