//! The whole sandbox as `make demo` starts it: a person's first minutes with kubectl, and that nothing of it is left
//! after Ctrl-C or a SIGKILL.
//!
//! Nodes and backends have fixed loopback addresses, so one sandbox at a time runs on a machine.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use maglev::sandbox::assets::{Assets, Tool};
use maglev::sandbox::demo_backend::PORT;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::harness::{LIMIT, eventually, root, run, scratch};

/// How long a sandbox may take to come up on a busy machine.
const UP_WITHIN: Duration = Duration::from_secs(240);

struct Sandbox {
    dir: PathBuf,
    child: Child,
    _alone: Flock<File>,
}

impl Sandbox {
    async fn up(name: &str, more: &[&str]) -> Self {
        // Built before anything is timed.
        Assets::of_checkout(&root()).await.unwrap();
        let alone = alone().await;
        let dir = scratch(name).join("sandbox");
        fs::create_dir_all(&dir).unwrap();
        let log = File::create(dir.with_extension("log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_maglev-sandbox"));
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
    fn output(&self) -> String {
        fs::read_to_string(self.dir.with_extension("log")).unwrap_or_default()
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id().unwrap()).unwrap());
        kill(pid, signal).unwrap();
    }

    async fn ended(&mut self) -> std::process::ExitStatus {
        tokio::time::timeout(2 * LIMIT, self.child.wait()).await.expect("it ends").unwrap()
    }

    async fn tool(&self, tool: &str, args: &[&str]) -> Output {
        let mut command = Command::new(self.dir.join("bin").join(tool));
        command.args(args).env("KUBECONFIG", self.dir.join("kubeconfig")).env("HOME", &self.dir).current_dir(root());
        run(command.kill_on_drop(true), "").await
    }

    async fn kubectl(&self, args: &[&str]) -> String {
        let output = self.tool(Tool::Kubectl.file_name(), args).await;
        assert!(output.status.success(), "kubectl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    async fn backend(&self, name: &str, mode: &str) {
        let dir = self.dir.display().to_string();
        let output = self.tool("maglev-sandbox", &["backend", name, mode, "--dir", &dir]).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// The agents' pods, one per node.
    async fn agents(&self) -> Vec<String> {
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

/// Command lines that contain `text`. A process that is dead but not yet reaped has none.
fn processes_with(text: &str) -> Vec<String> {
    let own = std::process::id().to_string();
    let processes = fs::read_dir("/proc").unwrap().flatten().filter(|entry| entry.file_name() != *own);
    let lines = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ")).filter(|line| line.contains(text)).collect()
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

    sandbox.kubectl(&["patch", "mfe", "web", "--type=json", "-p", &weight(1, 50)]).await;
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
    for part in ["/etcd ", "/kube-apiserver ", "/kube-scheduler ", "maglev-sandbox vpp ", "/maglevd "] {
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
        (&["--vpp", "node-z=/run/vpp"][..], "--vpp names node \"node-z\": there is node-a, node-b"),
        (&["--vpp", "node-a=/nowhere"], "there is no /nowhere/api.sock"),
        (&["--nodes", "0"], "0 is not in 1..=16"),
        (&["--binaries", Path::new("/usr").to_str().unwrap()], "no maglevd in /usr"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_maglev-sandbox"));
        let output = run(command.args(["up", "--dir", &dir]).args(args), "").await;
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && stderr.contains(wanted), "{args:?}: {stderr}");
    }
}
