//! Packets through a whole sandbox: clients, agents that program VPPs, and backends that fail. The VPPs are simulated, and in a
//! second test the real ones that `MAGLEV_VPP` names.

mod clients;
mod drain;
mod required_path;
mod restarts;
mod service_pods;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use futures::future::join_all;
use maglev_sandbox::assets::Assets;
use maglev_sandbox::packets::{self, Namespace};
use maglev_testkit::netns;
use nix::sys::signal::Signal;
use serde_json::Value;
use tokio::process::Command;
use tokio::time::Instant;

use self::clients::{Load, Row, Running, backend, tested, tester, until_only};
use self::required_path::required_path;
use self::restarts::{restart_agents, restart_api_server, restart_controller, restart_vpp};
use super::harness::{LIMIT, eventually, root, run};
use super::sandbox::Sandbox;

const PRIMARY: [&str; 4] = ["web-1", "web-2", "web-3", "web-4"];
const STANDBY: [&str; 2] = ["spare-1", "spare-2"];

/// A Frontend with session affinity.
const AFFINITY: &str = "
apiVersion: maglev.vpp.io/v1alpha1
kind: Frontend
metadata: {name: affinity}
spec:
  address: 203.0.113.20
  protocol: TCP
  port: 80
  sessionAffinity: ClientIP
  pools:
  - {name: primary, backends: [{name: web-1}, {name: web-2}, {name: web-3}, {name: web-4}]}
";

async fn set_admin_state(sandbox: &Sandbox, backend: &str, state: &str) {
    let patch = format!(r#"{{"spec": {{"adminState": "{state}"}}}}"#);
    sandbox.kubectl(&["patch", "mbe", backend, "--type=merge", "-p", &patch]).await;
}

/// Changes the behaviour of the backends together.
async fn set_modes(sandbox: &Sandbox, backends: &[&str], mode: &str) {
    join_all(backends.iter().map(|backend| sandbox.backend(backend, mode))).await;
}

/// The backends but one.
fn all_but<'a>(backends: &[&'a str], name: &str) -> Vec<&'a str> {
    backends.iter().copied().filter(|backend| *backend != name).collect()
}

/// The namespaces of the sandbox that exist.
fn namespaces(sandbox: &Sandbox) -> Vec<String> {
    let client = Namespace::client(&sandbox.dir.canonicalize().unwrap());
    netns::named(client.name().strip_suffix("client").unwrap())
}

/// The files of the sandbox in shared memory.
fn shared_memory(sandbox: &Sandbox) -> Vec<String> {
    let client = Namespace::client(&sandbox.dir.canonicalize().unwrap());
    let prefix = client.name().strip_suffix("client").unwrap();
    let names = fs::read_dir("/dev/shm").unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(prefix)).collect()
}

/// The steps of one test on one sandbox, whose durations are printed.
struct Steps {
    sandbox: Sandbox,
    /// The namespaces of real VPPs.
    nodes: &'static [&'static str],
    start: Instant,
}

impl Steps {
    fn done(&mut self, step: &str) {
        let line = format!("{:5.1} s  {step}\n", self.start.elapsed().as_secs_f64());
        std::io::stdout().write_all(line.as_bytes()).unwrap();
        self.start = Instant::now();
    }

    /// The number of the clients' TCP sockets in TIME_WAIT.
    async fn time_wait_sockets(&self) -> usize {
        let table = self.sandbox.tool("client", &["cat", "/proc/net/tcp"]).await.stdout;
        let table = String::from_utf8(table).unwrap();
        assert!(table.contains("local_address"), "{table}");
        // The fourth column is the state; 06 is TCP_TIME_WAIT.
        table.lines().skip(1).filter(|line| line.split_whitespace().nth(3) == Some("06")).count()
    }

    /// The shares of 5,000 new connections are those of the equal weights.
    async fn shares(&mut self) {
        let before = self.time_wait_sockets().await;
        let weights = PRIMARY.map(|name| format!("{name}=10")).join(",");
        let args = ["--count=5000", "--rate=500", "--timeout=10s", "--tolerance=5%", "--expect", &weights];
        let result = tested(&self.sandbox, &args).await;
        assert_eq!((&result["passed"], &result["succeeded"]), (&true.into(), &5000.into()), "{result}");
        let flows = result["backends"].as_array().unwrap().iter().map(|backend| backend["flows"].as_f64().unwrap());
        let chi_square: f64 = flows.map(|flows| (flows - 1250.0).powi(2) / 1250.0).sum();
        // Exceeded by chance once in 100,000 runs, with 3 degrees of freedom.
        assert!(chi_square < 25.9, "chi-square {chi_square}: {result}");
        let after = self.time_wait_sockets().await;
        assert!(after <= before, "{before} sockets in TIME_WAIT before, {after} after");
        self.done("shares");
    }

    /// The agents' path probes are answered by the backends.
    async fn path_probes(&mut self) {
        let reasons = r#"jsonpath={.items[*].status.conditions[?(@.type=="PathReady")].reason}"#;
        let works = async || {
            let reasons = self.sandbox.kubectl(&["get", "mfe", "-A", "-o", reasons]).await;
            (!reasons.is_empty() && reasons.split(' ').all(|reason| reason == "PathOK")).then_some(())
        };
        eventually("every path works", works).await;
        self.done("path probes");
    }

    /// Weights follow a path that the Frontend requires.
    async fn required_path(&mut self) {
        required_path(&self.sandbox).await;
        self.done("required path");
    }

    /// Each client has one backend, also over both nodes.
    async fn affinity(&mut self) {
        let sandbox = &self.sandbox;
        let manifest = sandbox.dir.join("affinity.yaml");
        fs::write(&manifest, AFFINITY).unwrap();
        sandbox.kubectl(&["apply", "-f", &manifest.display().to_string()]).await;
        sandbox.kubectl(&["wait", "--for=condition=Programmed", "mfe/affinity", "--timeout=60s"]).await;
        let route = sandbox.tool("client", &["ip", "route", "add", "local", "198.51.100.0/24", "dev", "lo"]).await;
        assert!(route.status.success());
        let names_for = async |client: u8| -> BTreeSet<String> {
            let interface = format!("198.51.100.{client}");
            let args = ["curl", "-sS", "--max-time", "5", "-H", "Connection: close", "--interface", &interface];
            let urls = ["http://203.0.113.20/"; 12];
            let output = sandbox.tool("client", &[&args[..], &urls].concat()).await;
            let text = String::from_utf8(output.stdout).unwrap();
            let names: Vec<_> = text.lines().filter_map(|line| line.split_whitespace().next()).collect();
            assert!(output.status.success() && names.len() == urls.len(), "{text}");
            names.into_iter().map(ToOwned::to_owned).collect()
        };
        let answers = async || {
            let args = ["curl", "-sS", "--max-time", "5", "http://203.0.113.20/"];
            sandbox.tool("client", &args).await.status.success().then_some(())
        };
        eventually("the Frontend with affinity answers", answers).await;
        let mut used = BTreeSet::new();
        for client in 10..22 {
            let names = names_for(client).await;
            assert_eq!(names.len(), 1, "198.51.100.{client} reaches {names:?}");
            used.extend(names);
        }
        assert!(used.len() > 1, "all clients reach {used:?}");
        self.done("affinity");
    }

    /// Restarts break no flow, and a pause breaks none either.
    async fn restarts_and_pause(&mut self) {
        let mut load = Load::start(&self.sandbox).await;
        // VPP goes on without its agent.
        restart_agents(&self.sandbox).await;
        load.assert_unbroken("a restart of the agents").await;
        self.done("restart of the agents");
        restart_controller(&self.sandbox).await;
        load.assert_unbroken("a restart of the controller").await;
        self.done("restart of the controller");
        restart_api_server(&self.sandbox).await;
        load.assert_unbroken("a restart of the API server").await;
        self.done("restart of the API server");
        // The flows go to the other node, and return to a VPP without a sticky table. Both have the same new-flow table.
        for node in ["node-a", "node-b"] {
            restart_vpp(&self.sandbox, node).await;
            load.assert_unbroken(&format!("a restart of the VPP of {node}")).await;
            self.done(&format!("restart of the VPP of {node}"));
        }
        set_admin_state(&self.sandbox, "web-2", "Paused").await;
        until_only(&self.sandbox, &all_but(&PRIMARY, "web-2")).await;
        load.assert_unbroken("the pause of web-2").await;
        let (summary, rows) = load.finish().await;
        let backends: Vec<_> = rows.iter().map(|row| row.backend.as_str()).collect();
        assert_eq!(backends, PRIMARY, "each primary backend has flows: {summary}");
        assert_eq!(rows.iter().map(|row| row.flows).sum::<u32>(), 60, "no flow was opened again: {summary}");
        set_admin_state(&self.sandbox, "web-2", "Enabled").await;
        self.done("pause");
    }

    /// A failed backend loses its flows, which it would still answer, and no other does.
    async fn failed_backend(&mut self) {
        // New connections reach all backends again.
        let all_used = async || {
            let result = tested(&self.sandbox, &["--count=60", "--rate=200", "--timeout=5s"]).await;
            (result["backends"].as_array().unwrap().len() == PRIMARY.len()).then_some(())
        };
        eventually("web-2 gets new connections", all_used).await;
        let mut load = Load::start(&self.sandbox).await;
        self.sandbox.backend("web-1", "fail").await;
        until_only(&self.sandbox, &all_but(&PRIMARY, "web-1")).await;
        load.progress().await;
        let (summary, rows) = load.finish().await;
        for Row { backend, flows, broken } in &rows {
            assert_eq!(*broken, if backend == "web-1" { *flows } else { 0 }, "{summary}");
        }
        assert!(rows.iter().any(|row| row.backend == "web-1" && row.flows > 3), "{summary}");
        self.done("failed backend");
    }

    /// The standby pool takes over, and gives the traffic back.
    async fn failover(&mut self) {
        set_modes(&self.sandbox, &PRIMARY, "fail").await;
        until_only(&self.sandbox, &STANDBY).await;
        set_modes(&self.sandbox, &PRIMARY, "ok").await;
        until_only(&self.sandbox, &PRIMARY).await;
        self.done("failover");
    }

    /// The tester finds a VIP that answers nothing more, and its recovery.
    async fn failed_vip(&mut self) {
        let args = ["--rate=20", "--timeout=1s", "--report-every=200ms"];
        let mut tester = Running::start(tester(&self.sandbox, &args));
        let mut until = async |condition: fn(&Value) -> bool| loop {
            let line = serde_json::from_str(&tester.line().await.expect("the tester is running")).unwrap();
            if condition(&line) {
                return line;
            }
        };
        until(|line| line["succeeded"].as_u64().is_some_and(|count| count > 3)).await;
        let all = [&PRIMARY[..], &STANDBY].concat();
        set_modes(&self.sandbox, &all, "hang").await;
        let found = until(|line| line["change"] == "failed").await["after_ms"].as_f64().unwrap();
        set_modes(&self.sandbox, &all, "ok").await;
        until(|line| line["change"] == "recovered").await;
        self.done(&format!("failed VIP, found after {found} ms"));
    }

    /// A killed sandbox leaves namespaces, which the next one in its directory removes, and nothing else.
    async fn kill(mut self, host: &str) {
        self.sandbox.signal(Signal::SIGKILL);
        self.sandbox.ended().await;
        let mut expected = [&PRIMARY[..], &STANDBY, &["client"], self.nodes].concat();
        expected.sort_unstable();
        assert_eq!(namespaces(&self.sandbox), expected, "a killed sandbox leaves its namespaces");
        let mut next = Command::new(maglev_testkit::binary("maglev-sandbox"));
        let log = fs::File::create(self.sandbox.dir.with_extension("next.log")).unwrap();
        next.args(["up", "--packets", "off", "--dir"]).arg(&self.sandbox.dir).stdout(Stdio::null()).stderr(log);
        let next = next.kill_on_drop(true).spawn().unwrap();
        let removed = async || namespaces(&self.sandbox).is_empty().then_some(());
        tokio::time::timeout(2 * LIMIT, eventually("the next sandbox removes them", removed)).await.unwrap();
        assert_eq!(shared_memory(&self.sandbox), Vec::<String>::new());
        assert_eq!(netns::state(), host, "links, addresses and routes of the host are as before the sandbox");
        drop(next);
        tokio::time::timeout(Duration::from_secs(60), self.sandbox.until_no_process_is_left()).await.unwrap();
        self.done("killed sandbox");
    }
}

#[tokio::test]
async fn flows_survive_restarts_and_leave_failed_backends() {
    flows_survive("packets", &["--packets", "on"], &[]).await;
}

#[tokio::test]
async fn flows_survive_restarts_and_leave_failed_backends_on_a_real_vpp() {
    match std::env::var("MAGLEV_VPP") {
        Ok(vpp) => flows_survive("vpp", &["--packets", "on", "--vpp-binary", &vpp], &["node-a", "node-b"]).await,
        Err(_) => print("the sandbox with a real VPP is NOT RUN: set MAGLEV_VPP to the path of a vpp\n"),
    }
}

fn print(line: &str) {
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

async fn flows_survive(name: &str, args: &[&str], nodes: &'static [&'static str]) {
    if let Some(reason) = packets::missing() {
        return print(&format!("flows_survive_restarts_and_leave_failed_backends is NOT RUN: {reason}\n"));
    }
    let host = netns::state();
    let start = Instant::now();
    let mut steps = Steps { sandbox: Sandbox::up(name, args).await, nodes, start };
    let output = steps.sandbox.output();
    assert!(output.contains("client curl http://203.0.113.10/"), "{output}");
    let first = eventually("a backend answers", async || backend(&steps.sandbox).await).await;
    assert!(PRIMARY.contains(&first.as_str()), "{first}");
    steps.done("start");
    steps.path_probes().await;
    steps.required_path().await;
    steps.shares().await;
    steps.affinity().await;
    steps.restarts_and_pause().await;
    steps.failed_backend().await;
    steps.failover().await;
    steps.failed_vip().await;
    steps.kill(&host).await;
}

#[tokio::test]
async fn backend_is_drained_when_its_last_flow_ends_or_is_flushed() {
    if let Some(reason) = packets::missing() {
        return print(&format!("backend_is_drained_when_its_last_flow_ends is NOT RUN: {reason}\n"));
    }
    let mut sandbox = Sandbox::up("drain", &["--packets", "on"]).await;
    eventually("a backend answers", async || backend(&sandbox).await).await;
    drain::drains(&sandbox).await;
    sandbox.signal(Signal::SIGINT);
    assert!(sandbox.ended().await.success());
    sandbox.until_no_process_is_left().await;
}

#[tokio::test]
async fn pods_of_a_service_take_flows_and_keep_them_without_a_controller() {
    if let Some(reason) = packets::missing() {
        return print(&format!("pods_of_a_service_take_flows is NOT RUN: {reason}\n"));
    }
    let mut sandbox = Sandbox::up_with_service("service", &["--packets", "on"]).await;
    service_pods::follow_pods(&sandbox).await;
    sandbox.signal(Signal::SIGINT);
    assert!(sandbox.ended().await.success());
    sandbox.until_no_process_is_left().await;
    assert_eq!(namespaces(&sandbox), Vec::<String>::new());
}

#[tokio::test]
async fn required_packets_without_the_privileges_are_refused_with_the_reason() {
    Assets::from_checkout(&root()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let sandbox = maglev_testkit::binary("maglev-sandbox");
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-net_admin", "--inh-caps=-net_admin"]).arg(sandbox);
    let output = run(command.args(["up", "--packets", "on", "--dir"]).arg(dir.path()), "").await;
    let stderr = String::from_utf8_lossy(&output.stderr);
    let expected = "Error: cannot forward packets: this user lacks CAP_NET_ADMIN (run it as root)\n";
    assert!(!output.status.success() && stderr == expected, "{stderr}");
}
