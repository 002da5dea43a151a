//! A cluster for a release of the chart: a control plane with controllers, and two load-balancer nodes with a simulated
//! VPP each. The tests run one at a time, and share a control plane until one of them fails.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use maglev_sandbox::assets::Tool;
use maglev_sandbox::demo_backend::{DemoBackends, DemoOptions};
use maglev_sandbox::node::{Node, NodeOptions};
use maglev_sandbox::processes::Processes;
use maglev_vpp_simulator::{Mark, RecordedWrite, Simulator, SimulatorOptions};
use tokio::process::Command;
use tokio::sync::{Mutex, MutexGuard};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::super::harness::{Cluster, delete_cluster_scoped, empty_control_plane, eventually, root};

/// Namespace of the release.
pub const NAMESPACE: &str = "maglev-system";
/// Maximum time for helm to wait for agents that warm up one after the other, on a busy machine.
pub const HELM_LIMIT: Duration = Duration::from_secs(240);

/// Values that only a sandbox needs: all addresses are loopback addresses, the nodes share 127.0.0.1, and a rollout
/// waits only briefly between two nodes.
pub const VALUES: &str = "
allowLoopback: true
agent: {grpc: {portForward: false}, minReadySeconds: 1, nodeSelector: {kubernetes.io/os: linux}}
dashboard: {portForward: false}
tests: {within: 20}
";

/// The control plane, two nodes, their VPPs, and live backends.
pub struct Site {
    pub cluster: Cluster,
    /// Receives the control plane when the test has succeeded.
    shared: MutexGuard<'static, Option<Cluster>>,
    pub dir: PathBuf,
    pub vpps: Vec<Simulator>,
    /// VPPs on the same nodes, at `/run/broken`, that refuse every VIP.
    _broken: Vec<Simulator>,
    names: Vec<String>,
    nodes: Vec<Node>,
    _backends: DemoBackends,
    end: DropGuard,
}

/// The control plane that the last test left clean.
static SHARED: Mutex<Option<Cluster>> = Mutex::const_new(None);

async fn start_vpp(directory: &Path) -> Simulator {
    let stats_socket = Some(directory.join("stats.sock"));
    Simulator::start(SimulatorOptions { stats_socket, ..SimulatorOptions::new(directory.join("api.sock")) })
        .await
        .unwrap()
}

impl Site {
    /// Starts the nodes `number` and `number + 1`, which must be unique, and backends on port 8080 of 127.0.`number`.1
    /// to .4.
    pub async fn start(number: u8) -> Self {
        let mut shared = SHARED.lock().await;
        let cluster = match shared.take() {
            Some(cluster) => cluster,
            None => empty_control_plane(&format!("release-{number}")).await,
        };
        let dir = cluster.dir().join(format!("site-{number}"));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("values.yaml"), VALUES).unwrap();
        let (end, processes) = (CancellationToken::new(), Processes::start().unwrap());
        let backends = (1..=4).map(|last| (format!("shop-{last}"), ([127, 0, number, last], 8080).into()));
        let options = DemoOptions { backends: backends.collect(), ..DemoOptions::standard(&dir) };
        let backends = DemoBackends::start(options, end.clone()).await.unwrap();
        let (mut names, mut nodes, mut vpps, mut broken) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for number in [number, number + 1] {
            let name = format!("lb-{number}");
            let mut options =
                NodeOptions::new(cluster.plane(), cluster.dir(), &processes, &name, number).await.unwrap();
            options.binaries = maglev_testkit::binary("maglevd").parent().unwrap().to_owned();
            vpps.push(start_vpp(&options.root.join("run/vpp")).await);
            broken.push(start_vpp(&options.root.join("run/broken")).await);
            nodes.push(Node::start(options, end.clone()).await.unwrap());
            names.push(name);
        }
        broken.iter().for_each(|vpp| vpp.refuse_vips(true));
        Self { cluster, shared, dir, vpps, _broken: broken, names, nodes, _backends: backends, end: end.drop_guard() }
    }

    /// Stops and deletes the nodes. The control plane must be as it was.
    pub async fn stop(mut self) {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        delete_cluster_scoped(&self.cluster, &["node"], &names).await;
        drop(self.end);
        for node in &self.nodes {
            node.stopped().await;
        }
        *self.shared = Some(self.cluster);
    }

    /// A command with the tools and this project's programs on its PATH, an administrator's kubeconfig, and without the
    /// user's own configuration.
    pub fn command(&self, program: &str) -> Command {
        let tools = self.cluster.plane().assets().path(Tool::Helm).parent().unwrap().to_owned();
        let maglevc = maglev_testkit::binary("maglevc");
        let programs = maglevc.parent().unwrap();
        let mut command = Command::new(program);
        command.env_clear().env("PATH", format!("{}:{}:/usr/bin:/bin", tools.display(), programs.display()));
        command.env("KUBECONFIG", self.cluster.plane().kubeconfig()).env("HOME", &self.dir).current_dir(root());
        command.kill_on_drop(true);
        command
    }

    /// Runs helm for the release and returns its output; `Err` holds the output of a failed command.
    pub async fn helm(&self, args: &[&str]) -> Result<String, String> {
        let mut command = self.command("helm");
        let output = tokio::time::timeout(HELM_LIMIT, command.args(args).args(["-n", NAMESPACE]).output()).await;
        let output = output.expect("helm ends in time").unwrap();
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        if output.status.success() { Ok(text) } else { Err(text) }
    }

    /// Installs or upgrades a chart with the sandbox's values.
    pub async fn release(&self, verb: &str, chart: &Path, more: &[&str]) -> String {
        let (chart, values) = (chart.display().to_string(), self.dir.join("values.yaml").display().to_string());
        self.helm(&[&[verb, "maglev", &chart, "-f", &values], more].concat()).await.unwrap()
    }

    /// Name and uid of each node's agent pod.
    pub async fn agents(&self) -> BTreeMap<String, (String, String)> {
        let fields = "{range .items[*]}{.spec.nodeName} {.metadata.name} {.metadata.uid}{\"\\n\"}{end}";
        let output = format!("jsonpath={fields}");
        let component = "app.kubernetes.io/component=maglevd";
        let listed = self.cluster.kubectl(&["get", "pods", "-n", NAMESPACE, "-l", component, "-o", &output]).await;
        let pod = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            (words[0].to_owned(), (words[1].to_owned(), words[2].to_owned()))
        };
        listed.lines().map(pod).collect()
    }

    pub fn marks(&self) -> Vec<Mark> {
        self.vpps.iter().map(Simulator::mark).collect()
    }

    /// Writes to any VPP since these marks.
    pub fn writes_since(&self, marks: &[Mark]) -> Vec<RecordedWrite> {
        self.vpps.iter().zip(marks).flat_map(|(vpp, mark)| vpp.writes_since(*mark)).collect()
    }

    /// Every object of the cluster but Kubernetes' Events, as `Kind namespace/name`.
    pub async fn inventory(&self) -> BTreeSet<String> {
        let kinds = self.cluster.kubectl(&["api-resources", "--verbs=list", "-o", "name"]).await;
        let kinds = kinds.lines().filter(|kind| !kind.starts_with("events") && *kind != "componentstatuses");
        let kinds = kinds.collect::<Vec<_>>().join(",");
        let fields = "{range .items[*]}{.kind} {.metadata.namespace}/{.metadata.name}{\"\\n\"}{end}";
        let output = format!("jsonpath={fields}");
        let listed = self.cluster.kubectl(&["get", &kinds, "-A", "--ignore-not-found", "-o", &output]).await;
        // The control plane creates objects of its own at any time.
        listed.lines().filter(|line| !line.contains(" kube-")).map(str::to_owned).collect()
    }

    /// Waits until a condition of an object of the namespace `shop` holds.
    pub async fn wait(&self, object: &str, condition: &str) {
        let condition = format!("--for=condition={condition}");
        self.cluster.kubectl(&["wait", &condition, object, "-n", "shop", "--timeout=50s"]).await;
    }

    /// Waits until every VPP has the VIP with both servers and their weights.
    pub async fn until_served(&self) {
        let weights = |vpp: &Simulator| -> Vec<u8> {
            let vips = vpp.snapshot().vips;
            vips.values().flat_map(|vip| vip.ases.values().map(|server| server.weight).collect::<Vec<_>>()).collect()
        };
        let served = async || self.vpps.iter().all(|vpp| weights(vpp) == [10, 10]).then_some(());
        eventually("every VPP has the VIP with both servers", served).await;
    }
}
