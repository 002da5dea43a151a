//! Two nodes whose tables of one VIP differ: by a change that one agent has not got, and by another client of one VPP.
//! maglevd and maglev-frontend run as processes.

use std::{fs::File, net::IpAddr, path::Path, process::Stdio};

use kube::{
    Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use maglev_model::{actual::VppVip, event::Events, vip::Weight};
use maglev_vpp::{lb::Lb, session::SessionOptions};
use maglev_vpp_simulator::{Simulator, SimulatorOptions};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::{
    dashboard::document,
    harness::{Cluster, cluster, delete_cluster_scoped, eventually},
    maglevd::{http_get, install_agent_role},
    watches::tcp_proxy::TcpProxy,
};

const VIP: VppVip =
    VppVip { address: IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 202)), length: 32, protocol: 6, port: 80 };
const SERVER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 21));

/// The ports of the two agents and of the dashboard, below those that the kernel gives to connections of other tests.
const PORTS: [[u16; 2]; 3] = [[15_201, 15_202], [15_203, 15_204], [15_205, 15_206]];

/// Two Nodes. Both read VPP every second, so that they notice what another client did.
const NODES: &str = "
apiVersion: v1
kind: Node
metadata: {name: NAME-a, labels: {tables: NAME}}
---
apiVersion: v1
kind: Node
metadata: {name: NAME-b, labels: {tables: NAME}}
---
apiVersion: maglev.vpp.io/v1alpha1
kind: LoadBalancerConfig
metadata: {name: NAME}
spec:
  nodeSelector: {tables: NAME}
  vpp: {ipv4SourceAddress: 192.0.2.253}
  sync: {startupMinDelay: 100ms, startupMaxDelay: 1s, interval: 1s}
";

const OBJECTS: &str = "
apiVersion: maglev.vpp.io/v1alpha1
kind: Backend
metadata: {name: one}
spec: {address: 192.0.2.21}
---
apiVersion: maglev.vpp.io/v1alpha1
kind: Backend
metadata: {name: two}
spec: {address: 192.0.2.22}
---
apiVersion: maglev.vpp.io/v1alpha1
kind: Frontend
metadata: {name: web}
spec:
  address: 203.0.113.202
  protocol: TCP
  port: 80
  tableLength: 1024
  pools: [{name: primary, backends: [{name: one}, {name: two}]}]
";

/// A node: a simulated VPP and maglevd.
struct Node {
    dir: TempDir,
    simulator: Simulator,
    grpc: u16,
    metrics: u16,
    _maglevd: Child,
}

impl Node {
    async fn start(name: &str, kubeconfig: &Path, [grpc, metrics]: [u16; 2]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let simulator = Simulator::start(SimulatorOptions::new(dir.path().join("api.sock"))).await.unwrap();
        let mut command = Command::new(maglev_testkit::binary("maglevd"));
        command.args([format!("--grpc-addr=127.0.0.1:{grpc}"), format!("--metrics-addr=127.0.0.1:{metrics}")]);
        let command = command.env("NODE_NAME", name).env("KUBECONFIG", kubeconfig);
        let command = command.env("MAGLEVD_VPP_API_SOCKET", simulator.api_socket());
        let maglevd = spawn(command, &dir.path().join("maglevd.log"));
        Self { dir, simulator, grpc, metrics, _maglevd: maglevd }
    }

    fn weight(&self) -> Option<u8> {
        self.simulator.snapshot().weights(VIP).get(&SERVER).copied()
    }

    async fn until_weight(&self, weight: u8) {
        eventually(&format!("VPP has the weight {weight}"), async || (self.weight() == Some(weight)).then_some(()))
            .await;
    }

    /// The fingerprint of the table in `/metrics`.
    async fn fingerprint(&self, frontend: &str) -> Option<String> {
        let metrics = http_get(self.metrics, "/metrics").await;
        let frontend = format!("frontend=\"{frontend}\"");
        let series =
            metrics.lines().find(|line| line.starts_with("maglev_vip_table_info{") && line.contains(&frontend))?;
        let (_, fingerprint) = series.split_once("fingerprint=\"")?;
        Some(fingerprint.split_once('"')?.0.to_owned())
    }

    /// Sets a weight as another client of VPP.
    async fn set_weight_by_hand(&self, weight: u8) {
        let socket = self.dir.path().join("api.sock");
        let lb = Lb::connect(&socket, SessionOptions::new("by-hand", Events::discard())).await.unwrap();
        lb.set_weight(VIP, SERVER, Weight::new(weight).unwrap(), false).await.unwrap();
    }
}

fn spawn(command: &mut Command, log: &Path) -> Child {
    let log = File::create(log).unwrap();
    let command = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    command.kill_on_drop(true).spawn().unwrap()
}

/// A copy of a kubeconfig that connects through `proxy`.
fn through(proxy: &TcpProxy, kubeconfig: &Path, copy: &Path) {
    let config = Kubeconfig::read_from(kubeconfig).unwrap();
    let server = config.clusters[0].cluster.as_ref().and_then(|cluster| cluster.server.as_ref()).unwrap();
    let text = std::fs::read_to_string(kubeconfig).unwrap();
    std::fs::write(copy, text.replace(server, &format!("https://127.0.0.1:{}", proxy.port()))).unwrap();
}

/// maglev-frontend for these agents.
struct Dashboard {
    port: u16,
    frontend: String,
    _server: Child,
}

impl Dashboard {
    fn start(dir: &Path, nodes: &[&Node], frontend: &str) -> Self {
        let [port, metrics] = PORTS[2];
        let mut command = Command::new(maglev_testkit::binary("maglev-frontend"));
        command.args([format!("--http-addr=127.0.0.1:{port}"), format!("--metrics-addr=127.0.0.1:{metrics}")]);
        command.args(nodes.iter().map(|node| format!("--server=127.0.0.1:{}", node.grpc)));
        let server = spawn(&mut command, &dir.join("maglev-frontend.log"));
        Self { port, frontend: frontend.to_owned(), _server: server }
    }

    async fn summary(&self) -> Option<Value> {
        document(&format!("http://127.0.0.1:{}/view/", self.port), "api/summary").await
    }

    /// Waits until the Frontend is up on both nodes, without or with a disagreement, and returns the summary. The nodes
    /// also have the Frontends of other tests, which share the API server.
    async fn until_disagreement(&self, expected: bool) -> Value {
        let condition = format!("a disagreement: {expected}");
        eventually(&condition, async || {
            let summary = self.summary().await?;
            let row = &summary["rows"][&self.frontend];
            let matches = row["state"] == "up"
                && row["cells"].as_object()?.len() == 2
                && summary["totals"]["reporting"] == 2
                && row.get("disagreement").is_some() == expected;
            matches.then_some(summary)
        })
        .await
    }
}

/// Checks the share in the strip, and that the row names both nodes: two of them have no majority.
fn assert_share(summary: &Value, frontend: &str, nodes: [&str; 2]) {
    let row = &summary["rows"][frontend];
    let percent = row["disagreement"]["percent"].as_f64().unwrap();
    assert!((10.0..60.0).contains(&percent), "{row}");
    assert!(summary["strip"]["disagree"].as_u64() >= Some(1), "{summary}");
    assert!(summary["differing_percent"].as_f64() >= Some(percent), "{summary}");
    assert_eq!(row["disagreement"]["nodes"], Value::from(nodes.to_vec()));
    let reason = format!("nodes disagree: {percent:.1} % of buckets differ between {}, {}", nodes[0], nodes[1]);
    assert_eq!(row["reason"], reason);
}

/// Waits until both nodes export a fingerprint of the table, and these are equal or different.
async fn until_fingerprints(nodes: [&Node; 2], frontend: &str, equal: bool) {
    eventually(&format!("fingerprints of both nodes, equal: {equal}"), async || {
        let [one, other] = [nodes[0].fingerprint(frontend).await?, nodes[1].fingerprint(frontend).await?];
        ((one == other) == equal).then_some(())
    })
    .await;
}

async fn patch(cluster: &Cluster, namespace: &str, kind: &str, name: &str, patch: &str) {
    cluster.kubectl(&["patch", kind, name, "-n", namespace, "--type=merge", "-p", patch]).await;
}

fn backends(weight: u8) -> String {
    let backends = format!(r#"[{{"name": "one", "weight": {weight}}}, {{"name": "two"}}]"#);
    format!(r#"{{"spec": {{"pools": [{{"name": "primary", "backends": {backends}}}]}}}}"#)
}

#[tokio::test]
async fn tables_that_differ_between_nodes_are_shown_with_their_share() {
    let cluster = cluster().await;
    let namespace = cluster.namespace("tables").await;
    install_agent_role(cluster, &namespace, "").await;
    cluster.apply(&namespace, &NODES.replace("NAME", &namespace)).await.unwrap();
    cluster.apply(&namespace, OBJECTS).await.unwrap();
    let kubeconfig = cluster.kubeconfig_as(&namespace, "maglevd").await;

    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(Kubeconfig::read_from(&kubeconfig).unwrap(), &options);
    let mut proxy = TcpProxy::start(&config.await.unwrap()).await;
    let dir = tempfile::tempdir().unwrap();
    let proxied = dir.path().join("kubeconfig");
    through(&proxy, &kubeconfig, &proxied);
    let names = ["a", "b"].map(|node| format!("{namespace}-{node}"));
    let [a, b] =
        [Node::start(&names[0], &kubeconfig, PORTS[0]).await, Node::start(&names[1], &proxied, PORTS[1]).await];
    let frontend = format!("{namespace}/web");
    let dashboard = Dashboard::start(dir.path(), &[&a, &b], &frontend);
    dashboard.until_disagreement(false).await;
    until_fingerprints([&a, &b], &frontend, true).await;

    // The second agent does not get a change.
    proxy.close().await;
    patch(cluster, &namespace, "mfe", "web", &backends(40)).await;
    a.until_weight(40).await;
    let summary = dashboard.until_disagreement(true).await;
    assert_share(&summary, &frontend, [&names[0], &names[1]]);
    assert_eq!(b.weight(), Some(10));
    until_fingerprints([&a, &b], &frontend, false).await;
    proxy.open().await;
    b.until_weight(40).await;
    dashboard.until_disagreement(false).await;

    // Another client changes a weight that the agents keep, because the Backend's health check does not exist.
    patch(cluster, &namespace, "mbe", "one", r#"{"spec": {"healthCheckRef": {"name": "missing"}}}"#).await;
    eventually("both agents have no check for the Backend", async || {
        let problem = dashboard.summary().await?["problems"][format!("Backend {namespace}/one")].clone();
        (problem["nodes"].as_array()?.len() == 2).then_some(())
    })
    .await;
    b.set_weight_by_hand(10).await;
    let summary = dashboard.until_disagreement(true).await;
    assert_share(&summary, &frontend, [&names[0], &names[1]]);
    b.set_weight_by_hand(40).await;
    dashboard.until_disagreement(false).await;
    until_fingerprints([&a, &b], &frontend, true).await;
    delete_cluster_scoped(cluster, &["node", "mlbc"], &[&names[0], &names[1], &namespace]).await;
}
