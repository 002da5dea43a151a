//! The program as a process: from kubectl to VPP, with the rights that the chart gives it.

use std::path::Path;
use std::process::{ExitStatus, Stdio};

use maglev_model::{Name, event::ProgramResult};
use maglev_rpc::client::{AgentClient, Watch, WatchRequest};
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

    async fn until_says(&self, words: &[&str]) {
        eventually(&format!("{words:?} in {}", self.log.display()), async || {
            (self.lines_with(words) > 0).then_some(())
        })
        .await;
    }

    async fn stop(&mut self) -> ExitStatus {
        let pid = Pid::from_raw(self.child.id().unwrap().try_into().unwrap());
        kill(pid, Signal::SIGTERM).unwrap();
        tokio::time::timeout(LIMIT, self.child.wait()).await.expect("it ends").unwrap()
    }
}

/// An answer of the program's HTTP server, headers included; empty while it does not answer.
pub async fn ask(port: u16, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let exchange = async {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    exchange.await.unwrap_or_default()
}

/// Makes the agent's ServiceAccount with the role that the chart gives it; `set` is what values it is given.
pub async fn install_agent_role(cluster: &Cluster, namespace: &str, set: &str) {
    let args = ["template", "maglev", "charts/maglev", "--namespace", namespace, "--set", "crds.install=false"];
    let only = ["--show-only", "templates/agent/rbac.yaml", "--show-only", "templates/agent/serviceaccount.yaml"];
    let output = run(cluster.tool(Tool::Helm).args(args).args(["--set", set]).args(only), "").await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    cluster.apply(namespace, &String::from_utf8(output.stdout).unwrap()).await.unwrap();
}

/// A Node whose agent does not warm up for long.
const NODE: &str = "
apiVersion: v1
kind: Node
metadata: {name: PLACE, labels: {place: PLACE}}
---
apiVersion: maglev.vpp.io/v1alpha1
kind: LoadBalancerConfig
metadata: {name: PLACE}
spec:
  nodeSelector: {place: PLACE}
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
    let held = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}

/// Asks over gRPC for what was applied, and follows from there.
async fn answers(client: &AgentClient, place: &str) -> Watch {
    let version = client.version().await.unwrap();
    assert_eq!((&*version.node, version.ready), (place, Ok(())));
    let snapshot = client.state().await.unwrap();
    let watch = client.watch(WatchRequest { since: Some(snapshot.as_of), ..WatchRequest::default() }).await.unwrap();
    let name = Name::namespaced(place, "web");
    assert!(snapshot.view.frontends.contains_key(&name), "{:?}", snapshot.view);
    let frontend = eventually("it is read back from VPP", async || {
        let frontend = client.frontend(&name).await.unwrap();
        let programmed = frontend.report.as_ref().is_some_and(|report| report.result == ProgramResult::Programmed);
        programmed.then_some(frontend)
    })
    .await;
    assert_eq!(frontend.weights.iter().map(|of| of.effective).collect::<Vec<_>>(), [Some(10)]);
    // Other tests' Frontends may be there as well: one API server serves them all.
    let vip = snapshot.view.frontends[&name].vip.into();
    assert!(client.lb_state().await.unwrap().actual.vips.contains_key(&vip));
    client.sync_now(None).await.unwrap();
    watch
}

async fn until_told(watch: &mut Watch, name: &str) {
    let told = async {
        while !watch.next().await.unwrap().expect("it goes on").lines.iter().any(|line| &*line.name == name) {}
    };
    tokio::time::timeout(LIMIT, told).await.unwrap_or_else(|_| panic!("{name} does not come"));
}

#[tokio::test]
async fn what_is_applied_with_kubectl_reaches_vpp_and_stays_when_the_program_ends() {
    let cluster = cluster().await;
    let place = cluster.namespace("maglevd").await;
    install_agent_role(cluster, &place, "").await;
    cluster.apply(&place, &NODE.replace("PLACE", &place)).await.unwrap();
    let addresses = r#"{"status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.254"}]}}"#;
    cluster.kubectl(&["patch", "node", &place, "--subresource=status", "--type=merge", "-p", addresses]).await;
    let kubeconfig = cluster.kubeconfig_as(&place, "maglevd").await;
    let dir = tempfile::tempdir().unwrap();
    let simulator = Simulator::start(SimulatorOptions::new(dir.path().join("api.sock"))).await.unwrap();
    let ports = free_ports();
    let [port, grpc] = ports;

    let mut maglevd = Maglevd::start(dir.path(), "first", &place, &kubeconfig, ports);
    cluster.apply(&place, &manifests(10)).await.unwrap();
    let (frontend, backend) = (format!("frontend={place}/web"), format!("backend={place}/web-1"));
    let vip = [frontend.as_str(), "vip=203.0.113.201 protocol=tcp port=80"];
    maglevd.until_says(&["INFO vpp-lb-sync-vip-added", vip[0], vip[1], "encap="]).await;
    maglevd.until_says(&["INFO vpp-lb-sync-as-added", vip[0], vip[1], &backend, "as=192.0.2.1 weight="]).await;
    eventually("it is ready", async || ask(port, "/readyz").await.contains(" 200 ").then_some(())).await;
    assert!(ask(port, "/healthz").await.contains(" 200 "));
    let metrics = ask(port, "/metrics").await;
    assert!(metrics.contains("maglev_config_objects{kind=\"Backend\"}"), "{metrics}");

    let client = AgentClient::new(AgentClient::endpoint(format!("http://127.0.0.1:{grpc}")).unwrap().connect_lazy());
    let mut watch = answers(&client, &place).await;
    cluster.apply(&place, &manifests(20)).await.unwrap();
    maglevd.until_says(&["INFO vpp-lb-sync-as-weight-updated", vip[0], vip[1], &backend, "from=10 to=20"]).await;
    until_told(&mut watch, "vpp-lb-sync-as-weight-updated").await;
    assert!(maglevd.stop().await.success(), "{}", maglevd.log());
    // Its streams end, and not by an error.
    while tokio::time::timeout(LIMIT, watch.next()).await.expect("it ends").unwrap().is_some() {}
    maglevd.until_says(&["INFO maglevd-stop signal=SIGTERM"]).await;
    assert_eq!(maglevd.lines_with(&["vpp-lb-sync-vip-added", vip[0]]), 1, "{}", maglevd.log());
    assert_eq!(maglevd.lines_with(&["vpp-lb-sync-as-removed", vip[0]]), 0, "{}", maglevd.log());

    let mut again = Maglevd::start(dir.path(), "second", &place, &kubeconfig, ports);
    eventually("it is ready again", async || ask(port, "/readyz").await.contains(" 200 ").then_some(())).await;
    assert_eq!(again.lines_with(&["vpp-lb-sync-", vip[0]]), 0, "{}", again.log());
    cluster.kubectl(&["delete", "frontend.maglev.vpp.io", "web", "-n", &place]).await;
    again.until_says(&["INFO vpp-lb-sync-vip-removed", vip[0], vip[1]]).await;
    assert!(again.stop().await.success());
    drop(simulator);
}

#[tokio::test]
async fn help_and_version_say_what_can_be_set_and_what_this_is() {
    let ask = async |args: &[&str]| {
        let mut command = Command::new(maglev_testkit::binary("maglevd"));
        let output = command.env_clear().args(args).output().await.unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap())
    };
    let (code, help) = ask(&["--help"]).await;
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
    let (code, version) = ask(&["--version"]).await;
    assert!(code == Some(0) && version.contains(env!("CARGO_PKG_VERSION")) && version.contains("commit"), "{version}");
    let (code, answer) = ask(&["--log-format=yaml"]).await;
    assert!(code == Some(2) && answer.contains("allowed are text and json"), "{answer}");
    let (code, answer) = ask(&[]).await;
    assert!(code == Some(1) && answer.contains("MAGLEVD_NODE_NAME"), "{answer}");
}
