//! The pods that a release of the chart runs, and where each answers. Asked once by `fleet::check`; whoever follows the
//! agents watches them with `agent_pods`.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Pod, PodSpec};
use kube::{Api, Client, ResourceExt as _, api::ListParams};

use super::causes::describe;

/// The label that says which program a pod runs.
const COMPONENT: &str = "app.kubernetes.io/component";
/// What that label says of an agent.
pub const AGENT: &str = "maglevd";

/// A pod of a release that serves `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleasePod {
    pub name: String,
    /// The program it runs: `maglevd`, `controller` or `dashboard`.
    pub component: String,
    /// The Node that it is bound to.
    pub node: Option<String>,
    /// Its address, once it has one.
    pub ip: Option<IpAddr>,
    /// The port of `/readyz`.
    pub metrics: u16,
    /// The port of its gRPC, if it has one.
    pub grpc: Option<u16>,
}

/// The pods of `release` in `namespace` that are to serve, in name order.
///
/// # Errors
/// What the API server answers, in words.
pub async fn release_pods(client: &Client, namespace: &str, release: &str) -> Result<Vec<ReleasePod>, String> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let labels = format!("app.kubernetes.io/name=maglev,app.kubernetes.io/instance={release}");
    let listed = pods.list(&ListParams::default().labels(&labels)).await.map_err(|err| describe(&err))?;
    let mut found: Vec<_> = listed.items.iter().filter_map(release_pod).collect();
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

/// `None` for a pod that is ending, has ended, or serves nothing.
fn release_pod(pod: &Pod) -> Option<ReleasePod> {
    let spec = pod.spec.as_ref()?;
    let status = pod.status.as_ref();
    if has_ended(status.and_then(|of| of.phase.as_deref())) || pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    Some(ReleasePod {
        name: pod.name_any(),
        component: pod.labels().get(COMPONENT).cloned().unwrap_or_default(),
        node: spec.node_name.clone(),
        ip: status.and_then(|of| of.pod_ip.as_deref()).and_then(|ip| ip.parse().ok()),
        metrics: port(spec, "metrics")?,
        grpc: port(spec, "grpc"),
    })
}

/// Whether nothing runs in a pod of this `status.phase` any more, and nothing will.
pub(crate) fn has_ended(phase: Option<&str>) -> bool {
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// The port that a container of the pod calls `name`.
pub(crate) fn port(spec: &PodSpec, name: &str) -> Option<u16> {
    let ports = spec.containers.iter().flat_map(|container| container.ports.iter().flatten());
    let mut named = ports.filter(|port| port.name.as_deref() == Some(name));
    named.find_map(|port| u16::try_from(port.container_port).ok())
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
    fn a_pod_is_asked_at_the_ports_that_it_names() {
        let ports = json!([{"name": "grpc", "containerPort": 1}, {"name": "metrics", "containerPort": 2}]);
        let found = release_pod(&pod(&ports, &json!({}))).expect("it serves");
        assert_eq!((found.component.as_str(), found.metrics, found.grpc), (AGENT, 2, Some(1)));
        assert_eq!((found.node.as_deref(), found.ip), (Some("node-a"), Some([10, 0, 0, 1].into())));
        let pending = release_pod(&pod(&ports, &json!({"status": null}))).expect("it is to serve");
        assert_eq!(pending.ip, None);
    }

    #[test]
    fn pods_that_serve_nothing_are_not_asked() {
        let ports = json!([{"name": "metrics", "containerPort": 2}]);
        assert_eq!(release_pod(&pod(&json!([]), &json!({}))), None);
        assert_eq!(release_pod(&pod(&ports, &json!({"status": {"phase": "Succeeded"}}))), None);
        let ending = json!({"metadata": {"deletionTimestamp": "2026-11-25T08:00:00Z"}});
        assert_eq!(release_pod(&pod(&ports, &ending)), None);
    }
}
