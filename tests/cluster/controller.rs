//! The controller against a real API server, with the rights that the chart grants: status, Events, the Lease.
//!
//! The controller writes the status of every object in the cluster, so these tests run one at a time on a control plane
//! of their own.

mod agents;
mod long_names;
mod node_registration;
mod process;
mod refused_addresses;
mod reports;
mod services;
mod stored_nat;

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::Api;
use maglev_controller::{Controller, ControllerMetrics, ControllerOptions};
use maglev_kube::lease::LeaderState;
use maglev_kube::{Delays, LeaseLoop, LeaseOptions};
use maglev_sandbox::assets::Tool;
use tokio::sync::{Mutex, MutexGuard, OnceCell, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use self::agents::Agents;
use self::reports::programmed_report;
use super::harness::{Cluster, delete_cluster_scoped, eventually, own_control_plane, run};

/// Locks the control plane of these tests.
async fn lock_control_plane() -> MutexGuard<'static, Cluster> {
    static PLANE: OnceCell<Mutex<Cluster>> = OnceCell::const_new();
    PLANE.get_or_init(async || Mutex::new(own_control_plane("controller", false).await)).await.lock().await
}

const MANIFESTS: &str = "
apiVersion: maglev.vpp.io/v1alpha1
kind: Backend
metadata: {name: one}
spec: {address: 192.0.2.1}
---
apiVersion: maglev.vpp.io/v1alpha1
kind: Frontend
metadata: {name: web}
spec:
  address: 203.0.113.ADDRESS
  protocol: TCP
  port: 80
  pools: [{name: primary, backends: [{name: one, weight: WEIGHT}]}]
";

fn manifests(address: u8, weight: u8) -> String {
    MANIFESTS.replace("ADDRESS", &address.to_string()).replace("WEIGHT", &weight.to_string())
}

/// Creates a namespace with the chart's roles for the controller, and the ServiceAccount of pods.
async fn install_controller_role(cluster: &Cluster, test: &str) -> String {
    let namespace = install_controller_rights(cluster, test).await;
    cluster.service_account(&namespace, "default").await;
    namespace
}

/// Creates a namespace with the chart's roles for the controller.
async fn install_controller_rights(cluster: &Cluster, test: &str) -> String {
    let namespace = cluster.namespace(test).await;
    let values = format!("crds.install=false,{}", super::chart::NODES);
    let args = ["template", "maglev", "charts/maglev", "--namespace", &namespace, "--set", &values];
    let only = ["rbac", "serviceaccount"].map(|file| format!("templates/controller/{file}.yaml"));
    let only = ["--show-only", &only[0], "--show-only", &only[1]];
    let output = run(cluster.tool(Tool::Helm).args(args).args(only), "").await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    cluster.apply(&namespace, &String::from_utf8(output.stdout).unwrap()).await.unwrap();
    namespace
}

/// Creates a Node and an agent's pod bound to it. The pod does not run and its DaemonSet does not exist: the control plane
/// has no controllers.
async fn create_agent_pod(cluster: &Cluster, namespace: &str, node: &str) {
    let node_and_pod = format!(
        "
apiVersion: v1
kind: Node
metadata: {{name: {node}}}
---
apiVersion: v1
kind: Pod
metadata:
  name: maglevd-{node}
  labels: {{app.kubernetes.io/name: maglev, app.kubernetes.io/component: maglevd}}
  ownerReferences:
  - {{apiVersion: apps/v1, kind: DaemonSet, name: maglevd, uid: {node}, controller: true}}
spec:
  nodeName: {node}
  containers: [{{name: maglevd, image: none}}]
"
    );
    cluster.apply(namespace, &node_and_pod).await.unwrap();
}

/// A replica of the controller that competes for the Lease.
struct Replica {
    state_rx: watch::Receiver<LeaderState>,
    shutdown: Option<DropGuard>,
    task: tokio::task::JoinHandle<()>,
}

impl Replica {
    /// Starts a replica as the chart's ServiceAccount, connected to `agents`.
    async fn start(cluster: &Cluster, namespace: &str, identity: &str, agents: &Agents) -> Self {
        Self::start_with(cluster, ControllerOptions::new(namespace, identity), agents).await
    }

    async fn start_with(cluster: &Cluster, options: ControllerOptions, agents: &Agents) -> Self {
        let (namespace, identity) = (&options.namespace.clone(), &options.identity.clone());
        let client = cluster.client_as(namespace, "maglev-controller").await;
        let delays = Delays { coalesce: Duration::from_millis(50), ..Delays::default() };
        let options = ControllerOptions { delays, ..options };
        let metrics = ControllerMetrics::new().unwrap();
        let controller = Controller::new(client.clone(), options, Arc::new(agents.clone()), metrics);
        let options = LeaseOptions {
            duration: Duration::from_secs(4),
            margin: Duration::from_secs(1),
            renew: Duration::from_secs(1),
            retry: Duration::from_millis(300),
            ..LeaseOptions::new(namespace, "maglev-controller", identity.to_owned())
        };
        let lease = LeaseLoop::new(client, options);
        let (state_rx, shutdown) = (lease.state(), CancellationToken::new());
        let lead = Box::new(move |leadership, shutdown| controller.lead(leadership, shutdown));
        let task = tokio::spawn(lease.run(lead, shutdown.clone()));
        Self { state_rx, shutdown: Some(shutdown.drop_guard()), task }
    }

    async fn until_leads(&self) {
        eventually("the replica leads", async || (*self.state_rx.borrow() == LeaderState::Leads).then_some(())).await;
    }

    /// Stops the replica as SIGTERM does.
    async fn stop(mut self) {
        drop(self.shutdown.take());
        self.task.await.unwrap();
    }

    /// Ends the replica as SIGKILL does, without any further request.
    async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

/// Waits for a condition of an object, in kubectl's notation.
async fn kubectl_wait(cluster: &Cluster, namespace: &str, object: &str, condition: &str) {
    let condition = format!("--for=condition={condition}");
    cluster.kubectl(&["wait", &condition, object, "-n", namespace, "--timeout=30s"]).await;
}

async fn lease_holder(cluster: &Cluster, namespace: &str) -> Option<String> {
    let leases: Api<Lease> = Api::namespaced(cluster.client().await, namespace);
    leases.get_opt("maglev-controller").await.unwrap()?.spec?.holder_identity
}

#[tokio::test]
async fn status_follows_the_agents_reports() {
    let cluster = lock_control_plane().await;
    let namespace = install_controller_role(&cluster, "answers").await;
    let [a, b] = ["a", "b"].map(|node| format!("{namespace}-{node}"));
    let agents = Agents::default();
    for node in [&a, &b] {
        create_agent_pod(&cluster, &namespace, node).await;
        agents.connect(node);
    }
    let replica = Replica::start(&cluster, &namespace, "first", &agents).await;
    cluster.apply(&namespace, &manifests(1, 10)).await.unwrap();
    kubectl_wait(&cluster, &namespace, "mfe/web", "Accepted").await;
    let programmed = programmed_report(&cluster, &namespace, "web").await;
    agents.report(&a, &programmed);
    agents.report(&b, &programmed);
    for condition in ["Programmed", "Available", "Ready"] {
        kubectl_wait(&cluster, &namespace, "mfe/web", condition).await;
    }
    kubectl_wait(&cluster, &namespace, "mbe/one", "Ready").await;
    eventually("the active pool is written", async || {
        agents::status(&cluster, &namespace, "web").await.active_pool.filter(|pool| pool == "primary")
    })
    .await;
    let listed = cluster.kubectl(&["get", "maglev", "-A", "-o", "wide"]).await;
    for text in ["203.0.113.1", "1/1", "2/2", "Up", &a] {
        assert!(listed.contains(text), "{text} is not in {listed}");
    }
    let node = cluster.kubectl(&["get", "mnode", &a, "-o", "json"]).await;
    assert!(node.contains("ownerReferences") && node.contains("\"AgentConnected\""), "{node}");

    // kubectl compares the condition's observedGeneration, so the condition of an old generation does not count.
    cluster.apply(&namespace, &manifests(1, 20)).await.unwrap();
    eventually("the status is of the new generation", async || {
        let status = agents::status(&cluster, &namespace, "web").await;
        (status.observed_generation == Some(2)).then_some(())
    })
    .await;
    let wait_for_programmed = ["wait", "--for=condition=Programmed", "mfe/web", "-n", &namespace, "--timeout=1s"];
    assert!(!cluster.kubectl_with(&wait_for_programmed, "").await.status.success());
    let programmed = programmed_report(&cluster, &namespace, "web").await;
    agents.report(&a, &programmed);
    agents.fail(&b, &programmed, "NoSourceAddress");
    eventually("the failure is in an Event", async || {
        let described = cluster.kubectl(&["describe", "mfe/web", "-n", &namespace]).await;
        (described.contains("NoSourceAddress") && described.contains("on 1 of 2 nodes")).then_some(())
    })
    .await;
    replica.stop().await;
    assert_eq!(lease_holder(&cluster, &namespace).await.unwrap_or_default(), "", "the Lease is released");
    cluster.kubectl(&["delete", "mfe/web", "mbe/one", "-n", &namespace]).await;
    delete_cluster_scoped(&cluster, &["node", "mnode"], &[&a, &b]).await;
}

#[tokio::test]
async fn conflicts_are_reported_and_a_lost_agent_blocks_no_deletion() {
    let cluster = lock_control_plane().await;
    let namespace = install_controller_role(&cluster, "conflict").await;
    let node = format!("{namespace}-a");
    let agents = Agents::default();
    create_agent_pod(&cluster, &namespace, &node).await;
    agents.connect(&node);
    let replica = Replica::start(&cluster, &namespace, "first", &agents).await;
    cluster.apply(&namespace, &manifests(2, 10)).await.unwrap();
    kubectl_wait(&cluster, &namespace, "mfe/web", "Accepted").await;
    // The older object wins, then the name: "zweb" loses even if both are created in the same second.
    cluster.apply(&namespace, &manifests(2, 10).replace("name: web", "name: zweb")).await.unwrap();
    kubectl_wait(&cluster, &namespace, "mfe/zweb", "Conflicted").await;
    let described = cluster.kubectl(&["describe", "mfe/zweb", "-n", &namespace]).await;
    assert!(described.contains("Conflicted") && described.contains("\"web\""), "{described}");

    agents.disconnect(&node, "connection refused");
    cluster.kubectl(&["wait", "--for=condition=AgentConnected=False", "mnode", &node, "--timeout=30s"]).await;
    let finalizers = cluster.kubectl(&["get", "mfe,mbe,mnode", "-A", "-o", "jsonpath={..metadata.finalizers}"]).await;
    assert_eq!(finalizers.trim(), "");
    cluster.kubectl(&["delete", "mfe/web", "-n", &namespace, "--timeout=20s"]).await;
    eventually("the other Frontend has the address", async || {
        let status = agents::status(&cluster, &namespace, "zweb").await;
        status.conditions.iter().all(|condition| condition.type_ != "Conflicted").then_some(())
    })
    .await;
    replica.stop().await;
    cluster.kubectl(&["delete", "mfe/zweb", "mbe/one", "-n", &namespace]).await;
    delete_cluster_scoped(&cluster, &["node", "mnode"], &[&node]).await;
}

#[tokio::test]
async fn second_replica_takes_over_the_lease() {
    let cluster = lock_control_plane().await;
    let namespace = install_controller_role(&cluster, "lease").await;
    let agents = Agents::default();
    let first = Replica::start(&cluster, &namespace, "first", &agents).await;
    first.until_leads().await;
    let second = Replica::start(&cluster, &namespace, "second", &agents).await;
    eventually("the second replica follows the first", async || {
        (*second.state_rx.borrow() == LeaderState::Follows("first".to_owned())).then_some(())
    })
    .await;
    first.stop().await;
    second.until_leads().await;
    assert_eq!(lease_holder(&cluster, &namespace).await.as_deref(), Some("second"));
    let third = Replica::start(&cluster, &namespace, "third", &agents).await;
    second.kill().await;
    assert_eq!(
        lease_holder(&cluster, &namespace).await.as_deref(),
        Some("second"),
        "a killed replica does not release the Lease"
    );
    third.until_leads().await;
    cluster.apply(&namespace, &manifests(3, 10)).await.unwrap();
    kubectl_wait(&cluster, &namespace, "mbe/one", "Ready").await;
    third.stop().await;
    cluster.kubectl(&["delete", "mfe/web", "mbe/one", "-n", &namespace]).await;
}

const HOUR: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);
/// Duration of the Lease that [`renew`] writes.
const OTHER_DURATION: Duration = Duration::from_secs(4);

/// Renews the Lease as another replica whose clock shows `at`.
async fn renew(cluster: &Cluster, namespace: &str, at: jiff::Timestamp) {
    let lease = format!(
        "
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {{name: maglev-controller}}
spec: {{holderIdentity: other, leaseDurationSeconds: 4, renewTime: \"{at:.6}\"}}
"
    );
    cluster.apply(namespace, &lease).await.unwrap();
}

/// Starts a replica that follows a holder whose clock is an hour late, and renews the Lease for twice its duration.
/// `None` if this machine stalled for longer than the Lease's duration, so that the replica rightly acquired it.
async fn follow_holder_with_late_clock(cluster: &Cluster, attempt: u32) -> Option<(Replica, String)> {
    let namespace = install_controller_role(cluster, &format!("skew-{attempt}")).await;
    let renew_late = async || renew(cluster, &namespace, jiff::Timestamp::now() - HOUR).await;
    renew_late().await;
    let replica = Replica::start(cluster, &namespace, "first", &Agents::default()).await;
    let follows = || *replica.state_rx.borrow() == LeaderState::Follows("other".to_owned());
    let start = Instant::now();
    eventually("the replica follows", async || follows().then_some(())).await;
    let mut last_renewal = start;
    while start.elapsed() < 2 * OTHER_DURATION {
        let renewal = Instant::now();
        renew_late().await;
        if last_renewal.elapsed() >= OTHER_DURATION {
            replica.stop().await;
            return None;
        }
        assert!(follows(), "{:?}", *replica.state_rx.borrow());
        last_renewal = renewal;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Some((replica, namespace))
}

#[tokio::test]
async fn clock_skew_neither_extends_an_expired_lease_nor_loses_a_renewed_one() {
    let cluster = lock_control_plane().await;
    let mut attempt = 0;
    let (replica, namespace) = loop {
        attempt += 1;
        if let Some(follower) = follow_holder_with_late_clock(&cluster, attempt).await {
            break follower;
        }
    };
    // The last renewal has a time in the future; it expires by the replica's own clock.
    renew(&cluster, &namespace, jiff::Timestamp::now() + HOUR).await;
    replica.until_leads().await;
    replica.stop().await;
}

#[tokio::test]
async fn status_write_from_a_stale_version_is_refused() {
    use maglev_kube::{StatusKind, StatusObject, StatusWriter, StoredStatus, WriteError};
    use maglev_model::{Name, config::Kind};

    let cluster = lock_control_plane().await;
    let namespace = cluster.namespace("stale").await;
    cluster.apply(&namespace, &manifests(4, 10)).await.unwrap();
    let leases = LeaseOptions::new(&namespace, "test", "test".to_owned());
    let (writers, mut writers_rx) = tokio::sync::mpsc::channel(1);
    let client = cluster.client().await;
    let lease = LeaseLoop::new(client.clone(), leases);
    let lead = {
        let client = client.clone();
        Box::new(move |leadership, shutdown: CancellationToken| {
            writers.try_send(StatusWriter::new(client.clone(), leadership)).unwrap();
            Box::pin(async move { shutdown.cancelled().await }) as futures::future::BoxFuture<'static, ()>
        })
    };
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(lease.run(lead, shutdown.clone()));
    let writer = writers_rx.recv().await.unwrap();

    let frontends: Api<maglev_crd::Frontend> = Api::namespaced(client, &namespace);
    let metadata = frontends.get("web").await.unwrap().metadata;
    let from = StoredStatus {
        uid: metadata.uid.unwrap().into(),
        generation: 1,
        version: metadata.resource_version.unwrap(),
        status: serde_json::Value::Null,
    };
    let object = StatusObject { kind: StatusKind::Kind(Kind::Frontend), name: &Name::namespaced(&namespace, "web") };
    let written = writer.write(object, &from, &serde_json::json!({ "activePool": "primary" })).await.unwrap();
    assert_ne!(written.version, from.version);
    let stale = writer.write(object, &from, &serde_json::json!({ "activePool": "other" })).await;
    assert!(matches!(stale, Err(WriteError::Conflict)), "{stale:?}");
    shutdown.cancel();
    task.await.unwrap();
    let late = writer.write(object, &written, &serde_json::json!({ "activePool": "late" })).await;
    assert!(matches!(late, Err(WriteError::NotLeading)), "{late:?}");
    let status = frontends.get("web").await.unwrap().status.unwrap();
    assert_eq!(status.active_pool.as_deref(), Some("primary"));
    cluster.kubectl(&["delete", "mfe/web", "mbe/one", "-n", &namespace]).await;
}
