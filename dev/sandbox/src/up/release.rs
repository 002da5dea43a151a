//! Installs the chart with helm, applies the demo's manifests and waits until all pods are ready.

use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use tokio::time::Instant;

use super::directory::Directory;
use super::output;
use crate::SandboxError;
use crate::assets::Tool;
use crate::control_plane::ControlPlane;
use crate::processes::{Launch, Processes};

/// The namespace of the release and of the objects: kubectl's default, so that commands need no `-n`.
const NAMESPACE: &str = "default";
const RELEASE: &str = "maglev";
const DAEMON_SET: &str = "maglevd";
const CONTROLLER: &str = "maglev-controller";
const DASHBOARD: &str = "app.kubernetes.io/component=dashboard";
const DASHBOARD_PORT: u16 = 8080;
/// Time limit for helm and kubectl.
const TOOL_WITHIN: Duration = Duration::from_secs(120);
/// Time limit for the readiness of all pods.
const READY_WITHIN: Duration = Duration::from_secs(180);

/// The demo's Service of type LoadBalancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DemoService {
    None,
    /// With a Deployment.
    Pods,
    /// Without a selector, with hand-made EndpointSlices.
    Endpoints,
}

impl DemoService {
    /// Pods can be endpoints only if they have network namespaces: the API server refuses loopback addresses.
    pub fn choose(none: bool, has_packets: bool) -> Self {
        match (none, has_packets) {
            (true, _) => Self::None,
            (false, true) => Self::Pods,
            (false, false) => Self::Endpoints,
        }
    }

    fn example(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Pods => Some("examples/demo-service.yaml"),
            Self::Endpoints => Some("examples/demo-endpoints.yaml"),
        }
    }
}

/// Installs the chart of the checkout, applies its demo and waits until `nodes` agents are ready. Returns the URL of the
/// dashboard.
pub async fn install(tools: &Tools<'_>, nodes: usize, service: DemoService) -> Result<String, SandboxError> {
    let plane = tools.plane;
    output::print("installing the chart with helm…");
    let chart = tools.checkout.join("charts/maglev").display().to_string();
    // All addresses are loopback addresses, 127.0.0.1 is shared by all nodes, and a demo needs no pause between nodes.
    let values = "allowLoopback=true,agent.nodeSelector.kubernetes\\.io/os=linux,agent.grpc.portForward=false,\
                  agent.minReadySeconds=0,dashboard.portForward=false";
    tools.run(Tool::Helm, &["install", RELEASE, &chart, "--namespace", NAMESPACE, "--set", values]).await?;
    tools.run(Tool::Kubectl, &["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"]).await?;
    // Before the agents are ready, so that they read the objects while they warm up.
    for example in ["examples/demo.yaml"].into_iter().chain(service.example()) {
        output::print(&format!("applying {example}…"));
        let path = tools.checkout.join(example).display().to_string();
        tools.run(Tool::Kubectl, &["apply", "--namespace", NAMESPACE, "-f", &path]).await?;
    }
    output::print("waiting for the agents to warm up…");
    agents_ready(plane, nodes).await?;
    controller_ready(plane).await?;
    dashboard_ready(plane).await
}

/// Runs helm and kubectl.
pub struct Tools<'a> {
    pub directory: &'a Directory,
    pub checkout: &'a Path,
    pub plane: &'a ControlPlane,
    pub processes: &'a Processes,
}

impl Tools<'_> {
    /// Runs a tool as administrator, without the caller's settings of helm and kubectl.
    async fn run(&self, tool: Tool, args: &[&str]) -> Result<(), SandboxError> {
        let name = tool.file_name();
        let launch = Launch::new(name, self.plane.assets().path(tool), self.directory.log(name)).args(args);
        let launch = launch.clear_env().env("KUBECONFIG", self.plane.kubeconfig());
        let process = self.processes.spawn(launch.env("HOME", self.directory.path().join("helm"))).await?;
        match tokio::time::timeout(TOOL_WITHIN, process.wait()).await {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(SandboxError::Tool {
                command: format!("{name} {}", args.join(" ")),
                status: status.to_string(),
                stderr: process.log_tail(),
            }),
            Err(_) => Err(SandboxError::Timeout {
                what: format!("{name} {}", args.join(" ")),
                within: TOOL_WITHIN,
                last: process.log_tail(),
            }),
        }
    }
}

/// Waits until the dashboard is ready. Returns its URL.
async fn dashboard_ready(plane: &ControlPlane) -> Result<String, SandboxError> {
    let api: Api<Pod> = Api::namespaced(plane.client().await?, NAMESPACE);
    let mut url = String::new();
    let ready = async || {
        let pods = api.list(&ListParams::default().labels(DASHBOARD)).await;
        let pods = pods.map_err(SandboxError::api("list the dashboard's pods".to_owned()))?;
        if let Some(ip) = pods.items.iter().find_map(ready_at) {
            url = format!("http://{ip}:{DASHBOARD_PORT}/view/");
        }
        Ok((!url.is_empty(), format!("none of {} pods of the dashboard is ready", pods.items.len())))
    };
    until("the dashboard to become ready (see the logs)", ready).await?;
    Ok(url)
}

/// The address of a ready pod.
fn ready_at(pod: &Pod) -> Option<&str> {
    let status = pod.status.as_ref()?;
    let mut conditions = status.conditions.iter().flatten();
    let ready = conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True");
    status.pod_ip.as_deref().filter(|_| ready)
}

async fn agents_ready(plane: &ControlPlane, nodes: usize) -> Result<(), SandboxError> {
    let api: Api<DaemonSet> = Api::namespaced(plane.client().await?, NAMESPACE);
    let ready = async || {
        let daemon_set =
            api.get(DAEMON_SET).await.map_err(SandboxError::api(format!("read the DaemonSet {DAEMON_SET}")))?;
        let ready = daemon_set.status.map_or(0, |status| usize::try_from(status.number_ready).unwrap_or(0));
        Ok((ready >= nodes, format!("{ready} of {nodes} agents are ready")))
    };
    until("all agents to become ready (see the logs)", ready).await
}

async fn controller_ready(plane: &ControlPlane) -> Result<(), SandboxError> {
    let api: Api<Deployment> = Api::namespaced(plane.client().await?, NAMESPACE);
    let ready = async || {
        let deployment =
            api.get(CONTROLLER).await.map_err(SandboxError::api(format!("read the Deployment {CONTROLLER}")))?;
        let replicas = deployment.spec.and_then(|spec| spec.replicas).unwrap_or(1);
        let ready = deployment.status.and_then(|status| status.ready_replicas).unwrap_or(0);
        Ok((ready >= replicas, format!("{ready} of {replicas} replicas of the controller are ready")))
    };
    until("the controller to become ready (see the logs)", ready).await
}

/// Repeats `ready` until it returns true, and prints its progress text whenever it changes.
async fn until(
    what: &str,
    mut ready: impl AsyncFnMut() -> Result<(bool, String), SandboxError>,
) -> Result<(), SandboxError> {
    let deadline = Instant::now() + READY_WITHIN;
    let mut printed = String::new();
    loop {
        let (done, now) = ready().await?;
        if now != printed {
            output::print(&now);
        }
        if done {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(SandboxError::Timeout { what: what.to_owned(), within: READY_WITHIN, last: now });
        }
        printed = now;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
