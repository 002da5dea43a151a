//! The watches against a real API server: what people do arrives, and what is not known removes nothing.

mod bookmarks;
mod everyone;
mod line;

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
use maglev_model::event::{Event, EventSink, Events, Level};
use maglev_telemetry::{LogFormat, LogGuard, LogOptions};
use tokio::sync::{Mutex as AsyncMutex, MutexGuard, OnceCell, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use self::line::Line;
use super::harness::{Cluster, cluster, eventually, own_control_plane, root};

/// A control plane whose CRDs and roles tests may break, one test at a time.
async fn breakable() -> MutexGuard<'static, Cluster> {
    static BREAKABLE: OnceCell<AsyncMutex<Cluster>> = OnceCell::const_new();
    let start = async || AsyncMutex::new(own_control_plane("breakable", false).await);
    BREAKABLE.get_or_init(start).await.lock().await
}

/// A test has less time than an agent.
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
    events: Arc<Collected>,
    _shutdown: DropGuard,
}

#[derive(Default)]
struct Collected(Mutex<Vec<String>>);

impl EventSink for Collected {
    fn wants_probes(&self) -> bool {
        false
    }

    fn publish(&self, event: Event) {
        let mut text = event.name().to_owned();
        event.fields(&mut |key, value| text.push_str(&format!(" {key}={value}")));
        self.0.lock().unwrap().push(text);
    }
}

impl Agent {
    /// Starts the watches of an agent on the Node `node`.
    pub fn start(client: Client, node: &str) -> Self {
        let delays = DELAYS;
        let events = Arc::new(Collected::default());
        let options = WatchOptions { node_name: node.into(), allow_loopback: false, icmp_missing: None, delays };
        let (watches, config_rx) = Watches::new(client, options, Events::new(events.clone()));
        let shutdown = CancellationToken::new();
        tokio::spawn(watches.run(shutdown.clone()));
        Self { config_rx, events, _shutdown: shutdown.drop_guard() }
    }

    /// The address of each Backend in `namespace`; `None` before there is a configuration.
    fn backends(&self, namespace: &str) -> Option<BTreeMap<String, String>> {
        let config = self.config_rx.borrow();
        let own = config.as_ref()?.backends.iter().filter(|(name, _)| name.namespace() == namespace);
        Some(own.map(|(name, backend)| (name.name().to_owned(), backend.address.to_string())).collect())
    }

    async fn until_backends(&self, namespace: &str, wanted: &[(&str, &str)]) {
        let wanted = wanted.iter().map(|(name, address)| ((*name).to_owned(), (*address).to_owned())).collect();
        let is_so = async || (self.backends(namespace).as_ref() == Some(&wanted)).then_some(());
        eventually(&format!("the backends are {wanted:?}"), is_so).await;
    }

    pub fn told(&self, what: &str) -> bool {
        self.events.0.lock().unwrap().iter().any(|event| event.contains(what))
    }

    pub async fn until_told(&self, what: &str) {
        eventually(what, async || self.told(what).then_some(())).await;
    }
}

/// What the program logs while this lives, in a test with one thread.
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

    async fn until_says(&self, words: &[&str]) {
        let says = async || {
            let _ = &self.guard;
            let text = String::from_utf8(self.text.lock().unwrap().clone()).unwrap();
            text.lines().any(|line| words.iter().all(|word| line.contains(word))).then_some(())
        };
        eventually(&format!("the log says {words:?}"), says).await;
    }
}

fn backend(name: &str, address: &str) -> String {
    format!(
        "---\napiVersion: maglev.vpp.io/v1alpha1\nkind: Backend\nmetadata:\n  name: {name}\nspec:\n  address: {address}\n"
    )
}

/// A namespace, and a Node of the same name.
pub async fn place(cluster: &Cluster, test: &str) -> String {
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
async fn what_people_apply_edit_and_delete_arrives() {
    let cluster = cluster().await;
    let place = place(cluster, "people").await;
    cluster.apply(&place, &backend("early", "192.0.2.1")).await.unwrap();
    let agent = Agent::start(cluster.client().await, &place);
    agent.until_backends(&place, &[("early", "192.0.2.1")]).await;
    assert!(agent.told("config-applied kind=Backend count="));
    assert!(!agent.told(&format!("config-applied kind=Backend name={place}/early")));

    cluster.apply(&place, &backend("late", "192.0.2.2")).await.unwrap();
    agent.until_backends(&place, &[("early", "192.0.2.1"), ("late", "192.0.2.2")]).await;
    cluster.apply(&place, &backend("early", "192.0.2.3")).await.unwrap();
    agent.until_backends(&place, &[("early", "192.0.2.3"), ("late", "192.0.2.2")]).await;
    agent.until_told(&format!("config-applied kind=Backend name={place}/early generation=2")).await;

    delete(cluster, &place, "late").await;
    agent.until_backends(&place, &[("early", "192.0.2.3")]).await;
    agent.until_told(&format!("config-removed kind=Backend name={place}/late")).await;
}

#[tokio::test]
async fn an_object_deleted_and_created_again_at_once_is_the_new_one() {
    let cluster = cluster().await;
    let place = place(cluster, "again").await;
    cluster.apply(&place, &backend("web", "192.0.2.1")).await.unwrap();
    let agent = Agent::start(cluster.client().await, &place);
    agent.until_backends(&place, &[("web", "192.0.2.1")]).await;
    let uid = async || {
        let uid = ["get", "backend.maglev.vpp.io", "web", "-n", &place, "-o", "jsonpath={.metadata.uid}"];
        cluster.kubectl(&uid).await
    };
    let before = uid().await;
    let replace = ["replace", "--force", "-n", &place, "-f", "-"];
    let output = cluster.kubectl_with(&replace, &backend("web", "192.0.2.1")).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let after = uid().await;
    assert_ne!(before, after);
    eventually("the new object is there", async || {
        let config = agent.config_rx.borrow();
        let backend = config.as_ref()?.backends.get(&Name::namespaced(&place, "web"))?.clone();
        (*backend.revision.uid == *after).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_object_that_does_not_decode_is_told_of_and_stops_nothing() {
    let cluster = breakable().await;
    let place = place(&cluster, "unreadable").await;
    let agent = Agent::start(cluster.client().await, &place);
    cluster.apply(&place, &backend("good", "192.0.2.1")).await.unwrap();
    agent.until_backends(&place, &[("good", "192.0.2.1")]).await;

    let anything = r#"[{"op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec",
        "value": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}]"#;
    cluster.kubectl(&["patch", "crd", "backends.maglev.vpp.io", "--type=json", "-p", anything]).await;
    // The API server takes a while to validate by the new schema.
    let odd = backend("odd", "{no: address}");
    eventually("the odd object is stored", async || cluster.apply(&place, &odd).await.ok()).await;
    reinstall_backends(&cluster).await;

    let told = format!("config-rejected kind=Backend name={place}/odd generation=1");
    agent.until_told(&told).await;
    cluster.apply(&place, &backend("later", "192.0.2.2")).await.unwrap();
    agent.until_backends(&place, &[("good", "192.0.2.1"), ("later", "192.0.2.2")]).await;

    let restarted = Agent::start(cluster.client().await, &place);
    restarted.until_backends(&place, &[("good", "192.0.2.1"), ("later", "192.0.2.2")]).await;
    restarted.until_told(&told).await;
    cluster.apply(&place, &backend("latest", "192.0.2.3")).await.unwrap();
    let all = [("good", "192.0.2.1"), ("later", "192.0.2.2"), ("latest", "192.0.2.3")];
    restarted.until_backends(&place, &all).await;
    delete(&cluster, &place, "odd").await;
    restarted.until_told(&format!("config-removed kind=Backend name={place}/odd")).await;
}

async fn reinstall_backends(cluster: &Cluster) {
    let path = root().join("crds/backends.yaml");
    let path = path.to_str().unwrap();
    cluster.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", path]).await;
    let established = ["wait", "--for=condition=Established", "crd/backends.maglev.vpp.io", "--timeout=30s"];
    cluster.kubectl(&established).await;
}

#[tokio::test]
async fn a_deleted_crd_removes_nothing_until_it_is_served_and_listed_again() {
    let log = Log::capture();
    let cluster = breakable().await;
    let place = place(&cluster, "crd").await;
    let both = [("one", "192.0.2.1"), ("two", "192.0.2.2")];
    let manifests: String = both.iter().map(|(name, address)| backend(name, address)).collect();
    cluster.apply(&place, &manifests).await.unwrap();
    let agent = Agent::start(cluster.client().await, &place);
    agent.until_backends(&place, &both).await;

    cluster.kubectl(&["delete", "crd", "backends.maglev.vpp.io", "--timeout=30s"]).await;
    log.until_says(&["crd-not-served", "backends.maglev.vpp.io", "missing"]).await;
    agent.until_backends(&place, &both).await;
    // An agent that starts now knows nothing, which is not the same as knowing that there is nothing.
    let started = Agent::start(cluster.client().await, &place);
    started.until_told("config-applied kind=Frontend count=").await;
    assert!(started.backends(&place).is_none() && !started.told("kind=Backend"));
    assert_eq!(agent.backends(&place).unwrap().len(), 2);
    assert!(!agent.told("config-removed"));

    reinstall_backends(&cluster).await;
    eventually("the kind is served", async || cluster.apply(&place, &backend("two", "192.0.2.9")).await.ok()).await;
    agent.until_backends(&place, &[("two", "192.0.2.9")]).await;
    started.until_backends(&place, &[("two", "192.0.2.9")]).await;
    assert!(agent.told(&format!("config-removed kind=Backend name={place}/one")));
}

const READER: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: PLACE-lists}
rules:
- {apiGroups: [maglev.vpp.io], resources: ['*'], verbs: [get, list, watch]}
- {apiGroups: [''], resources: [nodes], verbs: [get, list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: PLACE-crds}
rules:
- {apiGroups: [apiextensions.k8s.io], resources: [customresourcedefinitions], verbs: [get]}
";

async fn grant(cluster: &Cluster, place: &str, role: &str) {
    let (role, subject) = (format!("{place}-{role}"), format!("--serviceaccount={place}:agent"));
    cluster.kubectl(&["create", "clusterrolebinding", &role, &format!("--clusterrole={role}"), &subject]).await;
}

async fn withdraw(cluster: &Cluster, place: &str, role: &str) {
    cluster.kubectl(&["delete", "clusterrolebinding", &format!("{place}-{role}")]).await;
}

#[tokio::test]
async fn what_may_not_be_read_is_unknown_and_removes_nothing() {
    let log = Log::capture();
    let cluster = cluster().await;
    let place = place(cluster, "forbidden").await;
    cluster.service_account(&place, "agent").await;
    cluster.apply(&place, &READER.replace("PLACE", &place)).await.unwrap();
    grant(cluster, &place, "lists").await;
    grant(cluster, &place, "crds").await;
    cluster.apply(&place, &backend("one", "192.0.2.1")).await.unwrap();
    let agent = Agent::start(cluster.client_as(&place, "agent").await, &place);
    agent.until_backends(&place, &[("one", "192.0.2.1")]).await;

    // Without the CRD nobody knows whether what is gone was meant to go; what is there arrives.
    withdraw(cluster, &place, "crds").await;
    let crd = ["auth", "can-i", "get", "crds", "--as", &format!("system:serviceaccount:{place}:agent")];
    let answer = async || (!cluster.kubectl_with(&crd, "").await.status.success()).then_some(());
    eventually("the CRDs may not be read", answer).await;
    delete(cluster, &place, "one").await;
    log.until_says(&["crd-unknown", "kind=Backend", "forbidden"]).await;
    cluster.apply(&place, &backend("two", "192.0.2.2")).await.unwrap();
    agent.until_backends(&place, &[("one", "192.0.2.1"), ("two", "192.0.2.2")]).await;
    grant(cluster, &place, "crds").await;
    agent.until_backends(&place, &[("two", "192.0.2.2")]).await;

    withdraw(cluster, &place, "lists").await;
    log.until_says(&["watch-failed", "backends.maglev.vpp.io", "forbidden"]).await;
    delete(cluster, &place, "two").await;
    cluster.apply(&place, &backend("three", "192.0.2.3")).await.unwrap();
    let started = Agent::start(cluster.client_as(&place, "agent").await, &place);
    log.until_says(&["watch-failed", "cannot list resource \\\"backends\\\""]).await;
    assert!(started.backends(&place).is_none());
    agent.until_backends(&place, &[("two", "192.0.2.2")]).await;
    grant(cluster, &place, "lists").await;
    agent.until_backends(&place, &[("three", "192.0.2.3")]).await;
    started.until_backends(&place, &[("three", "192.0.2.3")]).await;
}

#[tokio::test]
async fn without_the_api_server_the_last_configuration_stands_and_changes_arrive_afterwards() {
    let log = Log::capture();
    let cluster = cluster().await;
    let place = place(cluster, "cut").await;
    let manifests = backend("edited", "192.0.2.1") + &backend("deleted", "192.0.2.2");
    cluster.apply(&place, &manifests).await.unwrap();
    let mut config = cluster.plane().config().await.unwrap();
    let mut line = Line::new(&config).await;
    config.cluster_url = format!("https://127.0.0.1:{}", line.port()).parse().unwrap();
    let client = Client::try_from(config).unwrap();
    let agent = Agent::start(client.clone(), &place);
    let before = [("deleted", "192.0.2.2"), ("edited", "192.0.2.1")];
    agent.until_backends(&place, &before).await;

    line.cut().await;
    log.until_says(&["watch-failed"]).await;
    cluster.apply(&place, &(backend("edited", "192.0.2.8") + &backend("created", "192.0.2.9"))).await.unwrap();
    delete(cluster, &place, "deleted").await;
    let started = Agent::start(client, &place);
    log.until_says(&["crd-unknown"]).await;
    assert!(started.backends(&place).is_none());
    agent.until_backends(&place, &before).await;

    line.join().await;
    let after = [("created", "192.0.2.9"), ("edited", "192.0.2.8")];
    agent.until_backends(&place, &after).await;
    started.until_backends(&place, &after).await;
}

#[tokio::test]
async fn an_api_server_that_is_stopped_and_started_is_taken_up_again() {
    let log = Log::capture();
    let cluster = own_control_plane("restarted", false).await;
    let place = place(&cluster, "restart").await;
    cluster.apply(&place, &backend("one", "192.0.2.1")).await.unwrap();
    let agent = Agent::start(cluster.client().await, &place);
    agent.until_backends(&place, &[("one", "192.0.2.1")]).await;

    cluster.plane().stop_api_server().await;
    log.until_says(&["watch-failed"]).await;
    assert_eq!(agent.backends(&place).unwrap().len(), 1);
    cluster.plane().start_api_server().await.unwrap();
    cluster.apply(&place, &backend("two", "192.0.2.2")).await.unwrap();
    agent.until_backends(&place, &[("one", "192.0.2.1"), ("two", "192.0.2.2")]).await;
    delete(&cluster, &place, "one").await;
    agent.until_backends(&place, &[("two", "192.0.2.2")]).await;
    assert!(!agent.told("config-rejected"));
}
