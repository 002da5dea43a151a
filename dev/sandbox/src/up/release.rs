//! Installing the chart with real helm, applying the demo's manifests, and waiting until every pod is ready.

use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use tokio::time::Instant;

use super::directory::Directory;
use super::say;
use crate::SandboxError;
use crate::assets::Tool;
use crate::control_plane::ControlPlane;
use crate::processes::{Launch, Processes};

/// Release and objects are in the namespace that kubectl takes by itself, so that no command needs `-n`.
const NAMESPACE: &str = "default";
const RELEASE: &str = "maglev";
const DAEMON_SET: &str = "maglevd";
const CONTROLLER: &str = "maglev-controller";
const DASHBOARD: &str = "app.kubernetes.io/component=dashboard";
const DASHBOARD_PORT: u16 = 8080;
/// How long helm or kubectl may take.
const TOOL_WITHIN: Duration = Duration::from_secs(120);
/// How long the agents may take from their installation until all are ready.
const READY_WITHIN: Duration = Duration::from_secs(180);

/// Installs the chart of `checkout`, applies its demo, and waits until `nodes` agents are ready. Returns the
/// dashboard's URL.
pub async fn install(
    directory: &Directory,
    checkout: &Path,
    plane: &ControlPlane,
    processes: &Processes,
    nodes: usize,
) -> Result<String, SandboxError> {
    let tools = Tools { directory, plane, processes };
    say::line("installing the chart with helm…");
    let chart = checkout.join("charts/maglev").display().to_string();
    // Everything here is on loopback, 127.0.0.1 is common to all nodes, and nobody needs to wait between two nodes of a
    // demo.
    let values = "allowLoopback=true,agent.grpc.portForward=false,agent.minReadySeconds=0,dashboard.portForward=false";
    tools.run(Tool::Helm, &["install", RELEASE, &chart, "--namespace", NAMESPACE, "--set", values]).await?;
    tools.run(Tool::Kubectl, &["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"]).await?;
    // Before the agents are ready: what they find while they warm up, they need not wait for afterwards.
    say::line("applying examples/demo.yaml…");
    let demo = checkout.join("examples/demo.yaml").display().to_string();
    tools.run(Tool::Kubectl, &["apply", "--namespace", NAMESPACE, "-f", &demo]).await?;
    say::line("waiting for the agents, which warm up first…");
    agents_ready(plane, nodes).await?;
    controller_ready(plane).await?;
    dashboard_ready(plane).await
}

struct Tools<'a> {
    directory: &'a Directory,
    plane: &'a ControlPlane,
    processes: &'a Processes,
}

impl Tools<'_> {
    /// Runs a tool as administrator, without the caller's own helm or kubectl settings.
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

/// Waits until the dashboard is ready; its URL.
async fn dashboard_ready(plane: &ControlPlane) -> Result<String, SandboxError> {
    let api: Api<Pod> = Api::namespaced(plane.client().await?, NAMESPACE);
    let mut url = String::new();
    let ready = async || {
        let pods = api.list(&ListParams::default().labels(DASHBOARD)).await;
        let pods = pods.map_err(SandboxError::api("list the dashboard's pods".to_owned()))?;
        if let Some(ip) = pods.items.iter().find_map(ready_at) {
            url = format!("http://{ip}:{DASHBOARD_PORT}/view/");
        }
        Ok((!url.is_empty(), format!("{} pods of the dashboard, none of them ready", pods.items.len())))
    };
    until("the dashboard's readiness (see the logs)", ready).await?;
    Ok(url)
}

/// The address of a pod that is ready.
fn ready_at(pod: &Pod) -> Option<&str> {
    let status = pod.status.as_ref()?;
    let mut conditions = status.conditions.iter().flatten();
    let ready = conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True");
    status.pod_ip.as_deref().filter(|_| ready)
}

async fn agents_ready(plane: &ControlPlane, nodes: usize) -> Result<(), SandboxError> {
    let api: Api<DaemonSet> = Api::namespaced(plane.client().await?, NAMESPACE);
    let ready = async || {
        let found = api.get(DAEMON_SET).await.map_err(SandboxError::api(format!("read the DaemonSet {DAEMON_SET}")))?;
        let ready = found.status.map_or(0, |status| usize::try_from(status.number_ready).unwrap_or(0));
        Ok((ready >= nodes, format!("{ready} of {nodes} agents are ready")))
    };
    until("every agent's readiness (see the logs)", ready).await
}

async fn controller_ready(plane: &ControlPlane) -> Result<(), SandboxError> {
    let api: Api<Deployment> = Api::namespaced(plane.client().await?, NAMESPACE);
    let ready = async || {
        let found =
            api.get(CONTROLLER).await.map_err(SandboxError::api(format!("read the Deployment {CONTROLLER}")))?;
        let wanted = found.spec.and_then(|spec| spec.replicas).unwrap_or(1);
        let ready = found.status.and_then(|status| status.ready_replicas).unwrap_or(0);
        Ok((ready >= wanted, format!("{ready} of {wanted} replicas of the controller are ready")))
    };
    until("the controller's readiness (see the logs)", ready).await
}

/// Asks until the answer is yes, and says how far it is whenever that changes.
async fn until(
    what: &str,
    mut ready: impl AsyncFnMut() -> Result<(bool, String), SandboxError>,
) -> Result<(), SandboxError> {
    let deadline = Instant::now() + READY_WITHIN;
    let mut said = String::new();
    loop {
        let (done, now) = ready().await?;
        if now != said {
            say::line(&now);
        }
        if done {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(SandboxError::Timeout { what: what.to_owned(), within: READY_WITHIN, last: now });
        }
        said = now;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
