//! The nodes' VPPs: a simulated one per node as a child process that is started again when it dies, as an init system
//! would; or somebody's real one, whose directory is linked to where the node looks for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::directory::Directory;
use super::nodes::NodeSpec;
use crate::SandboxError;
use crate::processes::{Launch, Process, Processes};

/// How long a simulated VPP may take to listen.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How long it may take to end.
const STOP_WITHIN: Duration = Duration::from_secs(2);
/// Packets per second that seem to come to each VIP, so that there is something to see.
const TRAFFIC: &str = "100";
/// How long after its death it is started again.
const RESTART: Duration = Duration::from_secs(1);

/// A real VPP for one node: `NODE=DIR`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RealVpp {
    node: String,
    dir: PathBuf,
}

impl FromStr for RealVpp {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((node, dir)) if !node.is_empty() && !dir.is_empty() => {
                Ok(Self { node: node.to_owned(), dir: dir.into() })
            }
            _ => Err("expected NODE=DIR, such as node-a=/run/vpp".to_owned()),
        }
    }
}

/// Refuses a `--vpp` for a node that there will not be, or without a socket in it.
pub fn check(real: &[RealVpp], nodes: &[NodeSpec]) -> Result<(), SandboxError> {
    for RealVpp { node, dir } in real {
        if !nodes.iter().any(|spec| spec.name == *node) {
            let names: Vec<_> = nodes.iter().map(|spec| spec.name.as_str()).collect();
            return Err(SandboxError::Usage {
                what: format!("--vpp names node {node:?}: there is {}", names.join(", ")),
            });
        }
        let socket = dir.join("api.sock");
        if !socket.exists() {
            return Err(SandboxError::Usage { what: format!("--vpp {node}: there is no {}", socket.display()) });
        }
    }
    Ok(())
}

/// All nodes' VPPs.
#[derive(Debug)]
pub struct Vpps {
    shutdown: CancellationToken,
    keepers: TaskTracker,
}

impl Vpps {
    pub async fn start(
        directory: &Directory,
        nodes: &[NodeSpec],
        real: &[RealVpp],
        processes: &Processes,
    ) -> Result<Self, SandboxError> {
        let vpps = Self { shutdown: CancellationToken::new(), keepers: TaskTracker::new() };
        for node in nodes {
            let run_vpp = directory.run_vpp(node);
            if let Some(found) = real.iter().find(|real| real.node == node.name) {
                link(&found.dir, &run_vpp)?;
                continue;
            }
            fs::create_dir_all(&run_vpp).map_err(SandboxError::file("create", &run_vpp))?;
            let keeper = Keeper { launch: launch(directory, node)?, processes: processes.clone() };
            let process = processes.spawn(keeper.launch.clone()).await?;
            listens(&process, &directory.socket(node, "api.sock")).await?;
            vpps.keepers.spawn(keeper.run(process, vpps.shutdown.clone()));
        }
        vpps.keepers.close();
        Ok(vpps)
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        self.keepers.wait().await;
    }
}

fn link(real: &Path, run_vpp: &Path) -> Result<(), SandboxError> {
    let real = real.canonicalize().map_err(SandboxError::file("find", real))?;
    let run = run_vpp.parent().expect("run/vpp has a parent");
    fs::create_dir_all(run).map_err(SandboxError::file("create", run))?;
    std::os::unix::fs::symlink(real, run_vpp).map_err(SandboxError::file("link", run_vpp))
}

fn launch(directory: &Directory, node: &NodeSpec) -> Result<Launch, SandboxError> {
    let name = format!("vpp-{}", node.name);
    let program = std::env::current_exe().map_err(SandboxError::file("find", "this program"))?;
    let log = directory.log(&name);
    let launch = Launch::new(name, program, log).arg("vpp").arg("--traffic").arg(TRAFFIC);
    let launch = launch.arg("--api-socket").arg(directory.socket(node, "api.sock"));
    Ok(launch.arg("--stats-socket").arg(directory.socket(node, "stats.sock")))
}

async fn listens(process: &Process, socket: &Path) -> Result<(), SandboxError> {
    let deadline = Instant::now() + READY_WITHIN;
    loop {
        let Err(err) = UnixStream::connect(socket).await else { return Ok(()) };
        if let Some(err) = process.exit_error() {
            return Err(err);
        }
        if Instant::now() >= deadline {
            let (name, log) = (process.name().to_owned(), process.log().to_owned());
            let (last, tail) = (err.to_string(), process.log_tail());
            return Err(SandboxError::NotReady { name, within: READY_WITHIN, last, log, tail });
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Starts one VPP again and again.
struct Keeper {
    launch: Launch,
    processes: Processes,
}

impl Keeper {
    async fn run(self, first: Process, shutdown: CancellationToken) {
        let mut running = Some(first);
        loop {
            if let Some(process) = &running {
                tokio::select! {
                    _ = process.wait() => {}
                    () = shutdown.cancelled() => {
                        process.stop(STOP_WITHIN).await;
                        return;
                    }
                }
            }
            tokio::select! {
                () = tokio::time::sleep(RESTART) => {}
                () = shutdown.cancelled() => return,
            }
            // A spawn that fails is tried again like a VPP that dies at once.
            running = self.processes.spawn(self.launch.clone()).await.ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_vpp_is_written_as_node_and_directory() {
        let parsed: RealVpp = "node-a=/run/vpp".parse().unwrap();
        assert_eq!(parsed, RealVpp { node: "node-a".into(), dir: "/run/vpp".into() });
        for wrong in ["node-a", "=/run/vpp", "node-a="] {
            assert!(wrong.parse::<RealVpp>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_real_vpp_for_a_node_or_socket_that_is_not_there_is_refused() {
        let nodes = NodeSpec::all(2);
        let refusal = |text: &str| check(&[text.parse().unwrap()], &nodes).unwrap_err().to_string();
        assert_eq!(refusal("node-z=/run"), "--vpp names node \"node-z\": there is node-a, node-b");
        assert_eq!(refusal("node-a=/nowhere"), "--vpp node-a: there is no /nowhere/api.sock");
    }
}
