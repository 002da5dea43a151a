//! A server as a process, and what it has used.

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

/// How long a server may take until it is ready.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// Lets this process and those that it starts have as many sockets as may be.
pub fn raise_limit() -> anyhow::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    Ok(())
}

/// A server that ends with this value.
pub struct Server {
    child: Child,
    address: SocketAddr,
    path: String,
    metrics: SocketAddr,
}

/// What it has used so far, with its own children.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    pub cpu: Duration,
    /// Resident memory now, in MiB.
    pub memory: f64,
}

impl Server {
    /// maglev-frontend in front of these agents, once it knows them all.
    pub async fn dashboard(agents: &[SocketAddr]) -> anyhow::Result<Self> {
        let (address, metrics) = (free_address()?, free_address()?);
        let mut command = Command::new(maglev_testkit::binary("maglev-frontend"));
        let servers = agents.iter().map(|agent| ("--server", *agent));
        for (flag, of) in servers.chain([("--http-addr", address), ("--metrics-addr", metrics)]) {
            command.arg(flag).arg(of.to_string());
        }
        command.args(["--log-level", "error"]);
        let server = Self::start(command, address, "/view/api/events?log=all", metrics)?;
        let all = format!(r#""reporting":{}}}"#, agents.len());
        server.until_answers(address, "/view/api/summary", &all).await?;
        Ok(server)
    }

    /// Any other program that listens there.
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

    /// Waits until an answer has this text in it.
    pub async fn until_answers(&self, address: SocketAddr, path: &str, text: &str) -> anyhow::Result<()> {
        let begin = Instant::now();
        loop {
            let answer = get(address, path).await.unwrap_or_default();
            if answer.contains(text) {
                return Ok(());
            }
            ensure!(begin.elapsed() < READY_WITHIN, "{address}{path} has no {text} after {READY_WITHIN:?}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// How many clients maglev-frontend has disconnected.
    pub async fn dropped(&self) -> anyhow::Result<usize> {
        let text = get(self.metrics, "/metrics").await?;
        let name = "maglev_dashboard_clients_dropped_total ";
        let value = text.lines().find_map(|line| line.strip_prefix(name)).context("no such metric")?;
        Ok(value.trim().parse()?)
    }

    /// What it and its children have used.
    pub fn usage(&self) -> anyhow::Result<Usage> {
        let own = self.child.id().to_string();
        let mut sum = Usage { cpu: Duration::ZERO, memory: 0.0 };
        for process in fs::read_dir("/proc")? {
            let process = process?.path();
            let is_own = process.file_name().is_some_and(|name| *name == *own);
            if is_own || parent(&process).as_deref() == Some(&own) {
                sum.cpu += usage::cpu(&process)?;
                sum.memory += usage::resident(&process)?;
            }
        }
        Ok(sum)
    }
}

/// Of which process this is a child; `None` for what is no process, or has ended meanwhile.
fn parent(process: &Path) -> Option<String> {
    let status = fs::read_to_string(process.join("status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:")).map(|parent| parent.trim().to_owned())
}

impl Drop for Server {
    fn drop(&mut self) {
        // nginx ends its workers only when it is asked to end.
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

/// Asks once.
async fn get(address: SocketAddr, path: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: bench\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// An address that nobody listens on.
pub fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
