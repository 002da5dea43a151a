//! A sandbox node for one test on the shared control plane. Its "binaries" are shell scripts that the test writes.

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

/// Error number of a read from `/proc/PID` after the process has ended.
const ESRCH: i32 = 3;

/// A running node, and a namespace with the objects that pods need.
pub struct Fixture {
    pub cluster: &'static Cluster,
    pub namespace: String,
    pub client: Client,
    pub node: Node,
    pub options: NodeOptions,
    pub shutdown: CancellationToken,
}

/// A kubelet's delays, shortened for tests.
fn short_timings() -> Timings {
    Timings {
        restart_base: Duration::from_millis(300),
        restart_max: Duration::from_secs(60),
        retry: Duration::from_millis(100),
        refresh: Duration::from_millis(100),
        heartbeat: Duration::from_millis(500),
        stop_within: Duration::from_secs(1),
    }
}

/// Starts the node `node-NUMBER`. `number` must be unique, as it also determines the node's addresses.
pub async fn fixture(test: &str, number: u8) -> Fixture {
    let cluster = cluster().await;
    let namespace = cluster.namespace(test).await;
    cluster.service_account(&namespace, "default").await;
    let client = cluster.client().await;
    // The controller manager would create this ConfigMap.
    config_map(&client, &namespace, "kube-root-ca.crt", &[("ca.crt", cluster.plane().authority().certificate_pem())])
        .await;
    let processes = Processes::start().unwrap();
    let name = format!("node-{number}");
    let mut options = NodeOptions::new(cluster.plane(), cluster.dir(), &processes, &name, number).await.unwrap();
    options.binaries = cluster.dir().join(format!("bin-{number}"));
    options.timings = short_timings();
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

    /// Writes a shell script as a binary.
    pub fn binary(&self, name: &str, script: &str) {
        let path = self.options.binaries.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Path on this machine of a path on the node.
    pub fn on_node(&self, path: &str) -> PathBuf {
        self.options.root.join(path.trim_start_matches('/'))
    }

    /// Creates a pod on the node. `container` and `spec` replace fields of the default container and pod.
    pub async fn run(&self, name: &str, container: Value, spec: Value) {
        let mut all = json!({"name": "main", "image": "none", "command": ["/usr/bin/main"]});
        overlay(&mut all, container);
        let mut pod = json!({"nodeName": self.options.name, "terminationGracePeriodSeconds": 1, "containers": [all]});
        overlay(&mut pod, spec);
        let pod = json!({"metadata": {"name": name}, "spec": pod});
        self.pods().create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    }

    /// Waits until the status of the pod's only container fulfils `matches`, and returns it.
    pub async fn container(
        &self,
        pod: &str,
        state: &str,
        matches: impl Fn(&ContainerStatus) -> bool,
    ) -> ContainerStatus {
        let poll = async || {
            let status = self.pods().get(pod).await.unwrap().status?.container_statuses?.pop()?;
            matches(&status).then_some(status)
        };
        eventually(&format!("the container of {pod} is {state}"), poll).await
    }

    /// Waits for a condition of the pod.
    pub async fn condition(&self, pod: &str, kind: &str, status: &str) {
        let poll = async || {
            let conditions = self.pods().get(pod).await.unwrap().status?.conditions?;
            conditions.iter().any(|c| c.type_ == kind && c.status == status).then_some(())
        };
        eventually(&format!("{pod} is {kind}={status}"), poll).await;
    }

    /// Waits for the pod's address.
    pub async fn address(&self, pod: &str) -> std::net::IpAddr {
        let poll = async || self.pods().get(pod).await.unwrap().status?.pod_ip?.parse().ok();
        eventually(&format!("{pod} has an address"), poll).await
    }

    /// Waits until the pod's log has a line that begins with `start`, and returns the rest of that line.
    pub async fn line(&self, pod: &str, start: &str) -> String {
        let poll = async || {
            let log = self.pods().logs(pod, &kube::api::LogParams::default()).await.ok()?;
            log.lines().find_map(|line| line.strip_prefix(start).map(str::to_owned))
        };
        eventually(&format!("{pod} has printed {start:?}"), poll).await
    }

    /// Runs kubectl in the test's namespace.
    pub async fn kubectl(&self, args: &[&str]) -> String {
        self.cluster.kubectl(&[args, &["-n", &self.namespace]].concat()).await
    }

    pub async fn until_removed(&self, pod: &str) {
        eventually(&format!("{pod} is removed"), async || {
            self.pods().get_opt(pod).await.unwrap().is_none().then_some(())
        })
        .await;
    }

    /// Stops the node and waits until it has ended.
    pub async fn stop(self) {
        self.shutdown.cancel();
        self.node.stopped().await;
    }
}

fn overlay(base: &mut Value, over: Value) {
    let Value::Object(over) = over else { panic!("the fields to replace are not a JSON object") };
    base.as_object_mut().unwrap().extend(over);
}

/// True if a process runs. A process in state Z or X waits to be reaped and does not run. Panics on errors other than
/// "no such process", so that they are not mistaken for the process's end.
pub fn runs(pid: &str) -> bool {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => ![") Z ", ") X "].iter().any(|state| stat.contains(state)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound || error.raw_os_error() == Some(ESRCH) => false,
        Err(error) => panic!("cannot read the state of process {pid}: {error}"),
    }
}
