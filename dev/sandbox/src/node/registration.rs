//! Creates the Node object and Lease of the node, and keeps them up to date.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use k8s_openapi::jiff::Timestamp;
use k8s_openapi::{
    api::{
        coordination::v1::{Lease, LeaseSpec},
        core::v1::{DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeStatus, NodeSystemInfo},
    },
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference, Time},
    },
};
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::context::Context;

/// The namespace of all nodes' Leases, created by the API server.
const LEASE_NAMESPACE: &str = "kube-node-lease";
/// Duration of a Lease in seconds.
const LEASE_SECONDS: i32 = 40;
/// Maximum age of the heartbeat in the Node object.
const STATUS_AGE: Duration = Duration::from_secs(300);

pub struct Registration {
    node: Arc<Context>,
    endpoint: SocketAddr,
    kubelet_version: String,
}

impl Registration {
    /// `endpoint` is the address of the node's HTTPS server, `server_version` the version of the API server.
    pub fn new(node: Arc<Context>, endpoint: SocketAddr, server_version: &str) -> Self {
        let release = server_version.split('+').next().unwrap_or_default();
        Self { node, endpoint, kubelet_version: format!("{release}+maglev-sandbox") }
    }

    /// Creates or updates the Node object and renews the Lease, once.
    ///
    /// # Errors
    /// The error of the API server.
    pub async fn refresh(&self) -> Result<(), kube::Error> {
        let nodes: Api<Node> = Api::all(self.node.client.clone());
        let node = match nodes.get_opt(&self.node.name).await? {
            Some(node) => node,
            None => nodes.create(&PostParams::default(), &self.object()).await?,
        };
        let now = Timestamp::now();
        if !self.is_current(&node, now) {
            let patch = json!({"metadata": {"labels": labels(&self.node.name)}});
            nodes.patch(&self.node.name, &PatchParams::default(), &Patch::Merge(patch)).await?;
            let patch = Patch::Strategic(json!({"status": self.status(node.status.as_ref(), now)}));
            nodes.patch_status(&self.node.name, &PatchParams::default(), &patch).await?;
        }
        self.renew(node.uid().unwrap_or_default(), now).await
    }

    /// Refreshes at every heartbeat until `shutdown`.
    pub fn run(self, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        async move {
            let mut beats = tokio::time::interval(self.node.timings.heartbeat);
            beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            beats.tick().await;
            loop {
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    _ = beats.tick() => {}
                }
                let refreshed = tokio::select! {
                    () = shutdown.cancelled() => return,
                    refreshed = self.refresh() => refreshed,
                };
                if let Err(error) = refreshed {
                    tracing::debug!(node = self.node.name, %error, "could not renew the node's Lease");
                }
            }
        }
        .boxed()
    }

    async fn renew(&self, uid: String, now: Timestamp) -> Result<(), kube::Error> {
        let leases: Api<Lease> = Api::namespaced(self.node.client.clone(), LEASE_NAMESPACE);
        let name = &self.node.name;
        let spec = LeaseSpec {
            holder_identity: Some(name.clone()),
            lease_duration_seconds: Some(LEASE_SECONDS),
            renew_time: Some(MicroTime(now)),
            ..LeaseSpec::default()
        };
        let patch = Patch::Merge(json!({"spec": spec}));
        match leases.patch(name, &PatchParams::default(), &patch).await {
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            patched => return patched.map(|_| ()),
        }
        let (api_version, kind) = ("v1".to_owned(), "Node".to_owned());
        let owner = OwnerReference { api_version, kind, name: name.clone(), uid, ..OwnerReference::default() };
        let owner_references = Some(vec![owner]);
        let metadata = ObjectMeta { name: Some(name.clone()), owner_references, ..ObjectMeta::default() };
        leases.create(&PostParams::default(), &Lease { metadata, spec: Some(spec) }).await.map(|_| ())
    }

    fn object(&self) -> Node {
        let labels = Some(labels(&self.node.name));
        let metadata = ObjectMeta { name: Some(self.node.name.clone()), labels, ..ObjectMeta::default() };
        Node { metadata, ..Node::default() }
    }

    /// True if addresses and ports are correct and the heartbeat is recent.
    fn is_current(&self, node: &Node, now: Timestamp) -> bool {
        let Some(status) = &node.status else { return false };
        let desired = self.status(None, now);
        let ready = status.conditions.iter().flatten().find(|c| c.type_ == "Ready" && c.status == "True");
        let fresh = ready
            .and_then(|c| c.last_heartbeat_time.as_ref())
            .is_some_and(|heartbeat| now.duration_since(heartbeat.0).unsigned_abs() < STATUS_AGE);
        fresh && status.addresses == desired.addresses && status.daemon_endpoints == desired.daemon_endpoints
    }

    fn status(&self, before: Option<&NodeStatus>, now: Timestamp) -> NodeStatus {
        let address = |kind: &str, address: String| NodeAddress { type_: kind.to_owned(), address };
        NodeStatus {
            addresses: Some(vec![
                address("InternalIP", self.node.address.to_string()),
                address("Hostname", self.node.name.clone()),
            ]),
            capacity: Some(capacity()),
            allocatable: Some(capacity()),
            conditions: Some(conditions(before, now)),
            daemon_endpoints: Some(NodeDaemonEndpoints {
                kubelet_endpoint: Some(DaemonEndpoint { port: self.endpoint.port().into() }),
            }),
            node_info: Some(self.info()),
            ..NodeStatus::default()
        }
    }

    fn info(&self) -> NodeSystemInfo {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        NodeSystemInfo {
            architecture: go_architecture().to_owned(),
            boot_id: read("/proc/sys/kernel/random/boot_id"),
            container_runtime_version: concat!("maglev-sandbox://", env!("CARGO_PKG_VERSION")).to_owned(),
            kernel_version: read("/proc/sys/kernel/osrelease"),
            kubelet_version: self.kubelet_version.clone(),
            machine_id: self.node.name.clone(),
            operating_system: "linux".to_owned(),
            os_image: "maglev sandbox (processes on one machine)".to_owned(),
            system_uuid: self.node.name.clone(),
            ..NodeSystemInfo::default()
        }
    }
}

fn labels(name: &str) -> BTreeMap<String, String> {
    let label = |key: &str, value: &str| (format!("kubernetes.io/{key}"), value.to_owned());
    BTreeMap::from([label("hostname", name), label("os", "linux"), label("arch", go_architecture())])
}

/// The architecture in Go's terms, as used by Kubernetes.
fn go_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The resources of the machine, which all nodes of the sandbox share.
fn capacity() -> BTreeMap<String, Quantity> {
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB"));
    let quantity = |name: &str, value: String| (name.to_owned(), Quantity(value));
    BTreeMap::from([
        quantity("cpu", cpus.to_string()),
        quantity("memory", format!("{}Ki", memory.unwrap_or("1048576"))),
        quantity("pods", "110".to_owned()),
    ])
}

/// The current conditions. Unchanged conditions keep their transition time.
fn conditions(before: Option<&NodeStatus>, now: Timestamp) -> Vec<NodeCondition> {
    let since = |kind: &str, status: &str| {
        let same = |c: &&NodeCondition| c.type_ == kind && c.status == status;
        before?.conditions.iter().flatten().find(same)?.last_transition_time.clone()
    };
    let all = [
        ("Ready", "True", "KubeletReady", "this node of the sandbox runs pods as local processes"),
        ("MemoryPressure", "False", "KubeletHasSufficientMemory", "not measured in the sandbox"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "not measured in the sandbox"),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "not measured in the sandbox"),
    ];
    let condition = |(kind, status, reason, message): (&str, &str, &str, &str)| NodeCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_heartbeat_time: Some(Time(now)),
        last_transition_time: Some(since(kind, status).unwrap_or(Time(now))),
    };
    all.into_iter().map(condition).collect()
}
