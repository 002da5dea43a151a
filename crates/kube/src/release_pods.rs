//! The pods of a release of the chart and the ports that they serve, listed once. Called by `fleet::check`; to follow
//! the agents, `agent_pods` watches them.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, ResourceExt as _, api::ListParams};
use maglev_net::error_chain;

use super::{
    agent_pods::TLS_PORT_NAME,
    pod::{has_ended, port},
};

/// The label that names the program of a pod.
const COMPONENT: &str = "app.kubernetes.io/component";
/// Value of that label for an agent.
pub const AGENT: &str = "maglevd";

/// A pod of a release that serves `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleasePod {
    pub name: String,
    /// The program: `maglevd`, `controller` or `dashboard`.
    pub component: String,
    /// The Node that the pod is bound to.
    pub node: Option<String>,
    /// Its address; `None` until it has one.
    pub ip: Option<IpAddr>,
    /// The port of `/readyz`.
    pub metrics: u16,
    /// The gRPC port of an agent without TLS.
    pub grpc: Option<u16>,
    /// The gRPC port of an agent with TLS.
    pub grpc_tls: Option<u16>,
}

/// The pods of `release` in `namespace` that serve `/readyz`, in name order.
///
/// # Errors
/// The API server's answer as text.
pub async fn release_pods(client: &Client, namespace: &str, release: &str) -> Result<Vec<ReleasePod>, String> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let labels = format!("app.kubernetes.io/name=maglev,app.kubernetes.io/instance={release}");
    let listed = pods.list(&ListParams::default().labels(&labels)).await.map_err(|error| error_chain(&error))?;
    let mut pods: Vec<_> = listed.items.iter().filter_map(release_pod).collect();
    pods.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(pods)
}

/// `None` for a pod that is being deleted, has ended, or has no metrics port.
fn release_pod(pod: &Pod) -> Option<ReleasePod> {
    let spec = pod.spec.as_ref()?;
    let status = pod.status.as_ref();
    if has_ended(status.and_then(|status| status.phase.as_deref())) || pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    Some(ReleasePod {
        name: pod.name_any(),
        component: pod.labels().get(COMPONENT).cloned().unwrap_or_default(),
        node: spec.node_name.clone(),
        ip: status.and_then(|status| status.pod_ip.as_deref()).and_then(|ip| ip.parse().ok()),
        metrics: port(spec, "metrics")?,
        grpc: port(spec, "grpc"),
        grpc_tls: port(spec, TLS_PORT_NAME),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(ports: &Value, more: &Value) -> Pod {
        let labels = json!({"app.kubernetes.io/component": "maglevd"});
        let mut pod = json!({
            "metadata": {"name": "maglevd-x", "labels": labels},
            "spec": {"nodeName": "node-a", "containers": [{"name": "maglevd", "ports": ports}]},
            "status": {"podIP": "10.0.0.1", "phase": "Running"},
        });
        json_patch::merge(&mut pod, more);
        serde_json::from_value(pod).expect("a pod")
    }

    #[test]
    fn ports_are_read_by_their_names() {
        let ports = json!([{"name": "grpc", "containerPort": 1}, {"name": "metrics", "containerPort": 2}]);
        let serving = release_pod(&pod(&ports, &json!({}))).expect("the pod serves");
        assert_eq!((serving.component.as_str(), serving.metrics, serving.grpc), (AGENT, 2, Some(1)));
        assert_eq!((serving.node.as_deref(), serving.ip), (Some("node-a"), Some([10, 0, 0, 1].into())));
        let pending = release_pod(&pod(&ports, &json!({"status": null}))).expect("the pod will serve");
        assert_eq!(pending.ip, None);
    }

    #[test]
    fn pods_that_serve_nothing_are_left_out() {
        let ports = json!([{"name": "metrics", "containerPort": 2}]);
        assert_eq!(release_pod(&pod(&json!([]), &json!({}))), None);
        assert_eq!(release_pod(&pod(&ports, &json!({"status": {"phase": "Succeeded"}}))), None);
        let ending = json!({"metadata": {"deletionTimestamp": "2026-11-25T08:00:00Z"}});
        assert_eq!(release_pod(&pod(&ports, &ending)), None);
    }
}
