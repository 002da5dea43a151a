//! A control plane with many objects, and a watch of the stored objects.

use std::collections::BTreeMap;
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{StreamExt as _, stream};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::ApiResource;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt as _};
use maglev_crd::{self as crd, Backend, Condition, Frontend, HealthCheck};
use maglev_sandbox::assets::Assets;
use maglev_sandbox::control_plane::{ControlPlane, Options};
use maglev_sandbox::processes::Processes;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::agents::Agents;

/// The maximum of concurrent requests.
const CONCURRENCY: usize = 32;

/// Starts a control plane with the project's CRDs.
pub async fn start(dir: &Path) -> (ControlPlane, Processes) {
    let assets = Assets::from_checkout(maglev_testkit::checkout()).await.unwrap();
    let processes = Processes::start().unwrap();
    let plane = ControlPlane::start(dir, &processes, Options::new(assets)).await.unwrap();
    let crds: Api<CustomResourceDefinition> = Api::all(plane.client().await.unwrap());
    for crd in crd::all() {
        crds.patch(&crd.name_any(), &PatchParams::apply("bench"), &Patch::Apply(&crd)).await.unwrap();
    }
    (plane, processes)
}

/// The relevant fields of a stored object.
#[derive(Clone, Debug)]
pub struct StoredObject {
    pub uid: String,
    pub generation: i64,
    pub created: String,
    pub spec: Value,
    conditions: Vec<Condition>,
    state: Option<String>,
}

/// All stored Frontends and Backends, and the times of status writes.
#[derive(Clone)]
pub struct Objects {
    client: Client,
    pub nodes: Vec<String>,
    stored: Arc<Mutex<BTreeMap<(&'static str, String), StoredObject>>>,
    writes: Arc<Mutex<Vec<Instant>>>,
    /// Ends the watches.
    pub end: CancellationToken,
}

async fn apply(client: &Client, resource: &ApiResource, namespace: Option<&str>, object: Value) {
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, resource),
        None => Api::all_with(client.clone(), resource),
    };
    let name = object["metadata"]["name"].as_str().unwrap().to_owned();
    let mut object = object;
    object["apiVersion"] = resource.api_version.as_str().into();
    object["kind"] = resource.kind.as_str().into();
    let deadline = Instant::now() + Duration::from_secs(30);
    // The API server serves a new CRD after a moment.
    while let Err(error) = api.patch(&name, &PatchParams::apply("bench").force(), &Patch::Apply(&object)).await {
        assert!(Instant::now() < deadline, "{name}: {error}");
        sleep(Duration::from_millis(100)).await;
    }
}

/// Creates the objects and watches them.
pub async fn fill(client: &Client, nodes: usize, frontends: usize) -> Objects {
    use k8s_openapi::api::core::v1::{Node, Pod, ServiceAccount};
    let account = json!({ "metadata": { "name": "default" } });
    apply(client, &ApiResource::erase::<ServiceAccount>(&()), Some("default"), account).await;
    let check = json!({"metadata": {"name": "tcp"}, "spec": {"type": "TCP", "port": 80}});
    apply(client, &ApiResource::erase::<HealthCheck>(&()), Some("default"), check).await;
    let nodes: Vec<String> = (0..nodes).map(|n| format!("node-{n:03}")).collect();
    let create_node = async |name: &String| {
        apply(client, &ApiResource::erase::<Node>(&()), None, json!({ "metadata": { "name": name } })).await;
        let labels = json!({"app.kubernetes.io/name": "maglev", "app.kubernetes.io/component": "maglevd"});
        let spec = json!({"nodeName": name, "containers": [{"name": "maglevd", "image": "none"}]});
        let pod = json!({"metadata": {"name": format!("maglevd-{name}"), "labels": labels}, "spec": spec});
        apply(client, &ApiResource::erase::<Pod>(&()), Some("default"), pod).await;
    };
    stream::iter(&nodes).map(create_node).buffer_unordered(CONCURRENCY).collect::<Vec<_>>().await;
    let create_objects = async |n: usize| {
        let (name, address) = (format!("b{n:04}"), format!("10.0.{}.{}", n / 200, n % 200 + 1));
        let spec = json!({"address": address, "healthCheckRef": {"name": "tcp"}});
        let object = json!({"metadata": {"name": name}, "spec": spec});
        apply(client, &ApiResource::erase::<Backend>(&()), Some("default"), object).await;
        apply(client, &ApiResource::erase::<Frontend>(&()), Some("default"), frontend(n, 10)).await;
    };
    stream::iter(0..frontends).map(create_objects).buffer_unordered(CONCURRENCY).collect::<Vec<_>>().await;
    let (stored, writes, end) = (Arc::default(), Arc::default(), CancellationToken::new());
    let objects = Objects { client: client.clone(), nodes, stored, writes, end };
    for resource in [ApiResource::erase::<Frontend>(&()), ApiResource::erase::<Backend>(&())] {
        tokio::spawn(objects.end.clone().run_until_cancelled_owned(objects.clone().follow(resource)));
    }
    objects
        .until("the watch has received all objects", 60, move |objects| {
            objects.stored.lock().unwrap().len() == 2 * frontends
        })
        .await;
    objects
}

fn frontend(n: usize, weight: u8) -> Value {
    let backends = json!([{ "name": format!("b{n:04}"), "weight": weight }]);
    let spec = json!({
        "address": format!("203.0.{}.{}", n / 200, n % 200 + 1), "protocol": "TCP", "port": 80,
        "pools": [{ "name": "primary", "backends": backends }],
    });
    json!({"metadata": {"name": format!("f{n:04}")}, "spec": spec})
}

impl Objects {
    async fn follow(self, resource: ApiResource) {
        let kind = if resource.kind == "Frontend" { "Frontend" } else { "Backend" };
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), "default", &resource);
        let mut events = pin!(watcher(api, watcher::Config::default()));
        while let Some(event) = events.next().await {
            match event.unwrap() {
                Event::InitApply(object) => drop(self.store(kind, &object)),
                Event::Apply(object) => {
                    let before = self.store(kind, &object);
                    if before.is_some_and(|before| before.generation == object.metadata.generation.unwrap_or(0)) {
                        self.writes.lock().unwrap().push(Instant::now());
                    }
                }
                _ => {}
            }
        }
    }

    fn store(&self, kind: &'static str, object: &DynamicObject) -> Option<StoredObject> {
        let status = &object.data["status"];
        let stored = StoredObject {
            uid: object.uid().unwrap(),
            generation: object.metadata.generation.unwrap_or(0),
            created: object.metadata.creation_timestamp.as_ref().map(|time| time.0.to_string()).unwrap_or_default(),
            spec: object.data["spec"].clone(),
            conditions: serde_json::from_value(status["conditions"].clone()).unwrap_or_default(),
            state: status["state"].as_str().map(str::to_owned),
        };
        self.stored.lock().unwrap().insert((kind, object.name_any()), stored)
    }

    /// All objects of a kind, ordered by name.
    pub fn stored(&self, kind: &str) -> Vec<(String, StoredObject)> {
        let stored = self.stored.lock().unwrap();
        stored.iter().filter(|(key, _)| key.0 == kind).map(|(key, stored)| (key.1.clone(), stored.clone())).collect()
    }

    /// The number of status writes so far.
    pub fn writes(&self) -> usize {
        self.writes.lock().unwrap().len()
    }

    /// The numbers of status writes in each whole second since the write with the number `since`.
    pub fn writes_per_second(&self, since: usize) -> Vec<usize> {
        let writes = self.writes.lock().unwrap();
        let Some(first) = writes.get(since) else { return Vec::new() };
        let seconds = first.elapsed().as_secs();
        let in_second = |second: u64| {
            let [from, to] = [second, second + 1].map(|second| *first + Duration::from_secs(second));
            writes[since..].iter().filter(|at| (from..to).contains(*at)).count()
        };
        (0..seconds).map(in_second).collect()
    }

    /// The number of objects whose conditions are not those of an object that is programmed and up on all nodes.
    pub fn mismatches(&self) -> usize {
        self.stored.lock().unwrap().iter().filter(|(key, stored)| !stored.is_as_expected(key.0)).count()
    }

    pub fn all_as_expected(&self) -> bool {
        self.mismatches() == 0
    }

    /// Waits until `holds`. Panics with `condition` and the number of mismatches after `seconds`.
    pub async fn until(&self, condition: &str, seconds: u64, holds: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        while !holds(self) {
            let is_in_time = Instant::now() < deadline;
            assert!(is_in_time, "not within {seconds} s: {condition}; {} objects differ", self.mismatches());
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until there was no write for 3 s.
    pub async fn until_quiet(&self) {
        loop {
            let last = self.writes.lock().unwrap().last().copied();
            match last {
                Some(at) if at.elapsed() < Duration::from_secs(3) => sleep(Duration::from_millis(200)).await,
                _ => return,
            }
        }
    }

    /// Edits one Frontend. Returns the time until its new generation has correct conditions.
    pub async fn edit_one(&self, agents: &Agents) -> Duration {
        let start = Instant::now();
        let resource = ApiResource::erase::<Frontend>(&());
        apply(&self.client, &resource, Some("default"), frontend(0, 50)).await;
        let key = ("Frontend", "f0000".to_owned());
        let is_edited = |objects: &Self| objects.stored.lock().unwrap()[&key].generation == 2;
        self.until("the watch has received the edit", 30, is_edited).await;
        agents.follow_specs(self);
        // The time of a real agent: 250 ms until it syncs, half a second until it has verified the result.
        sleep(Duration::from_millis(750)).await;
        agents.report_one(0);
        let is_correct = |objects: &Self| {
            let stored = objects.stored.lock().unwrap()[&key].clone();
            ["Accepted", "ResolvedRefs", "Programmed", "Ready"].iter().all(|kind| stored.is_true(kind))
        };
        self.until("the edited Frontend's conditions are correct", 120, is_correct).await;
        start.elapsed()
    }
}

impl StoredObject {
    fn is_true(&self, kind: &str) -> bool {
        let condition = self.conditions.iter().find(|condition| condition.type_ == kind);
        condition.is_some_and(|condition| {
            condition.status == "True" && condition.observed_generation == Some(self.generation)
        })
    }

    fn is_as_expected(&self, kind: &str) -> bool {
        let expected: &[&str] = match kind {
            "Frontend" => &["Accepted", "ResolvedRefs", "Programmed", "Available", "Ready"],
            _ => &["Accepted", "ResolvedRefs", "Ready"],
        };
        let up = kind == "Frontend" || self.state.as_deref() == Some("Up");
        up && self.conditions.len() == expected.len() && expected.iter().all(|kind| self.is_true(kind))
    }
}
