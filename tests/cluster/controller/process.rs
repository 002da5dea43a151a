//! The controller as a process: flags, missing CRDs, and a paused leader.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use maglev_kube::crd_check::INSTALL;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use super::{install_controller_role, kubectl_wait, lock_control_plane, manifests};
use crate::harness::{LIMIT, eventually};
use crate::maglevd::http_get;
use crate::metrics::assert_documented;

fn program() -> PathBuf {
    maglev_testkit::binary("maglev-controller")
}

/// A process of the controller.
pub struct Process {
    child: Child,
    port: u16,
    log: PathBuf,
}

impl Process {
    fn start(dir: &Path, name: &str, namespace: &str, kubeconfig: &Path) -> Self {
        Self::start_with(dir, name, namespace, kubeconfig, &[])
    }

    /// Starts a process with additional flags.
    pub fn start_with(dir: &Path, name: &str, namespace: &str, kubeconfig: &Path, flags: &[&str]) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = dir.join(format!("{name}.log"));
        let child = Command::new(program())
            .env_clear()
            .env("KUBECONFIG", kubeconfig)
            .env("MAGLEV_CONTROLLER_NAMESPACE", namespace)
            .env("POD_NAME", name)
            .arg(format!("--metrics-addr=127.0.0.1:{port}"))
            .args(flags)
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(&log).unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { child, port, log }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().unwrap().try_into().unwrap()), signal).unwrap();
    }

    /// Ends the process with SIGKILL.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    fn has_logged(&self, text: &str) -> bool {
        std::fs::read_to_string(&self.log).unwrap().contains(text)
    }

    pub async fn until_logged(&self, text: &str) {
        eventually(&format!("{text} in {}", self.log.display()), async || self.has_logged(text).then_some(())).await;
    }

    /// The sum of a metric's series.
    async fn metric(&self, name: &str) -> f64 {
        let page = http_get(self.port, "/metrics").await;
        let series = page.lines().filter(|line| line.starts_with(name));
        series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    async fn until_leads(&self) {
        let leads = async || (self.metric("maglev_controller_leader").await > 0.0).then_some(());
        eventually("the process leads", leads).await;
    }

    pub async fn stop(&mut self) {
        self.signal(Signal::SIGTERM);
        let ended = tokio::time::timeout(LIMIT, self.child.wait()).await.expect("the controller ends in time").unwrap();
        assert!(ended.success(), "{}", std::fs::read_to_string(&self.log).unwrap());
    }
}

#[tokio::test]
async fn paused_leader_is_replaced_and_writes_nothing_when_it_resumes() {
    let cluster = lock_control_plane().await;
    let namespace = install_controller_role(&cluster, "paused").await;
    let kubeconfig = cluster.kubeconfig_as(&namespace, "maglev-controller").await;
    let dir = tempfile::tempdir().unwrap();
    let mut first = Process::start(dir.path(), "first", &namespace, &kubeconfig);
    first.until_leads().await;
    first.until_logged("status writing started").await;
    let mut second = Process::start(dir.path(), "second", &namespace, &kubeconfig);
    eventually("the second process is ready", async || {
        http_get(second.port, "/readyz").await.contains(" 200 ").then_some(())
    })
    .await;
    assert!(!second.has_logged("lease acquired"));

    let served = http_get(first.port, "/metrics").await;
    let (_, text) = served.split_once("\r\n\r\n").unwrap();
    assert_documented(text).await;
    let written = first.metric("maglev_controller_status_writes_total").await;
    first.signal(Signal::SIGSTOP);
    cluster.apply(&namespace, &manifests(5, 10)).await.unwrap();
    second.until_leads().await;
    kubectl_wait(&cluster, &namespace, "mbe/one", "Ready").await;
    first.signal(Signal::SIGCONT);
    first.until_logged("lease lost").await;
    assert!(http_get(first.port, "/healthz").await.contains(" 200 "));
    assert!(first.metric("maglev_controller_leader").await < 1.0);
    assert!((first.metric("maglev_controller_status_writes_total").await - written).abs() < 0.5);
    assert!(first.metric("maglev_controller_errors_total").await < 0.5);

    second.stop().await;
    first.until_leads().await;
    first.stop().await;
    first.until_logged("lease released").await;
    cluster.kubectl(&["delete", "mfe/web", "mbe/one", "-n", &namespace]).await;
}

#[tokio::test]
async fn missing_crd_is_reported_with_the_command_that_installs_it() {
    let cluster = lock_control_plane().await;
    let namespace = install_controller_role(&cluster, "crds").await;
    let kubeconfig = cluster.kubeconfig_as(&namespace, "maglev-controller").await;
    cluster.kubectl(&["delete", "crd", "maglevnodes.maglev.vpp.io", "--timeout=30s"]).await;
    let remove_status = r#"[{"op": "remove", "path": "/spec/versions/0/subresources"}]"#;
    cluster.kubectl(&["patch", "crd", "backends.maglev.vpp.io", "--type=json", "-p", remove_status]).await;
    let dir = tempfile::tempdir().unwrap();
    let mut process = Process::start(dir.path(), "only", &namespace, &kubeconfig);
    process.until_logged("maglevnodes.maglev.vpp.io is missing").await;
    process.until_logged("backends.maglev.vpp.io has no status subresource").await;
    let ready = http_get(process.port, "/readyz").await;
    assert!(ready.contains(" 503 ") && ready.contains("maglevnodes.maglev.vpp.io is missing"), "{ready}");
    assert!(ready.contains(INSTALL), "{ready}");

    // Runs the reported command with this program and the kubectl of the control plane.
    let printed = Command::new(program()).env_clear().arg("crds").output().await.unwrap();
    let manifests = String::from_utf8(printed.stdout).unwrap();
    assert!(INSTALL.starts_with("maglev-controller crds | kubectl "), "{INSTALL}");
    let args: Vec<&str> = INSTALL.split("kubectl ").last().unwrap().split(' ').collect();
    let applied = cluster.kubectl_with(&args, &manifests).await;
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    eventually("the controller is ready", async || {
        http_get(process.port, "/readyz").await.contains(" 200 ").then_some(())
    })
    .await;
    process.stop().await;
}

#[tokio::test]
async fn help_lists_every_flag_and_version_the_build() {
    let run = async |args: &[&str]| {
        let output = Command::new(program()).env_clear().args(args).output().await.unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap())
    };
    let (code, help) = run(&["--help"]).await;
    assert_eq!(code, Some(0));
    for flag in
        ["namespace", "lease", "identity", "log-format", "log-level", "metrics-addr", "allow-loopback", "kubeconfig"]
    {
        let variable = format!("MAGLEV_CONTROLLER_{}", flag.to_uppercase().replace('-', "_"));
        assert!(help.contains(&format!("--{flag}")) && help.contains(&variable), "{flag} in {help}");
    }
    assert!(help.contains("Example"), "{help}");
    let (code, version) = run(&["--version"]).await;
    assert!(code == Some(0) && version.contains(env!("CARGO_PKG_VERSION")) && version.contains("commit"), "{version}");
}
