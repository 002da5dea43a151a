//! A control plane, two agents with a simulated VPP each, and a controller.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU16;
use std::path::Path;
use std::pin::pin;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{Node, Service, ServiceAccount};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::ApiResource;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, Resource, ResourceExt as _};
use maglev_controller::{AgentLinks, Controller, ControllerMetrics, ControllerOptions, LinkUpdate};
use maglev_crd::{self as crd, AddressPolicy, LoadBalancerConfig};
use maglev_kube::{LeaseLoop, LeaseOptions};
use maglev_model::vip::{Protocol, VipKey};
use maglev_sandbox::assets::Assets;
use maglev_sandbox::control_plane::{ControlPlane, Options};
use maglev_sandbox::processes::Processes;
use maglev_vpp_simulator::{Simulator, SimulatorOptions};
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio_util::sync::CancellationToken;

const NODES: [&str; 2] = ["node-a", "node-b"];
/// Addresses of the nodes.
const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2)];
/// The network whose addresses are given in order: the first Service gets 198.18.0.1.
const NETWORK: &str = "198.18.0.0/16";
const TIMEOUT: Duration = Duration::from_secs(60);
/// Pause between two readings of a simulated VPP.
const READ_EVERY: Duration = Duration::from_micros(200);

/// The latencies of one change on one node.
pub struct Latency {
    pub from_request: Duration,
    pub from_event: Duration,
}

/// No agent is connected to the controller, which writes no status then. Services do not wait for it.
struct NoAgents;

impl AgentLinks for NoAgents {
    fn follow(&self, shutdown: CancellationToken) -> mpsc::Receiver<LinkUpdate> {
        let (updates_tx, updates_rx) = mpsc::channel(1);
        tokio::spawn(async move {
            shutdown.cancelled().await;
            drop(updates_tx);
        });
        updates_rx
    }
}

/// The arrival of EndpointSlices at this program's own watch, by resource version.
type Arrivals = watch::Receiver<HashMap<String, Instant>>;

pub struct Cluster {
    plane: ControlPlane,
    _processes: Processes,
    client: Client,
    vpps: Vec<Arc<Simulator>>,
    agents: Vec<Child>,
    controller: Option<(CancellationToken, JoinHandle<()>)>,
    arrivals: Arrivals,
}

impl Cluster {
    /// Starts everything, and waits until the agents are ready.
    pub async fn start(dir: &Path, vpp_runtime: &tokio::runtime::Handle) -> Self {
        let assets = Assets::from_checkout(maglev_testkit::checkout()).await.unwrap();
        let processes = Processes::start().unwrap();
        let plane = ControlPlane::start(dir, &processes, Options::new(assets)).await.unwrap();
        let client = plane.client().await.unwrap();
        fill(&client).await;
        let (mut vpps, mut agents) = (Vec::new(), Vec::new());
        for (node, number) in NODES.iter().zip(1..) {
            let socket = dir.join(node).join("api.sock");
            std::fs::create_dir_all(dir.join(node)).unwrap();
            let options = SimulatorOptions::new(&socket);
            let vpp = vpp_runtime.spawn(async move { Simulator::start(options).await.unwrap() }).await.unwrap();
            vpps.push(Arc::new(vpp));
            agents.push(start_agent(node, number, &socket, &plane.kubeconfig()));
        }
        let arrivals = follow_slices(client.clone());
        let controller = Some(start_controller(&client));
        Self { plane, _processes: processes, client, vpps, agents, controller, arrivals }
    }

    /// Creates a Service with two ready endpoints. Returns the time until both VPPs have its servers.
    pub async fn create(&mut self, number: usize) -> Duration {
        let name = name(number);
        let start = Instant::now();
        let spec = json!({
            "type": "LoadBalancer", "loadBalancerClass": "maglev.vpp.io/vpp", "externalTrafficPolicy": "Local",
            "selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}],
        });
        apply::<Service>(&self.client, Some("default"), json!({"metadata": {"name": name}, "spec": spec})).await;
        apply::<EndpointSlice>(&self.client, Some("default"), slice(&name, [1, 1])).await;
        let times = self.until_weights(number, [1, 1]).await;
        times.into_iter().max().unwrap().duration_since(start)
    }

    /// Sets the numbers of ready endpoints of the first Service on the nodes. Returns the latency on each node.
    pub async fn change(&mut self, ready: [u8; 2]) -> [Latency; 2] {
        let start = Instant::now();
        let waiting = self.until_weights(0, ready);
        let writing = apply::<EndpointSlice>(&self.client, Some("default"), slice(&name(0), ready));
        let (written, times) = tokio::join!(writing, waiting);
        let version = written.resource_version().unwrap();
        let mut arrivals = self.arrivals.clone();
        let arrived = tokio::time::timeout(TIMEOUT, arrivals.wait_for(|arrivals| arrivals.contains_key(&version)));
        let event = arrived.await.expect("the event arrives in time").unwrap()[&version];
        times.map(|time| Latency {
            from_request: time.duration_since(start),
            from_event: time.saturating_duration_since(event),
        })
    }

    /// Waits until both VPPs have the weights of a Service. Returns the times.
    async fn until_weights(&self, number: usize, ready: [u8; 2]) -> [Instant; 2] {
        let address = u32::from(Ipv4Addr::new(198, 18, 0, 1)) + u32::try_from(number).unwrap();
        let service = maglev_model::vip::Service::Port { protocol: Protocol::Tcp, port: NonZeroU16::new(80).unwrap() };
        let vip = VipKey { address: Ipv4Addr::from(address).into(), service };
        let expected: BTreeMap<IpAddr, u8> =
            ADDRESSES.map(IpAddr::from).into_iter().zip(ready.map(|count| count * 10)).collect();
        let mut tasks = Vec::new();
        for vpp in &self.vpps {
            let (vpp, expected, start) = (Arc::clone(vpp), expected.clone(), Instant::now());
            tasks.push(spawn_blocking(move || {
                while vpp.snapshot().weights(vip) != expected {
                    assert!(start.elapsed() < TIMEOUT, "Service {number} has {:?}", vpp.snapshot().weights(vip));
                    #[expect(clippy::disallowed_methods, reason = "the thread runs nothing else")]
                    std::thread::sleep(READ_EVERY);
                }
                Instant::now()
            }));
        }
        let [first, second] = tasks.try_into().unwrap_or_else(|_| panic!("there are two VPPs"));
        [first.await.unwrap(), second.await.unwrap()]
    }

    pub async fn stop_controller(&mut self) {
        if let Some((end, task)) = self.controller.take() {
            end.cancel();
            task.await.unwrap();
        }
    }

    pub async fn stop(mut self) {
        self.stop_controller().await;
        for mut agent in self.agents {
            agent.kill().await.unwrap();
        }
        self.plane.stop().await;
    }
}

fn name(number: usize) -> String {
    format!("service-{number:03}")
}

/// The EndpointSlice of a Service with these numbers of ready endpoints on the nodes.
fn slice(service: &str, ready: [u8; 2]) -> Value {
    let endpoints = NODES.iter().zip(ready).zip(1..).flat_map(|((node, count), number)| {
        let endpoint = move |last| {
            let conditions = json!({"ready": true, "serving": true, "terminating": false});
            json!({"addresses": [format!("10.244.{number}.{last}")], "nodeName": node, "conditions": conditions})
        };
        (1..=count).map(endpoint)
    });
    json!({
        "metadata": {"name": format!("{service}-1"), "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": endpoints.collect::<Vec<_>>(),
    })
}

/// Creates what the agents and the controller need.
async fn fill(client: &Client) {
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    for crd in crd::all() {
        crds.patch(&crd.name_any(), &PatchParams::apply("bench"), &Patch::Apply(&crd)).await.unwrap();
    }
    apply::<ServiceAccount>(client, Some("default"), json!({"metadata": {"name": "default"}})).await;
    for (node, address) in NODES.iter().zip(ADDRESSES) {
        apply::<Node>(client, None, json!({"metadata": {"name": node}})).await;
        let addresses = json!([{"type": "InternalIP", "address": address}]);
        let status = Patch::Merge(json!({"status": {"addresses": addresses}}));
        Api::<Node>::all(client.clone()).patch_status(node, &PatchParams::default(), &status).await.unwrap();
    }
    let config = json!({
        "sync": {"startupMinDelay": "500ms"}, "vpp": {"ipv4SourceAddress": "192.0.2.254"},
        "services": {"nodeHealthCheck": {"type": "None"}},
    });
    apply::<LoadBalancerConfig>(client, None, json!({"metadata": {"name": "bench"}, "spec": config})).await;
    let policy = json!({
        "frontends": {"addresses": [NETWORK], "assign": "Auto"}, "backends": {"addresses": ["0.0.0.0/0"]},
    });
    apply::<AddressPolicy>(client, None, json!({"metadata": {"name": "bench"}, "spec": policy})).await;
}

/// Applies an object. The API server serves a new CRD after a moment.
async fn apply<K: Resource<DynamicType = ()>>(
    client: &Client,
    namespace: Option<&str>,
    object: Value,
) -> DynamicObject {
    let resource = ApiResource::erase::<K>(&());
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let name = object["metadata"]["name"].as_str().unwrap().to_owned();
    let mut object = object;
    object["apiVersion"] = resource.api_version.as_str().into();
    object["kind"] = resource.kind.as_str().into();
    let start = Instant::now();
    loop {
        match api.patch(&name, &PatchParams::apply("bench").force(), &Patch::Apply(&object)).await {
            Ok(written) => return written,
            Err(error) => assert!(start.elapsed() < TIMEOUT, "{name}: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn start_agent(node: &str, number: u8, socket: &Path, kubeconfig: &Path) -> Child {
    let mut command = Command::new(maglev_testkit::binary("maglevd"));
    command.env_clear().env("POD_IP", format!("127.0.4.{number}"));
    command.args(["--services", "--log-level=warn", "--node-name", node, "--grpc-tls-dir", "/nonexistent"]);
    command.arg("--kubeconfig").arg(kubeconfig).arg("--vpp-api-socket").arg(socket);
    command.stdin(Stdio::null()).kill_on_drop(true).spawn().unwrap()
}

fn start_controller(client: &Client) -> (CancellationToken, JoinHandle<()>) {
    let options = ControllerOptions {
        services: true,
        collect_for: Duration::from_secs(1),
        ..ControllerOptions::new("default", "bench")
    };
    let metrics = ControllerMetrics::new().unwrap();
    let controller = Controller::new(client.clone(), options, Arc::new(NoAgents), metrics);
    let lease = LeaseLoop::new(client.clone(), LeaseOptions::new("default", "bench", "bench".to_owned()));
    let end = CancellationToken::new();
    let lead = Box::new(move |leadership, end| controller.lead(leadership, end));
    let task = tokio::spawn(lease.run(lead, end.clone()));
    (end, task)
}

fn follow_slices(client: Client) -> Arrivals {
    let (arrivals_tx, arrivals_rx) = watch::channel(HashMap::new());
    tokio::spawn(async move {
        let mut events = pin!(watcher(Api::<EndpointSlice>::all(client), watcher::Config::default()));
        while let Some(event) = events.next().await {
            let now = Instant::now();
            if let Ok(Event::Apply(slice) | Event::InitApply(slice)) = event {
                let version = slice.resource_version().unwrap_or_default();
                arrivals_tx.send_modify(|arrivals| {
                    arrivals.insert(version, now);
                });
            }
        }
    });
    arrivals_rx
}
