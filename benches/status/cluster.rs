//! A control plane full of objects, and what is stored in it, followed by a watch of its own.

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

/// Requests under way at once.
const AT_ONCE: usize = 32;

/// Starts a control plane with our CRDs.
pub async fn start(dir: &Path) -> (ControlPlane, Processes) {
    let assets = Assets::from_checkout(&maglev_testkit::checkout().to_owned()).await.unwrap();
    let processes = Processes::start().unwrap();
    let plane = ControlPlane::start(dir, &processes, Options::new(assets)).await.unwrap();
    let crds: Api<CustomResourceDefinition> = Api::all(plane.client().await.unwrap());
    for crd in crd::all() {
        crds.patch(&crd.name_any(), &PatchParams::apply("bench"), &Patch::Apply(&crd)).await.unwrap();
    }
    (plane, processes)
}

/// What is stored of one object.
#[derive(Clone, Debug)]
pub struct StoredObject {
    pub uid: String,
    pub generation: i64,
    pub created: String,
    pub spec: Value,
    conditions: Vec<Condition>,
    state: Option<String>,
}

/// All Frontends and Backends as they are stored, and when their statuses were written.
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
    // A CRD takes a moment until it is served.
    while let Err(error) = api.patch(&name, &PatchParams::apply("bench").force(), &Patch::Apply(&object)).await {
        assert!(Instant::now() < deadline, "{name}: {error}");
        sleep(Duration::from_millis(100)).await;
    }
}

/// Makes the objects, and follows them.
pub async fn fill(client: &Client, nodes: usize, frontends: usize) -> Objects {
    use k8s_openapi::api::core::v1::{Node, Pod, ServiceAccount};
    let of = |name: &str| json!({ "metadata": { "name": name } });
    apply(client, &ApiResource::erase::<ServiceAccount>(&()), Some("default"), of("default")).await;
    let check = json!({"metadata": {"name": "tcp"}, "spec": {"type": "TCP", "port": 80}});
    apply(client, &ApiResource::erase::<HealthCheck>(&()), Some("default"), check).await;
    let nodes: Vec<String> = (0..nodes).map(|n| format!("node-{n:03}")).collect();
    let place = async |name: &String| {
        apply(client, &ApiResource::erase::<Node>(&()), None, json!({ "metadata": { "name": name } })).await;
        let labels = json!({"app.kubernetes.io/name": "maglev", "app.kubernetes.io/component": "maglevd"});
        let spec = json!({"nodeName": name, "containers": [{"name": "maglevd", "image": "none"}]});
        let pod = json!({"metadata": {"name": format!("maglevd-{name}"), "labels": labels}, "spec": spec});
        apply(client, &ApiResource::erase::<Pod>(&()), Some("default"), pod).await;
    };
    stream::iter(&nodes).map(place).buffer_unordered(AT_ONCE).collect::<Vec<_>>().await;
    let make = async |n: usize| {
        let (name, address) = (format!("b{n:04}"), format!("10.0.{}.{}", n / 200, n % 200 + 1));
        let spec = json!({"address": address, "healthCheckRef": {"name": "tcp"}});
        let object = json!({"metadata": {"name": name}, "spec": spec});
        apply(client, &ApiResource::erase::<Backend>(&()), Some("default"), object).await;
        apply(client, &ApiResource::erase::<Frontend>(&()), Some("default"), frontend(n, 10)).await;
    };
    stream::iter(0..frontends).map(make).buffer_unordered(AT_ONCE).collect::<Vec<_>>().await;
    let (stored, writes, end) = (Arc::default(), Arc::default(), CancellationToken::new());
    let objects = Objects { client: client.clone(), nodes, stored, writes, end };
    for resource in [ApiResource::erase::<Frontend>(&()), ApiResource::erase::<Backend>(&())] {
        tokio::spawn(objects.end.clone().run_until_cancelled_owned(objects.clone().follow(resource)));
    }
    objects.until("everything is seen", 60, move |objects| objects.stored.lock().unwrap().len() == 2 * frontends).await;
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

    /// Every object of a kind, in order.
    pub fn stored(&self, kind: &str) -> Vec<(String, StoredObject)> {
        let stored = self.stored.lock().unwrap();
        stored.iter().filter(|(key, _)| key.0 == kind).map(|(key, stored)| (key.1.clone(), stored.clone())).collect()
    }

    /// How many statuses were written so far.
    pub fn writes(&self) -> usize {
        self.writes.lock().unwrap().len()
    }

    /// How many statuses were written in each whole second since the write of this number.
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

    /// Objects whose conditions are not those of one that is programmed and up everywhere.
    pub fn mismatches(&self) -> usize {
        self.stored.lock().unwrap().iter().filter(|(key, stored)| !stored.is_as_expected(key.0)).count()
    }

    pub fn all_as_expected(&self) -> bool {
        self.mismatches() == 0
    }

    /// Waits, and says how far it is if that takes too long.
    pub async fn until(&self, what: &str, seconds: u64, holds: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        while !holds(self) {
            assert!(Instant::now() < deadline, "not within {seconds} s: {what}; {} are wrong", self.mismatches());
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until nothing was written for 3 s.
    pub async fn until_quiet(&self) {
        loop {
            let last = self.writes.lock().unwrap().last().copied();
            match last {
                Some(at) if at.elapsed() < Duration::from_secs(3) => sleep(Duration::from_millis(200)).await,
                _ => return,
            }
        }
    }

    /// Edits one Frontend, and says after how long its new generation has its conditions.
    pub async fn edit_one(&self, agents: &Agents) -> Duration {
        let began = Instant::now();
        let resource = ApiResource::erase::<Frontend>(&());
        apply(&self.client, &resource, Some("default"), frontend(0, 50)).await;
        let key = ("Frontend", "f0000".to_owned());
        let is_two = |objects: &Self| objects.stored.lock().unwrap()[&key].generation == 2;
        self.until("the edit is seen", 30, is_two).await;
        agents.follow_specs(self);
        // What an agent takes: 250 ms until it looks, half a second until it has read back.
        sleep(Duration::from_millis(750)).await;
        agents.report_one(0);
        let right = |objects: &Self| {
            let stored = objects.stored.lock().unwrap()[&key].clone();
            ["Accepted", "ResolvedRefs", "Programmed", "Ready"].iter().all(|kind| stored.is_true(kind))
        };
        self.until("the edited Frontend's conditions are right", 120, right).await;
        began.elapsed()
    }
}

impl StoredObject {
    fn is_true(&self, kind: &str) -> bool {
        let of = self.conditions.iter().find(|of| of.type_ == kind);
        of.is_some_and(|of| of.status == "True" && of.observed_generation == Some(self.generation))
    }

    fn is_as_expected(&self, kind: &str) -> bool {
        let wanted: &[&str] = match kind {
            "Frontend" => &["Accepted", "ResolvedRefs", "Programmed", "Available", "Ready"],
            _ => &["Accepted", "ResolvedRefs", "Ready"],
        };
        let up = kind == "Frontend" || self.state.as_deref() == Some("Up");
        up && self.conditions.len() == wanted.len() && wanted.iter().all(|kind| self.is_true(kind))
    }
}
