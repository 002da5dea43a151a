//! The whole sandbox as `make demo` starts it: a first session with kubectl, restarts of the agent and the node, and
//! the end of all processes after Ctrl-C or SIGKILL.
//!
//! Nodes and backends have fixed loopback addresses, so only one sandbox can run on a machine at a time.

mod restart;

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
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::harness::{LIMIT, eventually, root, run, scratch};

/// Maximum time for a sandbox to become ready on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(240);

/// A running sandbox. It is killed when dropped.
pub struct Sandbox {
    pub dir: PathBuf,
    child: Child,
    _lock: MachineLock,
}

impl Sandbox {
    /// Starts a sandbox without a Service of type LoadBalancer, and with simulated counters instead of packets, unless `more`
    /// contains `--packets`.
    pub async fn up(name: &str, more: &[&str]) -> Self {
        Self::up_with_service(name, &[more, &["--no-service"]].concat()).await
    }

    /// The same with the demo's Service.
    pub async fn up_with_service(name: &str, more: &[&str]) -> Self {
        // Builds the assets before the start limit begins.
        Assets::from_checkout(&root()).await.unwrap();
        let lock = lock_machine().await;
        let dir = scratch(name).join("sandbox");
        fs::create_dir_all(&dir).unwrap();
        let log = File::create(dir.with_extension("log")).unwrap();
        let mut command = Command::new(maglev_testkit::binary("maglev-sandbox"));
        let packets: &[&str] = if more.contains(&"--packets") { &[] } else { &["--packets", "off"] };
        command.args(["up", "--dir"]).arg(&dir).args(packets).args(more);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).kill_on_drop(true);
        let child = command.spawn().unwrap();
        let mut sandbox = Self { dir, child, _lock: lock };
        sandbox.until_ready().await;
        sandbox
    }

    async fn until_ready(&mut self) {
        let deadline = Instant::now() + START_LIMIT;
        while !self.dir.join("ready").exists() {
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "the sandbox is not ready (exit status: {ended:?}):\n{}",
                self.output()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The sandbox's output, which includes the last lines of the agents' logs.
    pub fn output(&self) -> String {
        fs::read_to_string(self.dir.with_extension("log")).unwrap_or_default()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id().unwrap()).unwrap());
        kill(pid, signal).unwrap();
    }

    pub async fn ended(&mut self) -> std::process::ExitStatus {
        tokio::time::timeout(2 * LIMIT, self.child.wait()).await.expect("the sandbox ends in time").unwrap()
    }

    /// A command of the sandbox's tools.
    pub fn command(&self, tool: &str, args: &[&str]) -> Command {
        let mut command = Command::new(self.dir.join("bin").join(tool));
        command.args(args).env("KUBECONFIG", self.dir.join("kubeconfig")).env("HOME", &self.dir).current_dir(root());
        command.kill_on_drop(true);
        command
    }

    pub async fn tool(&self, tool: &str, args: &[&str]) -> Output {
        run(&mut self.command(tool, args), "").await
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

    /// Names of the agents' pods, one per node.
    pub async fn agents(&self) -> Vec<String> {
        let names = self.kubectl(&["get", "pods", "-l", "app.kubernetes.io/component=maglevd", "-o", "name"]).await;
        names.lines().map(ToOwned::to_owned).collect()
    }

    /// Waits until each agent has logged exactly one line that contains all of `words`.
    async fn each_agent_logs_once(&self, words: &[&str]) {
        for agent in self.agents().await {
            let logged = async || {
                let log = self.kubectl(&["logs", &agent]).await;
                let lines = log.lines().filter(|line| words.iter().all(|word| line.contains(word))).count();
                assert!(lines <= 1, "{agent} logged {words:?} {lines} times:\n{log}");
                (lines == 1).then_some(())
            };
            eventually(&format!("{agent} logs {words:?}"), logged).await;
        }
    }

    /// The process of the sandbox whose command line contains `text`.
    pub fn process(&self, text: &str) -> Option<Pid> {
        let dir = self.dir.display().to_string();
        processes(&dir).find(|(_, line)| line.contains(text)).map(|(id, _)| id)
    }

    /// Waits until no process has the sandbox's directory in its arguments or environment.
    pub async fn until_no_process_is_left(&self) {
        let dir = self.dir.display().to_string();
        let all_ended = async || processes_with(&dir).is_empty().then_some(());
        let waited = tokio::time::timeout(LIMIT / 2, eventually("no process is left", all_ended)).await;
        assert!(waited.is_ok(), "processes left: {:#?}", processes_with(&dir));
    }
}

/// The machine for one sandbox. The file is for other processes; it does not serve those that wait in turn, so the tests of
/// this process queue for the mutex.
struct MachineLock {
    _file: Flock<File>,
    _turn: MutexGuard<'static, ()>,
}

static TURN: Mutex<()> = Mutex::const_new(());

/// Waits until no other sandbox runs on this machine, be it of a test or started by hand, and locks the machine.
async fn lock_machine() -> MachineLock {
    let turn = TURN.lock().await;
    let path = std::env::temp_dir().join("maglev-sandbox-test.lock");
    let deadline = Instant::now() + Duration::from_secs(600);
    loop {
        let file = File::options().create(true).append(true).open(&path).unwrap();
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).ok();
        let free = TcpListener::bind((Ipv4Addr::new(127, 0, 2, 1), PORT)).await.is_ok();
        match lock {
            Some(file) if free => return MachineLock { _file: file, _turn: turn },
            other => drop(other),
        }
        assert!(Instant::now() < deadline, "another sandbox runs on this machine: stop it and run the test again");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Command lines of the processes that have `text` in their arguments or environment. A zombie has neither.
fn processes_with(text: &str) -> Vec<String> {
    processes(text).map(|(_, line)| line).collect()
}

/// Ids and command lines of the processes that have `text` in their arguments or environment.
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
    let matching = all.filter(move |(_, line, environment)| line.contains(text) || environment.contains(text));
    matching.map(|(id, line, _)| (id, line))
}

fn weight(backend: usize, value: u8) -> String {
    format!(r#"[{{"op":"add","path":"/spec/pools/0/backends/{backend}/weight","value":{value}}}]"#)
}

#[tokio::test]
async fn demo_serves_reports_status_and_follows_changes() {
    let mut sandbox = Sandbox::up_with_service("demo", &["--packets", "auto"]).await;
    for command in ["kubectl logs -f ds/maglevd", "maglevc show frontend shop-80-tcp"] {
        assert!(sandbox.output().contains(command), "{}", sandbox.output());
    }
    assert_eq!(sandbox.agents().await.len(), 2);

    let listed = sandbox.kubectl(&["get", "mfe,mbe,mhc", "-A"]).await;
    assert!(listed.contains("203.0.113.10") && listed.contains("127.0.2.6"), "{listed}");
    assert!(sandbox.kubectl(&["explain", "frontend.spec"]).await.contains("pools"));
    let log = sandbox.kubectl(&["logs", "ds/maglevd"]).await;
    assert!(log.contains("vpp-connect"), "{log}");

    sandbox.each_agent_logs_once(&["vpp-lb-sync-vip-added", "vip=203.0.113.10 protocol=tcp port=80"]).await;
    for backend in ["default/web-1", "default/web-4", "default/spare-2"] {
        sandbox.each_agent_logs_once(&["vpp-lb-sync-as-added", &format!("backend={backend} ")]).await;
    }

    // The agents' reports become status, and kubectl can wait for conditions.
    for object in ["mfe/web", "mbe/web-1"] {
        sandbox.kubectl(&["wait", "--for=condition=Ready", object, "--timeout=60s"]).await;
    }
    eventually("the status of every object is listed", async || {
        let listed = sandbox.kubectl(&["get", "maglev", "-A"]).await;
        ["2/2", "node-a", "node-b", "26.10", "Up"].iter().all(|word| listed.contains(word)).then_some(())
    })
    .await;
    assert!(sandbox.kubectl(&["explain", "frontend.status.conditions"]).await.contains("observedGeneration"));
    assert!(sandbox.kubectl(&["describe", "mfe/web"]).await.contains("Programmed"));

    super::third_party::promtool_and_python_accept(&sandbox).await;

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
    sandbox.until_no_process_is_left().await;
}

#[tokio::test]
async fn service_without_packets_has_endpoints_written_by_hand() {
    let mut sandbox = Sandbox::up_with_service("endpoints", &["--nodes", "1"]).await;
    let vip = VppVip { address: [203, 0, 113, 90].into(), length: 32, protocol: 6, port: 80 };
    let until_weights = async |expected: [u8; 2]| {
        let expected: BTreeMap<IpAddr, u8> =
            [81, 82].map(|last| [192, 0, 2, last].into()).into_iter().zip(expected).collect();
        eventually(&format!("VPP has the weights {expected:?}"), async || {
            let vips = vpp_state(&sandbox, "node-a").await;
            let weights: BTreeMap<_, _> =
                vips.get(&vip)?.ases.iter().map(|(address, server)| (*address, server.weight)).collect();
            (weights == expected).then_some(())
        })
        .await;
    };
    until_weights([10, 10]).await;
    // The command that the demo prints.
    let output = sandbox.output();
    let patch = output.lines().find_map(|line| line.trim().strip_prefix('\'')?.strip_suffix('\''));
    let patch = patch.unwrap_or_else(|| panic!("no patch is printed: {output}"));
    sandbox.kubectl(&["patch", "endpointslice", "shop-1", "--type=json", "-p", patch]).await;
    until_weights([0, 10]).await;
    sandbox.signal(Signal::SIGINT);
    assert!(sandbox.ended().await.success());
    sandbox.until_no_process_is_left().await;
}

#[tokio::test]
async fn killed_sandbox_leaves_no_process() {
    let mut sandbox = Sandbox::up("killed", &["--nodes", "1"]).await;
    let running = processes_with(&sandbox.dir.display().to_string());
    for part in
        ["/etcd ", "/kube-apiserver ", "/kube-scheduler ", "maglev-sandbox vpp ", "/maglevd ", "/maglev-frontend "]
    {
        assert!(running.iter().any(|line| line.contains(part)), "{part} in {running:#?}");
    }
    sandbox.signal(Signal::SIGKILL);
    sandbox.ended().await;
    sandbox.until_no_process_is_left().await;
}

#[tokio::test]
async fn invalid_arguments_of_up_are_refused_with_their_reason() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().display().to_string();
    for (args, expected) in [
        (&["--vpp", "node-z=/run/vpp"][..], "--vpp: unknown node \"node-z\"; the nodes are node-a, node-b"),
        (&["--vpp", "node-a=/nowhere"], "/nowhere/api.sock does not exist"),
        (&["--nodes", "0"], "0 is not in 1..=16"),
        (&["--binaries", Path::new("/usr").to_str().unwrap()], "maglevd not found in /usr"),
    ] {
        let mut command = Command::new(maglev_testkit::binary("maglev-sandbox"));
        let output = run(command.args(["up", "--dir", &dir]).args(args), "").await;
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && stderr.contains(expected), "{args:?}: {stderr}");
    }
}

/// The VIPs of a node's VPP without their pool indexes, which VPP assigns anew.
pub async fn vpp_state(sandbox: &Sandbox, node: &str) -> BTreeMap<VppVip, ActualVip> {
    let socket = sandbox.dir.join("nodes").join(node).join("run/vpp/api.sock");
    let lb = Lb::connect(&socket, SessionOptions::new("test", Events::discard())).await.unwrap();
    let mut vips = lb.read().await.unwrap().vips;
    for vip in vips.values_mut() {
        vip.pool_index = None;
    }
    vips
}
