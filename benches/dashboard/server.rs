//! A server process and its CPU and memory usage.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, sleep},
};

use maglev_benches::usage;

/// The time that a server may take to become ready.
const READY_TIMEOUT: Duration = Duration::from_secs(120);

/// Raises the limit of file descriptors of this process and its children to the hard limit.
pub fn raise_limit() -> anyhow::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    Ok(())
}

/// A server process. Dropping ends the process.
pub struct Server {
    child: Child,
    address: SocketAddr,
    path: String,
    metrics: SocketAddr,
}

/// CPU time so far and current memory of a server and its children.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    pub cpu: Duration,
    /// Resident memory in MiB.
    pub memory: f64,
}

impl Server {
    /// Starts maglev-frontend for these agents and waits until all of them report.
    pub async fn dashboard(agents: &[SocketAddr]) -> anyhow::Result<Self> {
        let (address, metrics) = (free_address()?, free_address()?);
        let mut command = Command::new(maglev_testkit::binary("maglev-frontend"));
        let servers = agents.iter().map(|agent| ("--server", *agent));
        for (flag, value) in servers.chain([("--http-addr", address), ("--metrics-addr", metrics)]) {
            command.arg(flag).arg(value.to_string());
        }
        command.args(["--log-level", "error"]);
        let server = Self::start(command, address, "/view/api/events?log=all", metrics)?;
        let all = format!(r#""reporting":{}}}"#, agents.len());
        server.wait_for(address, "/view/api/summary", &all).await?;
        Ok(server)
    }

    /// Starts any other program that listens on `address`.
    pub fn start(mut command: Command, address: SocketAddr, path: &str, metrics: SocketAddr) -> anyhow::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        Ok(Self { child, address, path: path.to_owned(), metrics })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn path(&self) -> &str {
        &self.path
    }

    /// Waits until a response contains `text`.
    pub async fn wait_for(&self, address: SocketAddr, path: &str, text: &str) -> anyhow::Result<()> {
        let begin = Instant::now();
        loop {
            let response = get(address, path).await.unwrap_or_default();
            if response.contains(text) {
                return Ok(());
            }
            ensure!(
                begin.elapsed() < READY_TIMEOUT,
                "the response of {address}{path} does not contain {text} after {READY_TIMEOUT:?}"
            );
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// The number of clients that maglev-frontend has disconnected.
    pub async fn disconnected(&self) -> anyhow::Result<usize> {
        let text = get(self.metrics, "/metrics").await?;
        let name = "maglev_dashboard_clients_dropped_total ";
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .context("maglev-frontend does not export maglev_dashboard_clients_dropped_total")?;
        Ok(value.trim().parse()?)
    }

    /// The largest resident memory of the process so far, in MiB.
    pub fn peak(&self) -> anyhow::Result<f64> {
        usage::peak(&Path::new("/proc").join(self.child.id().to_string()))
    }

    pub fn usage(&self) -> anyhow::Result<Usage> {
        let pid = self.child.id().to_string();
        let mut sum = Usage { cpu: Duration::ZERO, memory: 0.0 };
        for process in fs::read_dir("/proc")? {
            let process = process?.path();
            let is_server = process.file_name().is_some_and(|name| *name == *pid);
            if is_server || parent(&process).as_deref() == Some(&pid) {
                sum.cpu += usage::cpu(&process)?;
                sum.memory += usage::resident(&process)?;
            }
        }
        Ok(sum)
    }
}

/// The ID of the parent process; `None` if `process` is no process or has ended.
fn parent(process: &Path) -> Option<String> {
    let status = fs::read_to_string(process.join("status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:")).map(|parent| parent.trim().to_owned())
}

impl Drop for Server {
    fn drop(&mut self) {
        // nginx ends its workers only on SIGTERM.
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

async fn get(address: SocketAddr, path: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut response = Vec::new();
    stream.read_to_end(&mut response).await?;
    Ok(String::from_utf8_lossy(&response).into_owned())
}

/// A free address on loopback.
pub fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
