//! maglevd as a process: from kubectl to VPP, with the rights that the chart grants.

use std::path::Path;
use std::process::{ExitStatus, Stdio};

use maglev_model::{Name, event::ProgramResult};
use maglev_rpc::client::{AgentClient, EventStream, WatchRequest};
use maglev_sandbox::assets::Tool;
use maglev_vpp_simulator::{Simulator, SimulatorOptions};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use super::harness::{Cluster, LIMIT, cluster, eventually, run};

struct Maglevd {
    child: Child,
    log: std::path::PathBuf,
}

impl Maglevd {
    fn start(dir: &Path, run: &str, node: &str, kubeconfig: &Path, [metrics, grpc]: [u16; 2]) -> Self {
        let log = dir.join(format!("{run}.log"));
        let child = Command::new(maglev_testkit::binary("maglevd"))
            .env_clear()
            .env("NODE_NAME", node)
            .env("KUBECONFIG", kubeconfig)
            .env("MAGLEVD_VPP_API_SOCKET", dir.join("api.sock"))
            .arg(format!("--metrics-addr=127.0.0.1:{metrics}"))
            .arg(format!("--grpc-addr=127.0.0.1:{grpc}"))
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(&log).unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { child, log }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    fn lines_with(&self, words: &[&str]) -> usize {
        self.log().lines().filter(|line| words.iter().all(|word| line.contains(word))).count()
    }

    async fn until_logged(&self, words: &[&str]) {
        eventually(&format!("{words:?} in {}", self.log.display()), async || {
            (self.lines_with(words) > 0).then_some(())
        })
        .await;
    }

    async fn stop(&mut self) -> ExitStatus {
        let pid = Pid::from_raw(self.child.id().unwrap().try_into().unwrap());
        kill(pid, Signal::SIGTERM).unwrap();
        tokio::time::timeout(LIMIT, self.child.wait()).await.expect("maglevd ends in time").unwrap()
    }
}

/// Response of a program's HTTP server on 127.0.0.1, headers included. Empty if the request fails.
pub async fn http_get(port: u16, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let exchange = async {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await?;
        let mut response = String::new();
        stream.read_to_string(&mut response).await?;
        Ok::<_, std::io::Error>(response)
    };
    exchange.await.unwrap_or_default()
}

/// Creates the agent's ServiceAccount and roles from the chart, with the chart values `set`.
pub async fn install_agent_role(cluster: &Cluster, namespace: &str, set: &str) {
    let values = format!("crds.install=false,{}", super::chart::NODES);
    let args = ["template", "maglev", "charts/maglev", "--namespace", namespace, "--set", &values];
    let only = ["--show-only", "templates/agent/rbac.yaml", "--show-only", "templates/agent/serviceaccount.yaml"];
    let output = run(cluster.tool(Tool::Helm).args(args).args(["--set", set]).args(only), "").await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    cluster.apply(namespace, &String::from_utf8(output.stdout).unwrap()).await.unwrap();
}

/// A Node whose agent has a short warm-up.
const NODE: &str = "
apiVersion: v1
kind: Node
metadata: {name: NAME, labels: {node: NAME}}
---
apiVersion: maglev.vpp.io/v1alpha1
kind: LoadBalancerConfig
metadata: {name: NAME}
spec:
  nodeSelector: {node: NAME}
  sync: {startupMinDelay: 100ms, startupMaxDelay: 1s}
";

fn manifests(weight: u8) -> String {
    format!(
        "
apiVersion: maglev.vpp.io/v1alpha1
kind: Backend
metadata: {{name: web-1}}
spec: {{address: 192.0.2.1}}
---
apiVersion: maglev.vpp.io/v1alpha1
kind: Frontend
metadata: {{name: web}}
spec:
  address: 203.0.113.201
  protocol: TCP
  port: 80
  pools: [{{name: primary, backends: [{{name: web-1, weight: {weight}}}]}}]
"
    )
}

fn free_ports() -> [u16; 2] {
    let listeners = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

/// Checks the agent's gRPC answers about the applied objects and returns a watch that begins at its snapshot.
async fn watch_after_snapshot(client: &AgentClient, namespace: &str) -> EventStream {
    let version = client.version().await.unwrap();
    assert_eq!((&*version.node, version.ready), (namespace, Ok(())));
    let snapshot = client.state().await.unwrap();
    let watch = client.watch(WatchRequest { since: Some(snapshot.as_of), ..WatchRequest::default() }).await.unwrap();
    let name = Name::namespaced(namespace, "web");
    assert!(snapshot.view.frontends.contains_key(&name), "{:?}", snapshot.view);
    let frontend = eventually("the Frontend is reported as programmed", async || {
        let frontend = client.frontend(&name).await.unwrap();
        let programmed = frontend.report.as_ref().is_some_and(|report| report.result == ProgramResult::Programmed);
        programmed.then_some(frontend)
    })
    .await;
    assert_eq!(frontend.weights.iter().map(|weights| weights.effective).collect::<Vec<_>>(), [Some(10)]);
    // VPP may also have the Frontends of other tests, which share the API server.
    let vip = snapshot.view.frontends[&name].vip.into();
    assert!(client.lb_state().await.unwrap().actual.vips.contains_key(&vip));
    client.sync_now().await.unwrap();
    watch
}

async fn until_event(watch: &mut EventStream, name: &str) {
    let received = async {
        while !watch.next().await.unwrap().expect("the stream continues").lines.iter().any(|line| &*line.name == name) {
        }
    };
    tokio::time::timeout(LIMIT, received).await.unwrap_or_else(|_| panic!("the event {name} was not received"));
}

#[tokio::test]
async fn applied_objects_reach_vpp_and_stay_after_maglevd_stops() {
    let cluster = cluster().await;
    let namespace = cluster.namespace("maglevd").await;
    install_agent_role(cluster, &namespace, "").await;
    cluster.apply(&namespace, &NODE.replace("NAME", &namespace)).await.unwrap();
    let addresses = r#"{"status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.254"}]}}"#;
    cluster.kubectl(&["patch", "node", &namespace, "--subresource=status", "--type=merge", "-p", addresses]).await;
    let kubeconfig = cluster.kubeconfig_as(&namespace, "maglevd").await;
    let dir = tempfile::tempdir().unwrap();
    let simulator = Simulator::start(SimulatorOptions::new(dir.path().join("api.sock"))).await.unwrap();
    let ports = free_ports();
    let [port, grpc] = ports;

    let mut maglevd = Maglevd::start(dir.path(), "first", &namespace, &kubeconfig, ports);
    cluster.apply(&namespace, &manifests(10)).await.unwrap();
    let (frontend, backend) = (format!("frontend={namespace}/web"), format!("backend={namespace}/web-1"));
    let vip = [frontend.as_str(), "vip=203.0.113.201 protocol=tcp port=80"];
    maglevd.until_logged(&["INFO vpp-lb-sync-vip-added", vip[0], vip[1], "encap="]).await;
    maglevd.until_logged(&["INFO vpp-lb-sync-as-added", vip[0], vip[1], &backend, "as=192.0.2.1 weight="]).await;
    eventually("maglevd is ready", async || http_get(port, "/readyz").await.contains(" 200 ").then_some(())).await;
    assert!(http_get(port, "/healthz").await.contains(" 200 "));
    let metrics = http_get(port, "/metrics").await;
    assert!(metrics.contains("maglev_config_objects{kind=\"Backend\"}"), "{metrics}");

    let client = AgentClient::new(AgentClient::endpoint(format!("http://127.0.0.1:{grpc}")).unwrap().connect_lazy());
    let mut watch = watch_after_snapshot(&client, &namespace).await;
    cluster.apply(&namespace, &manifests(20)).await.unwrap();
    maglevd.until_logged(&["INFO vpp-lb-sync-as-weight-updated", vip[0], vip[1], &backend, "from=10 to=20"]).await;
    until_event(&mut watch, "vpp-lb-sync-as-weight-updated").await;
    assert!(maglevd.stop().await.success(), "{}", maglevd.log());
    // The stream ends without an error.
    while tokio::time::timeout(LIMIT, watch.next()).await.expect("the stream ends in time").unwrap().is_some() {}
    maglevd.until_logged(&["INFO maglevd-stop signal=SIGTERM"]).await;
    assert_eq!(maglevd.lines_with(&["vpp-lb-sync-vip-added", vip[0]]), 1, "{}", maglevd.log());
    assert_eq!(maglevd.lines_with(&["vpp-lb-sync-as-removed", vip[0]]), 0, "{}", maglevd.log());

    let mut restarted = Maglevd::start(dir.path(), "second", &namespace, &kubeconfig, ports);
    eventually("the restarted maglevd is ready", async || {
        http_get(port, "/readyz").await.contains(" 200 ").then_some(())
    })
    .await;
    assert_eq!(restarted.lines_with(&["vpp-lb-sync-", vip[0]]), 0, "{}", restarted.log());
    cluster.kubectl(&["delete", "frontend.maglev.vpp.io", "web", "-n", &namespace]).await;
    restarted.until_logged(&["INFO vpp-lb-sync-vip-removed", vip[0], vip[1]]).await;
    assert!(restarted.stop().await.success());
    drop(simulator);
}

#[tokio::test]
async fn help_lists_every_flag_and_version_the_build() {
    let run = async |args: &[&str]| {
        let mut command = Command::new(maglev_testkit::binary("maglevd"));
        let output = command.env_clear().args(args).output().await.unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap())
    };
    let (code, help) = run(&["--help"]).await;
    assert_eq!(code, Some(0));
    for flag in [
        "node-name",
        "vpp-api-socket",
        "vpp-stats-socket",
        "probe-network-namespace",
        "log-format",
        "log-level",
        "metrics-addr",
        "grpc-addr",
        "kubeconfig",
    ] {
        let variable = format!("MAGLEVD_{}", flag.to_uppercase().replace('-', "_"));
        assert!(help.contains(&format!("--{flag} ")) && help.contains(&variable), "{flag} in {help}");
    }
    assert!(help.contains("--allow-loopback") && help.contains("Example"), "{help}");
    let (code, version) = run(&["--version"]).await;
    assert!(code == Some(0) && version.contains(env!("CARGO_PKG_VERSION")) && version.contains("commit"), "{version}");
    let (code, output) = run(&["--log-format=yaml"]).await;
    assert!(code == Some(2) && output.contains("allowed are text and json"), "{output}");
    let (code, output) = run(&[]).await;
    assert!(code == Some(1) && output.contains("MAGLEVD_NODE_NAME"), "{output}");
}
