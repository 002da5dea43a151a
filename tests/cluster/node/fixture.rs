//! A node of a test's own on the shared control plane, whose "binaries" are shell scripts that the test writes.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, ContainerStatus, Pod};
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use maglev_sandbox::node::{Node, NodeOptions, Timings};
use maglev_sandbox::processes::Processes;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::harness::{Cluster, cluster, eventually};

/// What reading a file of a process answers when the process ends meanwhile.
const ESRCH: i32 = 3;

/// A running node, a namespace, and what a pod needs to be accepted there.
pub struct Fixture {
    pub cluster: &'static Cluster,
    pub namespace: String,
    pub client: Client,
    pub node: Node,
    pub options: NodeOptions,
    pub shutdown: CancellationToken,
}

/// A kubelet's rules at a quicker pace.
fn quick() -> Timings {
    Timings {
        restart_base: Duration::from_millis(300),
        restart_max: Duration::from_secs(60),
        retry: Duration::from_millis(100),
        heartbeat: Duration::from_millis(500),
        stop_within: Duration::from_secs(1),
    }
}

/// `number` must differ from test to test: it chooses the node's name and addresses.
pub async fn fixture(test: &str, number: u8) -> Fixture {
    let cluster = cluster().await;
    let namespace = cluster.namespace(test).await;
    cluster.service_account(&namespace, "default").await;
    let client = cluster.client().await;
    // What the controller manager would publish.
    config_map(&client, &namespace, "kube-root-ca.crt", &[("ca.crt", cluster.plane().authority().certificate_pem())])
        .await;
    let processes = Processes::start().unwrap();
    let name = format!("node-{number}");
    let mut options = NodeOptions::new(cluster.plane(), cluster.dir(), &processes, &name, number).await.unwrap();
    options.binaries = cluster.dir().join(format!("bin-{number}"));
    options.timings = quick();
    std::fs::create_dir_all(&options.binaries).unwrap();
    let shutdown = CancellationToken::new();
    let node = Node::start(options.clone(), shutdown.clone()).await.unwrap();
    Fixture { cluster, namespace, client, node, options, shutdown }
}

pub async fn config_map(client: &Client, namespace: &str, name: &str, data: &[(&str, &str)]) {
    let metadata = ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() };
    let data = data.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let map = ConfigMap { metadata, data: Some(data), ..ConfigMap::default() };
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    maps.create(&PostParams::default(), &map).await.unwrap();
}

impl Fixture {
    pub fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Makes a binary out of a shell script.
    pub fn binary(&self, name: &str, script: &str) {
        let path = self.options.binaries.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// The real place of a path on the node.
    pub fn on_node(&self, path: &str) -> PathBuf {
        self.options.root.join(path.trim_start_matches('/'))
    }

    /// Binds a pod to the node; `container` and `spec` are laid over the usual ones.
    pub async fn run(&self, name: &str, container: Value, spec: Value) {
        let mut all = json!({"name": "main", "image": "none", "command": ["/usr/bin/main"]});
        overlay(&mut all, container);
        let mut pod = json!({"nodeName": self.options.name, "terminationGracePeriodSeconds": 1, "containers": [all]});
        overlay(&mut pod, spec);
        let pod = json!({"metadata": {"name": name}, "spec": pod});
        self.pods().create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    }

    /// The pod's one container once it is as wanted.
    pub async fn container(&self, pod: &str, what: &str, wanted: impl Fn(&ContainerStatus) -> bool) -> ContainerStatus {
        let question = async || {
            let status = self.pods().get(pod).await.unwrap().status?.container_statuses?.pop()?;
            wanted(&status).then_some(status)
        };
        eventually(&format!("the container of {pod} is {what}"), question).await
    }

    /// Waits for a condition of the pod.
    pub async fn condition(&self, pod: &str, kind: &str, status: &str) {
        let question = async || {
            let conditions = self.pods().get(pod).await.unwrap().status?.conditions?;
            conditions.iter().any(|c| c.type_ == kind && c.status == status).then_some(())
        };
        eventually(&format!("{pod} is {kind}={status}"), question).await;
    }

    /// The pod's address once it has one.
    pub async fn address(&self, pod: &str) -> std::net::IpAddr {
        let question = async || self.pods().get(pod).await.unwrap().status?.pod_ip?.parse().ok();
        eventually(&format!("{pod} has an address"), question).await
    }

    /// Waits until the pod's log holds a line that begins with `start`, and returns the rest of that line.
    pub async fn line(&self, pod: &str, start: &str) -> String {
        let question = async || {
            let log = self.pods().logs(pod, &kube::api::LogParams::default()).await.ok()?;
            log.lines().find_map(|line| line.strip_prefix(start).map(str::to_owned))
        };
        eventually(&format!("{pod} printed {start:?}"), question).await
    }

    /// Runs kubectl in the test's namespace.
    pub async fn kubectl(&self, args: &[&str]) -> String {
        self.cluster.kubectl(&[args, &["-n", &self.namespace]].concat()).await
    }

    pub async fn is_gone(&self, pod: &str) {
        eventually(&format!("{pod} is gone"), async || self.pods().get_opt(pod).await.unwrap().is_none().then_some(()))
            .await;
    }

    /// Stops the node and waits for its end.
    pub async fn stop(self) {
        self.shutdown.cancel();
        self.node.stopped().await;
    }
}

fn overlay(base: &mut Value, over: Value) {
    let Value::Object(over) = over else { panic!("only objects are laid over each other") };
    base.as_object_mut().unwrap().extend(over);
}

/// Whether a process still runs: one that waits to be reaped (Z) or is being reaped (X) does not. Only the system's word that there is no
/// such process counts as an end; any other error would be taken for one.
pub fn runs(pid: &str) -> bool {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => ![") Z ", ") X "].iter().any(|over| stat.contains(over)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound || error.raw_os_error() == Some(ESRCH) => false,
        Err(error) => panic!("cannot tell whether {pid} runs: {error}"),
    }
}
