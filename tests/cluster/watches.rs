//! The watches against a real API server: changes of objects arrive, and missing information removes nothing.

mod all_components;
mod bookmarks;
mod faulty_api;
mod slow_api_server;
pub mod tcp_proxy;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use maglev_kube::{Delays, WatchOptions, Watches};
use maglev_model::Name;
use maglev_model::config::Config;
use maglev_model::event::Level;
use maglev_telemetry::{LogFormat, LogGuard, LogOptions};
use maglev_testkit::EventCollector;
use tokio::sync::{Mutex as AsyncMutex, MutexGuard, OnceCell, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use self::tcp_proxy::TcpProxy;
use super::harness::{Cluster, cluster, eventually, own_control_plane, root};

/// Locks a control plane whose CRDs and roles a test may break.
async fn lock_breakable_control_plane() -> MutexGuard<'static, Cluster> {
    static BREAKABLE: OnceCell<AsyncMutex<Cluster>> = OnceCell::const_new();
    let start = async || AsyncMutex::new(own_control_plane("breakable", false).await);
    BREAKABLE.get_or_init(start).await.lock().await
}

/// Delays shorter than an agent's, for tests.
const DELAYS: Delays = Delays {
    watch: Duration::from_secs(1),
    coalesce: Duration::from_millis(100),
    retry_min: Duration::from_millis(50),
    retry_max: Duration::from_millis(500),
    certificates: Duration::from_millis(200),
    certificates_missing: Duration::from_millis(200),
};

/// The watches of an agent, as they run in maglevd.
pub struct Agent {
    pub config_rx: watch::Receiver<Option<Config>>,
    events: Arc<EventCollector>,
    _shutdown: DropGuard,
}

impl Agent {
    /// Starts the watches of an agent on the Node `node`.
    pub fn start(client: Client, node: &str) -> Self {
        let delays = DELAYS;
        let events = Arc::new(EventCollector::default());
        let options =
            WatchOptions { node_name: node.into(), allow_loopback: false, icmp_missing: None, services: true, delays };
        let (watches, config_rx) = Watches::new(client, options, events.handle());
        let shutdown = CancellationToken::new();
        tokio::spawn(watches.run(shutdown.clone()));
        Self { config_rx, events, _shutdown: shutdown.drop_guard() }
    }

    /// The address of each Backend in `namespace`; `None` before the first configuration.
    fn backends(&self, namespace: &str) -> Option<BTreeMap<String, String>> {
        let config = self.config_rx.borrow();
        let backends = config.as_ref()?.backends.iter().filter(|(name, _)| name.namespace() == namespace);
        Some(backends.map(|(name, backend)| (name.name().to_owned(), backend.address.to_string())).collect())
    }

    async fn until_backends(&self, namespace: &str, expected: &[(&str, &str)]) {
        let expected = expected.iter().map(|(name, address)| ((*name).to_owned(), (*address).to_owned())).collect();
        let matches = async || (self.backends(namespace).as_ref() == Some(&expected)).then_some(());
        eventually(&format!("the backends are {expected:?}"), matches).await;
    }

    /// True if an event that contains `text` was emitted.
    pub fn has_event(&self, text: &str) -> bool {
        self.events.lines().iter().any(|event| event.contains(text))
    }

    pub async fn until_event(&self, text: &str) {
        eventually(text, async || self.has_event(text).then_some(())).await;
    }
}

/// Captures the log of this thread until dropped. The test must be single-threaded.
struct Log {
    text: Arc<Mutex<Vec<u8>>>,
    guard: LogGuard,
    _default: tracing::subscriber::DefaultGuard,
}

struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn capture() -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let options = LogOptions { format: LogFormat::Text, level: Level::Info };
        let (subscriber, guard) = maglev_telemetry::log::subscriber(options, Box::new(Sink(text.clone()))).unwrap();
        Self { text, guard, _default: tracing::subscriber::set_default(subscriber) }
    }

    async fn until_logged(&self, words: &[&str]) {
        let logged = async || {
            let _ = &self.guard;
            let text = String::from_utf8(self.text.lock().unwrap().clone()).unwrap();
            text.lines().any(|line| words.iter().all(|word| line.contains(word))).then_some(())
        };
        eventually(&format!("a line with {words:?} is logged"), logged).await;
    }
}

fn backend(name: &str, address: &str) -> String {
    format!(
        "---\napiVersion: maglev.vpp.io/v1alpha1\nkind: Backend\nmetadata:\n  name: {name}\nspec:\n  address: {address}\n"
    )
}

/// Creates a namespace and a Node of the same name.
pub async fn namespace_with_node(cluster: &Cluster, test: &str) -> String {
    let name = cluster.namespace(test).await;
    let nodes: Api<Node> = Api::all(cluster.client().await);
    let metadata = ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() };
    nodes.create(&PostParams::default(), &Node { metadata, ..Node::default() }).await.unwrap();
    name
}

async fn delete(cluster: &Cluster, namespace: &str, name: &str) {
    cluster.kubectl(&["delete", "backend.maglev.vpp.io", name, "-n", namespace]).await;
}

#[tokio::test]
async fn applied_edited_and_deleted_objects_arrive() {
    let cluster = cluster().await;
    let namespace = namespace_with_node(cluster, "people").await;
    cluster.apply(&namespace, &backend("early", "192.0.2.1")).await.unwrap();
    let agent = Agent::start(cluster.client().await, &namespace);
    agent.until_backends(&namespace, &[("early", "192.0.2.1")]).await;
    agent.until_event("config-applied kind=Backend count=").await;
    assert!(!agent.has_event(&format!("config-applied kind=Backend name={namespace}/early")));

    cluster.apply(&namespace, &backend("late", "192.0.2.2")).await.unwrap();
    agent.until_backends(&namespace, &[("early", "192.0.2.1"), ("late", "192.0.2.2")]).await;
    cluster.apply(&namespace, &backend("early", "192.0.2.3")).await.unwrap();
    agent.until_backends(&namespace, &[("early", "192.0.2.3"), ("late", "192.0.2.2")]).await;
    agent.until_event(&format!("config-applied kind=Backend name={namespace}/early generation=2")).await;

    delete(cluster, &namespace, "late").await;
    agent.until_backends(&namespace, &[("early", "192.0.2.3")]).await;
    agent.until_event(&format!("config-removed kind=Backend name={namespace}/late")).await;
}

#[tokio::test]
async fn object_recreated_at_once_has_its_new_uid() {
    let cluster = cluster().await;
    let namespace = namespace_with_node(cluster, "again").await;
    cluster.apply(&namespace, &backend("web", "192.0.2.1")).await.unwrap();
    let agent = Agent::start(cluster.client().await, &namespace);
    agent.until_backends(&namespace, &[("web", "192.0.2.1")]).await;
    let uid = async || {
        let uid = ["get", "backend.maglev.vpp.io", "web", "-n", &namespace, "-o", "jsonpath={.metadata.uid}"];
        cluster.kubectl(&uid).await
    };
    let before = uid().await;
    let replace = ["replace", "--force", "-n", &namespace, "-f", "-"];
    let output = cluster.kubectl_with(&replace, &backend("web", "192.0.2.1")).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let after = uid().await;
    assert_ne!(before, after);
    eventually("the configuration has the new object", async || {
        let config = agent.config_rx.borrow();
        let backend = config.as_ref()?.backends.get(&Name::namespaced(&namespace, "web"))?.clone();
        (*backend.revision.uid == *after).then_some(())
    })
    .await;
}

#[tokio::test]
async fn undecodable_object_is_reported_and_blocks_no_other() {
    let cluster = lock_breakable_control_plane().await;
    let namespace = namespace_with_node(&cluster, "unreadable").await;
    let agent = Agent::start(cluster.client().await, &namespace);
    cluster.apply(&namespace, &backend("good", "192.0.2.1")).await.unwrap();
    agent.until_backends(&namespace, &[("good", "192.0.2.1")]).await;

    let accept_anything = r#"[{"op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec",
        "value": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}]"#;
    cluster.kubectl(&["patch", "crd", "backends.maglev.vpp.io", "--type=json", "-p", accept_anything]).await;
    // The API server takes a while to use the new schema.
    let undecodable = backend("odd", "{no: address}");
    eventually("the undecodable object is stored", async || cluster.apply(&namespace, &undecodable).await.ok()).await;
    reinstall_backends(&cluster).await;

    let rejected = format!("config-rejected kind=Backend name={namespace}/odd generation=1");
    agent.until_event(&rejected).await;
    cluster.apply(&namespace, &backend("later", "192.0.2.2")).await.unwrap();
    agent.until_backends(&namespace, &[("good", "192.0.2.1"), ("later", "192.0.2.2")]).await;

    let restarted = Agent::start(cluster.client().await, &namespace);
    restarted.until_backends(&namespace, &[("good", "192.0.2.1"), ("later", "192.0.2.2")]).await;
    restarted.until_event(&rejected).await;
    cluster.apply(&namespace, &backend("latest", "192.0.2.3")).await.unwrap();
    let all = [("good", "192.0.2.1"), ("later", "192.0.2.2"), ("latest", "192.0.2.3")];
    restarted.until_backends(&namespace, &all).await;
    delete(&cluster, &namespace, "odd").await;
    restarted.until_event(&format!("config-removed kind=Backend name={namespace}/odd")).await;
}

async fn reinstall_backends(cluster: &Cluster) {
    let path = root().join("crds/backends.yaml");
    let path = path.to_str().unwrap();
    cluster.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", path]).await;
    let established = ["wait", "--for=condition=Established", "crd/backends.maglev.vpp.io", "--timeout=30s"];
    cluster.kubectl(&established).await;
}

#[tokio::test]
async fn deleted_crd_removes_nothing_until_its_kind_is_listed_again() {
    let log = Log::capture();
    let cluster = lock_breakable_control_plane().await;
    let namespace = namespace_with_node(&cluster, "crd").await;
    let both = [("one", "192.0.2.1"), ("two", "192.0.2.2")];
    let manifests: String = both.iter().map(|(name, address)| backend(name, address)).collect();
    cluster.apply(&namespace, &manifests).await.unwrap();
    let agent = Agent::start(cluster.client().await, &namespace);
    agent.until_backends(&namespace, &both).await;

    cluster.kubectl(&["delete", "crd", "backends.maglev.vpp.io", "--timeout=30s"]).await;
    log.until_logged(&["crd is not served", "backends.maglev.vpp.io", "missing"]).await;
    agent.until_backends(&namespace, &both).await;
    // An agent that starts now has no list of Backends, which differs from an empty list.
    let started = Agent::start(cluster.client().await, &namespace);
    started.until_event("config-applied kind=Frontend count=").await;
    assert!(started.backends(&namespace).is_none() && !started.has_event("kind=Backend"));
    assert_eq!(agent.backends(&namespace).unwrap().len(), 2);
    assert!(!agent.has_event("config-removed"));

    reinstall_backends(&cluster).await;
    eventually("the kind is served", async || cluster.apply(&namespace, &backend("two", "192.0.2.9")).await.ok()).await;
    agent.until_backends(&namespace, &[("two", "192.0.2.9")]).await;
    started.until_backends(&namespace, &[("two", "192.0.2.9")]).await;
    agent.until_event(&format!("config-removed kind=Backend name={namespace}/one")).await;
}

const READER: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: NAME-lists}
rules:
- {apiGroups: [maglev.vpp.io], resources: ['*'], verbs: [get, list, watch]}
- {apiGroups: [''], resources: [nodes], verbs: [get, list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: NAME-crds}
rules:
- {apiGroups: [apiextensions.k8s.io], resources: [customresourcedefinitions], verbs: [get]}
";

async fn grant(cluster: &Cluster, namespace: &str, role: &str) {
    let (role, subject) = (format!("{namespace}-{role}"), format!("--serviceaccount={namespace}:agent"));
    cluster.kubectl(&["create", "clusterrolebinding", &role, &format!("--clusterrole={role}"), &subject]).await;
}

async fn withdraw(cluster: &Cluster, namespace: &str, role: &str) {
    cluster.kubectl(&["delete", "clusterrolebinding", &format!("{namespace}-{role}")]).await;
}

#[tokio::test]
async fn missing_rights_remove_nothing() {
    let log = Log::capture();
    let cluster = cluster().await;
    let namespace = namespace_with_node(cluster, "forbidden").await;
    cluster.service_account(&namespace, "agent").await;
    cluster.apply(&namespace, &READER.replace("NAME", &namespace)).await.unwrap();
    grant(cluster, &namespace, "lists").await;
    grant(cluster, &namespace, "crds").await;
    cluster.apply(&namespace, &backend("one", "192.0.2.1")).await.unwrap();
    let agent = Agent::start(cluster.client_as(&namespace, "agent").await, &namespace);
    agent.until_backends(&namespace, &[("one", "192.0.2.1")]).await;

    // Without the right to read the CRD a deletion is not confirmed and therefore held back; new objects arrive.
    withdraw(cluster, &namespace, "crds").await;
    let crd = ["auth", "can-i", "get", "crds", "--as", &format!("system:serviceaccount:{namespace}:agent")];
    let withdrawn = async || (!cluster.kubectl_with(&crd, "").await.status.success()).then_some(());
    eventually("the right to read CRDs is withdrawn", withdrawn).await;
    delete(cluster, &namespace, "one").await;
    log.until_logged(&["cannot read crd", "kind=Backend", "forbidden"]).await;
    cluster.apply(&namespace, &backend("two", "192.0.2.2")).await.unwrap();
    agent.until_backends(&namespace, &[("one", "192.0.2.1"), ("two", "192.0.2.2")]).await;
    grant(cluster, &namespace, "crds").await;
    agent.until_backends(&namespace, &[("two", "192.0.2.2")]).await;

    withdraw(cluster, &namespace, "lists").await;
    log.until_logged(&["watch failed", "backends.maglev.vpp.io", "forbidden"]).await;
    delete(cluster, &namespace, "two").await;
    cluster.apply(&namespace, &backend("three", "192.0.2.3")).await.unwrap();
    let started = Agent::start(cluster.client_as(&namespace, "agent").await, &namespace);
    log.until_logged(&["watch failed", "cannot list resource \\\"backends\\\""]).await;
    assert!(started.backends(&namespace).is_none());
    agent.until_backends(&namespace, &[("two", "192.0.2.2")]).await;
    grant(cluster, &namespace, "lists").await;
    agent.until_backends(&namespace, &[("three", "192.0.2.3")]).await;
    started.until_backends(&namespace, &[("three", "192.0.2.3")]).await;
}

#[tokio::test]
async fn last_configuration_is_kept_during_a_connection_loss() {
    let log = Log::capture();
    let cluster = cluster().await;
    let namespace = namespace_with_node(cluster, "cut").await;
    let manifests = backend("edited", "192.0.2.1") + &backend("deleted", "192.0.2.2");
    cluster.apply(&namespace, &manifests).await.unwrap();
    let mut config = cluster.plane().config().await.unwrap();
    let mut proxy = TcpProxy::start(&config).await;
    config.cluster_url = format!("https://127.0.0.1:{}", proxy.port()).parse().unwrap();
    let client = Client::try_from(config).unwrap();
    let agent = Agent::start(client.clone(), &namespace);
    let before = [("deleted", "192.0.2.2"), ("edited", "192.0.2.1")];
    agent.until_backends(&namespace, &before).await;

    proxy.close().await;
    log.until_logged(&["watch failed"]).await;
    cluster.apply(&namespace, &(backend("edited", "192.0.2.8") + &backend("created", "192.0.2.9"))).await.unwrap();
    delete(cluster, &namespace, "deleted").await;
    let started = Agent::start(client, &namespace);
    log.until_logged(&["cannot read crd"]).await;
    assert!(started.backends(&namespace).is_none());
    agent.until_backends(&namespace, &before).await;

    proxy.open().await;
    let after = [("created", "192.0.2.9"), ("edited", "192.0.2.8")];
    agent.until_backends(&namespace, &after).await;
    started.until_backends(&namespace, &after).await;
}

#[tokio::test]
async fn watches_resume_after_an_api_server_restart() {
    let log = Log::capture();
    let cluster = own_control_plane("restarted", false).await;
    let namespace = namespace_with_node(&cluster, "restart").await;
    cluster.apply(&namespace, &backend("one", "192.0.2.1")).await.unwrap();
    let agent = Agent::start(cluster.client().await, &namespace);
    agent.until_backends(&namespace, &[("one", "192.0.2.1")]).await;

    cluster.plane().stop_api_server().await;
    log.until_logged(&["watch failed"]).await;
    assert_eq!(agent.backends(&namespace).unwrap().len(), 1);
    cluster.plane().start_api_server().await.unwrap();
    cluster.apply(&namespace, &backend("two", "192.0.2.2")).await.unwrap();
    agent.until_backends(&namespace, &[("one", "192.0.2.1"), ("two", "192.0.2.2")]).await;
    delete(&cluster, &namespace, "one").await;
    agent.until_backends(&namespace, &[("two", "192.0.2.2")]).await;
    assert!(!agent.has_event("config-rejected"));
}
