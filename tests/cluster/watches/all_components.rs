//! Faults of the API server and its connections, against the watches of the agent, the controller and the dashboard.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use futures::StreamExt;
use kube::Client;
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use maglev_crd as crd;
use maglev_kube::objects::{ObjectKind, ObjectsWatch};
use maglev_kube::{ClusterWatch, KindUpdate};
use maglev_model::Name;
use maglev_model::config::Kind;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::tcp_proxy::TcpProxy;
use super::{Agent, DELAYS, READER, backend, delete, grant, namespace_with_node, withdraw};
use crate::harness::{Cluster, cluster, eventually, own_control_plane};

/// Returns the names of the objects of a kind in a namespace.
type Names = Box<dyn Fn(Kind, &str) -> BTreeSet<String>>;

/// The watch of one component.
pub struct Watcher {
    component: &'static str,
    names: Names,
    _shutdown: Option<DropGuard>,
}

fn names_in<'a>(names: impl Iterator<Item = &'a Name>, namespace: &str) -> BTreeSet<String> {
    names.filter(|name| name.namespace() == namespace).map(|name| name.name().to_owned()).collect()
}

impl Watcher {
    /// The agent, the controller and the dashboard, each watching through `client`.
    pub fn all(client: &Client, namespace: &str) -> [Self; 3] {
        [
            Self::agent(client.clone(), namespace),
            Self::controller(client.clone(), namespace),
            Self::dashboard(client.clone()),
        ]
    }

    fn agent(client: Client, namespace: &str) -> Self {
        let agent = Agent::start(client, namespace);
        let names = move |kind, namespace: &str| {
            // Captures the whole agent, so that its watches run as long as this closure exists.
            let agent: &Agent = &agent;
            let config = agent.config_rx.borrow();
            config.as_ref().map_or_else(BTreeSet::new, |config| match kind {
                Kind::Backend => names_in(config.backends.keys(), namespace),
                _ => names_in(config.frontends.keys(), namespace),
            })
        };
        Self { component: "the agent", names: Box::new(names), _shutdown: None }
    }

    fn controller(client: Client, namespace: &str) -> Self {
        let (watch, mut updates) = ClusterWatch::new(client, namespace, DELAYS);
        let shutdown = CancellationToken::new();
        tokio::spawn(watch.run(shutdown.clone()));
        let existing: Arc<Mutex<BTreeSet<(Kind, Name)>>> = Arc::default();
        let updated = Arc::clone(&existing);
        tokio::spawn(async move {
            while let Some(KindUpdate { kind, deleted, objects, .. }) = updates.kinds.recv().await {
                let mut existing = updated.lock().unwrap();
                for name in deleted {
                    existing.remove(&(kind, name));
                }
                existing.extend(objects.into_iter().map(|observed| (kind, observed.object.name())));
            }
        });
        let names = move |kind, namespace: &str| {
            let existing = existing.lock().unwrap();
            names_in(existing.iter().filter(|key| key.0 == kind).map(|key| &key.1), namespace)
        };
        Self { component: "the controller", names: Box::new(names), _shutdown: Some(shutdown.drop_guard()) }
    }

    fn dashboard(client: Client) -> Self {
        let (watch, objects) = ObjectsWatch::new(client, DELAYS);
        let shutdown = CancellationToken::new();
        tokio::spawn(watch.run(shutdown.clone()));
        let names = move |kind, namespace: &str| {
            let kind = if kind == Kind::Backend { ObjectKind::Backend } else { ObjectKind::Frontend };
            let objects = objects.borrow();
            names_in(objects.objects.keys().filter(|key| key.kind == kind).map(|key| &key.name), namespace)
        };
        Self { component: "the dashboard", names: Box::new(names), _shutdown: Some(shutdown.drop_guard()) }
    }

    /// Waits until the component has exactly these objects.
    pub async fn until_objects(&self, kind: Kind, namespace: &str, expected: &[&str]) {
        let expected: BTreeSet<String> = expected.iter().map(|name| (*name).to_owned()).collect();
        let matches = async || ((self.names)(kind, namespace) == expected).then_some(());
        eventually(&format!("{} has {expected:?}", self.component), matches).await;
    }
}

/// A proxy to the API server, and a client that connects through it.
async fn proxied_client(cluster: &Cluster) -> (TcpProxy, Client) {
    let mut config = cluster.plane().config().await.unwrap();
    let proxy = TcpProxy::start(&config).await;
    config.cluster_url = format!("https://127.0.0.1:{}", proxy.port()).parse().unwrap();
    // As in the programs, a request on a stalled pooled connection ends; here after a shorter time.
    config.read_timeout = Some(std::time::Duration::from_secs(3));
    (proxy, Client::try_from(config).unwrap())
}

#[tokio::test]
async fn expired_resource_version_is_listed_again() {
    let cluster = own_control_plane("expired", false).await;
    let namespace = namespace_with_node(&cluster, "expired").await;
    cluster.apply(&namespace, &(backend("one", "192.0.2.1") + &backend("two", "192.0.2.2"))).await.unwrap();
    let (mut proxy, client) = proxied_client(&cluster).await;
    let watchers = Watcher::all(&client, &namespace);
    for watcher in &watchers {
        watcher.until_objects(Kind::Backend, &namespace, &["one", "two"]).await;
    }
    let backends: Api<crd::Backend> = Api::namespaced(cluster.client().await, &namespace);
    let before = backends.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();

    proxy.close().await;
    cluster.apply(&namespace, &backend("three", "192.0.2.3")).await.unwrap();
    delete(&cluster, &namespace, "one").await;
    // After its start the API server has no events from before.
    cluster.plane().stop_api_server().await;
    cluster.plane().start_api_server().await.unwrap();
    let backends: Api<crd::Backend> = Api::namespaced(cluster.client().await, &namespace);
    let expired = eventually("the API server rejects the old version", async || {
        let mut events = backends.watch(&WatchParams::default(), &before).await.ok()?.boxed();
        match events.next().await? {
            Ok(WatchEvent::Error(status)) => Some(status.code),
            Ok(event) => panic!("the API server still has the event {event:?}"),
            Err(_) => None,
        }
    })
    .await;
    assert_eq!(expired, 410);
    proxy.open().await;
    for watcher in &watchers {
        watcher.until_objects(Kind::Backend, &namespace, &["two", "three"]).await;
    }
}

#[tokio::test]
async fn stalled_connections_are_replaced() {
    let cluster = cluster().await;
    let namespace = namespace_with_node(cluster, "stalled").await;
    cluster.apply(&namespace, &backend("one", "192.0.2.1")).await.unwrap();
    let (proxy, client) = proxied_client(cluster).await;
    let watchers = Watcher::all(&client, &namespace);
    for watcher in &watchers {
        watcher.until_objects(Kind::Backend, &namespace, &["one"]).await;
    }
    proxy.stall();
    cluster.apply(&namespace, &backend("two", "192.0.2.2")).await.unwrap();
    for watcher in &watchers {
        watcher.until_objects(Kind::Backend, &namespace, &["one", "two"]).await;
    }
}

const FRONTEND: &str = "
apiVersion: maglev.vpp.io/v1alpha1
kind: Frontend
metadata: {name: NAME}
spec: {address: 203.0.113.ADDRESS, pools: [{name: primary, backends: [{name: one}]}]}
";

#[tokio::test]
async fn unreadable_kind_keeps_its_objects_and_blocks_no_other_kind() {
    let cluster = cluster().await;
    let namespace = namespace_with_node(cluster, "partial").await;
    cluster.service_account(&namespace, "agent").await;
    let reader = READER.replace("NAME", &namespace);
    let rest = reader.replace("['*']", "[healthchecks, frontends, loadbalancerconfigs, addresspolicies, maglevnodes]");
    let rest = rest.replace("resources: [nodes]", "resources: [nodes, pods]");
    let only = "
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: NAME-backends}
rules: [{apiGroups: [maglev.vpp.io], resources: [backends], verbs: [get, list, watch]}]
";
    cluster.apply(&namespace, &(rest + &only.replace("NAME", &namespace))).await.unwrap();
    for role in ["lists", "crds", "backends"] {
        grant(cluster, &namespace, role).await;
    }
    let frontend = |name: &str, address: &str| FRONTEND.replace("NAME", name).replace("ADDRESS", address);
    cluster.apply(&namespace, &(backend("one", "192.0.2.1") + "---" + &frontend("web", "151"))).await.unwrap();
    let watchers = Watcher::all(&cluster.client_as(&namespace, "agent").await, &namespace);
    for watcher in &watchers {
        watcher.until_objects(Kind::Backend, &namespace, &["one"]).await;
        watcher.until_objects(Kind::Frontend, &namespace, &["web"]).await;
    }

    withdraw(cluster, &namespace, "backends").await;
    let account = format!("system:serviceaccount:{namespace}:agent");
    let can_list = ["auth", "can-i", "list", "backends.maglev.vpp.io", "--as", &account];
    let withdrawn = async || (!cluster.kubectl_with(&can_list, "").await.status.success()).then_some(());
    eventually("the right to list Backends is withdrawn", withdrawn).await;
    delete(cluster, &namespace, "one").await;
    cluster.apply(&namespace, &backend("two", "192.0.2.2")).await.unwrap();
    cluster.apply(&namespace, &frontend("api", "152")).await.unwrap();
    for watcher in &watchers {
        watcher.until_objects(Kind::Frontend, &namespace, &["api", "web"]).await;
    }
    grant(cluster, &namespace, "backends").await;
    for watcher in &watchers {
        watcher.until_objects(Kind::Backend, &namespace, &["two"]).await;
    }
    cluster.kubectl(&["delete", "mfe", "api", "web", "-n", &namespace]).await;
}
