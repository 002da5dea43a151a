//! Reading of pods, shared by `agent_pods`, `cluster_watch` and `release_pods`.

use k8s_openapi::api::core::v1::PodSpec;

/// True for the `status.phase` of a pod in which no container runs any more.
pub fn has_ended(phase: Option<&str>) -> bool {
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// The number of the container port called `name`.
pub fn port(spec: &PodSpec, name: &str) -> Option<u16> {
    let ports = spec.containers.iter().flat_map(|container| container.ports.iter().flatten());
    let mut named = ports.filter(|port| port.name.as_deref() == Some(name));
    named.find_map(|port| u16::try_from(port.container_port).ok())
}
