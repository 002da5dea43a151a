//! The whole sandbox as `make demo` starts it: a person's first minutes with kubectl, and that nothing of it is left
//! after Ctrl-C or a SIGKILL.
//!
//! Nodes and backends have fixed loopback addresses, so one sandbox at a time runs on a machine.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use maglev_model::actual::{ActualVip, VppVip};
use maglev_model::event::Events;
use maglev_sandbox::assets::{Assets, Tool};
use maglev_sandbox::demo_backend::PORT;
use maglev_vpp::lb::Lb;
use maglev_vpp::session::SessionOptions;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::harness::{LIMIT, eventually, root, run, scratch};

/// How long a sandbox may take to come up on a busy machine.
const UP_WITHIN: Duration = Duration::from_secs(240);

/// A running sandbox; it ends when dropped.
pub struct Sandbox {
    pub dir: PathBuf,
    child: Child,
    _alone: Flock<File>,
}

impl Sandbox {
    pub async fn up(name: &str, more: &[&str]) -> Self {
        // Built before anything is timed.
        Assets::from_checkout(&root()).await.unwrap();
        let alone = alone().await;
        let dir = scratch(name).join("sandbox");
        fs::create_dir_all(&dir).unwrap();
        let log = File::create(dir.with_extension("log")).unwrap();
        let mut command = Command::new(maglev_testkit::binary("maglev-sandbox"));
        command.args(["up", "--dir"]).arg(&dir).args(more);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).kill_on_drop(true);
        let child = command.spawn().unwrap();
        let mut sandbox = Self { dir, child, _alone: alone };
        sandbox.ready().await;
        sandbox
    }

    async fn ready(&mut self) {
        let deadline = Instant::now() + UP_WITHIN;
        while !self.dir.join("ready").exists() {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "not up ({ended:?}):\n{}", self.output());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// What it printed, and the ends of the agents' logs.
    pub fn output(&self) -> String {
        fs::read_to_string(self.dir.with_extension("log")).unwrap_or_default()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id().unwrap()).unwrap());
        kill(pid, signal).unwrap();
    }

    pub async fn ended(&mut self) -> std::process::ExitStatus {
        tokio::time::timeout(2 * LIMIT, self.child.wait()).await.expect("it ends").unwrap()
    }

    pub async fn tool(&self, tool: &str, args: &[&str]) -> Output {
        let mut command = Command::new(self.dir.join("bin").join(tool));
        command.args(args).env("KUBECONFIG", self.dir.join("kubeconfig")).env("HOME", &self.dir).current_dir(root());
        run(command.kill_on_drop(true), "").await
    }

    pub async fn kubectl(&self, args: &[&str]) -> String {
        let output = self.tool(Tool::Kubectl.file_name(), args).await;
        assert!(output.status.success(), "kubectl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub async fn backend(&self, name: &str, mode: &str) {
        let dir = self.dir.display().to_string();
        let output = self.tool("maglev-sandbox", &["backend", name, mode, "--dir", &dir]).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// The agents' pods, one per node.
    pub async fn agents(&self) -> Vec<String> {
        let names = self.kubectl(&["get", "pods", "-l", "app.kubernetes.io/component=maglevd", "-o", "name"]).await;
        names.lines().map(ToOwned::to_owned).collect()
    }

    /// Waits until each agent has logged exactly one line with all of `words`.
    async fn each_agent_logs_once(&self, words: &[&str]) {
        for agent in self.agents().await {
            let found = async || {
                let log = self.kubectl(&["logs", &agent]).await;
                let lines = log.lines().filter(|line| words.iter().all(|word| line.contains(word))).count();
                assert!(lines <= 1, "{agent} logged {words:?} {lines} times:\n{log}");
                (lines == 1).then_some(())
            };
            eventually(&format!("{agent} logs {words:?}"), found).await;
        }
    }

    /// Waits until no process is left that was told of this directory.
    async fn leaves_nothing(&self) {
        let dir = self.dir.display().to_string();
        let gone = async || processes_with(&dir).is_empty().then_some(());
        let left = tokio::time::timeout(LIMIT / 2, eventually("nothing is left", gone)).await;
        assert!(left.is_ok(), "left: {:#?}", processes_with(&dir));
    }
}

/// Only one sandbox at a time on this machine: neither another test's nor one that a person runs by hand.
async fn alone() -> Flock<File> {
    let path = std::env::temp_dir().join("maglev-sandbox-test.lock");
    let deadline = Instant::now() + Duration::from_secs(600);
    loop {
        let file = File::options().create(true).append(true).open(&path).unwrap();
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).ok();
        let free = TcpListener::bind((Ipv4Addr::new(127, 0, 2, 1), PORT)).await.is_ok();
        match lock {
            Some(lock) if free => return lock,
            held => drop(held),
        }
        assert!(Instant::now() < deadline, "another sandbox runs on this machine: stop it, then test");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Command lines of the processes that have `text` in their arguments or their environment. A process that is dead but
/// not yet reaped has neither.
fn processes_with(text: &str) -> Vec<String> {
    processes(text).map(|(_, line)| line).collect()
}

/// The same with their ids.
fn processes(text: &str) -> impl Iterator<Item = (Pid, String)> {
    let own = Pid::this();
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Pid::from_raw));
    let read = |id: Pid, file: &str| {
        let bytes = fs::read(format!("/proc/{id}/{file}")).ok()?;
        Some(String::from_utf8_lossy(&bytes).replace('\0', " "))
    };
    let all =
        ids.filter(move |id| *id != own).filter_map(move |id| Some((id, read(id, "cmdline")?, read(id, "environ")?)));
    let of_text = all.filter(move |(_, line, environment)| line.contains(text) || environment.contains(text));
    of_text.map(|(id, line, _)| (id, line))
}

fn weight(backend: usize, value: u8) -> String {
    format!(r#"[{{"op":"add","path":"/spec/pools/0/backends/{backend}/weight","value":{value}}}]"#)
}

#[tokio::test]
async fn a_persons_first_minutes() {
    let mut sandbox = Sandbox::up("demo", &[]).await;
    assert!(sandbox.output().contains("kubectl logs -f ds/maglevd"), "{}", sandbox.output());
    assert_eq!(sandbox.agents().await.len(), 2);

    let listed = sandbox.kubectl(&["get", "mfe,mbe,mhc", "-A"]).await;
    assert!(listed.contains("203.0.113.10") && listed.contains("127.0.2.6"), "{listed}");
    assert!(sandbox.kubectl(&["explain", "frontend.spec"]).await.contains("pools"));
    let one = sandbox.kubectl(&["logs", "ds/maglevd"]).await;
    assert!(one.contains("vpp-connect"), "{one}");

    sandbox.each_agent_logs_once(&["vpp-lb-sync-vip-added", "vip=203.0.113.10 protocol=tcp port=80"]).await;
    for backend in ["default/web-1", "default/web-4", "default/spare-2"] {
        sandbox.each_agent_logs_once(&["vpp-lb-sync-as-added", &format!("backend={backend} ")]).await;
    }

    // What the agents report becomes status, and kubectl can wait for it.
    for of in ["mfe/web", "mbe/web-1"] {
        sandbox.kubectl(&["wait", "--for=condition=Ready", of, "--timeout=60s"]).await;
    }
    let listed = sandbox.kubectl(&["get", "maglev", "-A"]).await;
    for word in ["2/2", "node-a", "node-b", "26.10", "Up"] {
        assert!(listed.contains(word), "{word} in {listed}");
    }
    assert!(sandbox.kubectl(&["explain", "frontend.status.conditions"]).await.contains("observedGeneration"));
    assert!(sandbox.kubectl(&["describe", "mfe/web"]).await.contains("Programmed"));

    super::strangers::judge(&sandbox).await;

    sandbox.kubectl(&["patch", "mfe", "web", "--type=json", "-p", &weight(1, 50)]).await;
    sandbox.kubectl(&["wait", "--for=condition=Programmed", "mfe/web", "--timeout=60s"]).await;
    sandbox.each_agent_logs_once(&["vpp-lb-sync-as-weight-updated", "backend=default/web-2 ", "to=50"]).await;

    sandbox.backend("web-3", "fail").await;
    sandbox.each_agent_logs_once(&["backend-transition", "default/web-3", "to=down"]).await;
    sandbox
        .each_agent_logs_once(&["vpp-lb-sync-as-weight-updated", "default/web-3 ", "from=10 to=0", "flush=true"])
        .await;
    sandbox.backend("web-3", "ok").await;
    sandbox.each_agent_logs_once(&["vpp-lb-sync-as-weight-updated", "default/web-3 ", "from=0 to=10"]).await;

    let remove = r#"[{"op":"remove","path":"/spec/pools/1/backends/1"}]"#;
    sandbox.kubectl(&["patch", "mfe", "web", "--type=json", "-p", remove]).await;
    sandbox.each_agent_logs_once(&["vpp-lb-sync-as-removed", "default/spare-2 "]).await;
    sandbox.kubectl(&["delete", "mfe", "web"]).await;
    sandbox.each_agent_logs_once(&["vpp-lb-sync-vip-removed", "vip=203.0.113.10 "]).await;

    sandbox.signal(Signal::SIGINT);
    let ended = sandbox.ended().await;
    assert!(ended.success(), "{ended}:\n{}", sandbox.output());
    assert!(!sandbox.dir.join("ready").exists());
    sandbox.leaves_nothing().await;
}

#[tokio::test]
async fn a_killed_sandbox_leaves_nothing_running() {
    let mut sandbox = Sandbox::up("killed", &["--nodes", "1"]).await;
    let running = processes_with(&sandbox.dir.display().to_string());
    for part in
        ["/etcd ", "/kube-apiserver ", "/kube-scheduler ", "maglev-sandbox vpp ", "/maglevd ", "/maglev-frontend "]
    {
        assert!(running.iter().any(|line| line.contains(part)), "{part} in {running:#?}");
    }
    sandbox.signal(Signal::SIGKILL);
    sandbox.ended().await;
    sandbox.leaves_nothing().await;
}

#[tokio::test]
async fn a_sandbox_that_cannot_be_is_refused_in_one_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().display().to_string();
    for (args, wanted) in [
        (&["--vpp", "node-z=/run/vpp"][..], "--vpp: unknown node \"node-z\"; the nodes are node-a, node-b"),
        (&["--vpp", "node-a=/nowhere"], "/nowhere/api.sock does not exist"),
        (&["--nodes", "0"], "0 is not in 1..=16"),
        (&["--binaries", Path::new("/usr").to_str().unwrap()], "maglevd not found in /usr"),
    ] {
        let mut command = Command::new(maglev_testkit::binary("maglev-sandbox"));
        let output = run(command.args(["up", "--dir", &dir]).args(args), "").await;
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && stderr.contains(wanted), "{args:?}: {stderr}");
    }
}

/// A backend in every state, a standby pool, and a Frontend that will be held.
const EVERY_STATE: &str = "
apiVersion: maglev.vpp.io/v1alpha1
kind: Backend
metadata: {name: six}
spec: {address: '2001:db8::6'}
---
apiVersion: maglev.vpp.io/v1alpha1
kind: Backend
metadata: {name: unprobed}
spec: {address: 127.0.2.66}
---
apiVersion: maglev.vpp.io/v1alpha1
kind: Frontend
metadata: {name: held}
spec:
  address: 203.0.113.77
  pools: [{name: primary, backends: [{name: web-1}]}]
---
apiVersion: maglev.vpp.io/v1alpha1
kind: Frontend
metadata: {name: states}
spec:
  address: 203.0.113.78
  protocol: TCP
  port: 443
  sessionAffinity: ClientIP
  pools:
  - {name: primary, backends: [{name: web-1}, {name: web-2}, {name: web-3}, {name: web-4}, {name: unprobed}]}
  - {name: standby, backends: [{name: spare-1}]}
";

/// What the node's VPP has; pool indexes are VPP's own business.
async fn vpp_state(sandbox: &Sandbox) -> BTreeMap<VppVip, ActualVip> {
    let socket = sandbox.dir.join("nodes/node-a/run/vpp/api.sock");
    let lb = Lb::connect(&socket, SessionOptions::new("test", Events::discard())).await.unwrap();
    let mut vips = lb.read().await.unwrap().vips;
    for vip in vips.values_mut() {
        vip.pool_index = None;
    }
    vips
}

#[tokio::test]
async fn a_restarted_agent_changes_nothing_and_a_restarted_node_comes_back_as_it_was() {
    let sandbox = Sandbox::up("restart", &["--nodes", "1"]).await;
    fs::write(sandbox.dir.join("states.yaml"), EVERY_STATE).unwrap();
    let manifest = sandbox.dir.join("states.yaml").display().to_string();
    sandbox.kubectl(&["apply", "-f", &manifest]).await;
    sandbox.backend("web-2", "fail").await;
    for (backend, state) in [("web-3", "Disabled"), ("web-4", "Paused")] {
        let patch = format!(r#"{{"spec": {{"adminState": "{state}"}}}}"#);
        sandbox.kubectl(&["patch", "mbe", backend, "--type=merge", "-p", &patch]).await;
    }
    let states = VppVip { address: [203, 0, 113, 78].into(), length: 32, protocol: 6, port: 443 };
    let wanted =
        [("127.0.2.1", 10), ("127.0.2.2", 0), ("127.0.2.3", 0), ("127.0.2.4", 0), ("127.0.2.5", 0), ("127.0.2.66", 10)];
    let wanted: BTreeMap<IpAddr, u8> = wanted.map(|(address, weight)| (address.parse().unwrap(), weight)).into();
    eventually("every backend has its weight", async || {
        let vips = vpp_state(&sandbox).await;
        let weights: BTreeMap<_, _> =
            vips.get(&states)?.ases.iter().map(|(address, of)| (*address, of.weight)).collect();
        (weights == wanted).then_some(())
    })
    .await;
    let mix = r#"[{"op": "add", "path": "/spec/pools/0/backends/-", "value": {"name": "six"}}]"#;
    sandbox.kubectl(&["patch", "mfe", "held", "--type=json", "-p", mix]).await;
    sandbox.each_agent_logs_once(&["frontend-programmed", "default/held", "result=Held"]).await;
    let before = vpp_state(&sandbox).await;
    assert_eq!(before.len(), 3, "web, held and states");

    restart_agent(&sandbox).await;
    sandbox.each_agent_logs_once(&["frontend-programmed", "default/held", "result=Held"]).await;
    sandbox.each_agent_logs_once(&["frontend-programmed", "default/states", "result=Programmed"]).await;
    let log = sandbox.kubectl(&["logs", &sandbox.agents().await[0]]).await;
    for change in ["vpp-lb-sync-vip-", "vpp-lb-sync-as-", "vpp-lb-conf-set"] {
        assert!(!log.contains(change), "{change} after a restart:\n{log}");
    }
    assert_eq!(vpp_state(&sandbox).await, before);

    // VPP and agent together: a held Frontend has nothing to hold on to then.
    let vpp = processes("maglev-sandbox vpp ").find(|(_, line)| line.contains(&*sandbox.dir.display().to_string()));
    kill(vpp.expect("VPP runs").0, Signal::SIGKILL).unwrap();
    restart_agent(&sandbox).await;
    let served: BTreeMap<_, _> = before.into_iter().filter(|(vip, _)| vip.port != 0).collect();
    eventually("VPP is as it was", async || (vpp_state(&sandbox).await == served).then_some(())).await;
    sandbox.signal(Signal::SIGTERM);
}

/// Deletes the one agent's pod and waits until its successor is ready.
async fn restart_agent(sandbox: &Sandbox) {
    let old = sandbox.agents().await;
    sandbox.kubectl(&["delete", &old[0], "--timeout=60s"]).await;
    eventually("another pod takes over", async || {
        let new = sandbox.agents().await;
        (new.len() == 1 && new != old).then_some(())
    })
    .await;
    let agent = sandbox.agents().await.remove(0);
    sandbox.kubectl(&["wait", "--for=condition=Ready", &agent, "--timeout=60s"]).await;
}
