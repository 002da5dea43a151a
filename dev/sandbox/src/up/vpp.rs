//! The VPPs of the nodes: simulated ones, real ones that the sandbox runs (`--vpp-binary`), or real ones that run already
//! (`--vpp`), whose directory is linked into the node's root. A VPP that the sandbox runs is a child process and restarted
//! after its exit.

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
use super::output;
use crate::SandboxError;
use crate::packets::Namespace;
use crate::processes::{Launch, Process, Processes};
use crate::real_vpp::{RealVpp, VppProgram};

/// Time limit for a simulated VPP to listen.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// Time between SIGTERM and SIGKILL.
const STOP_WITHIN: Duration = Duration::from_secs(2);
/// Simulated traffic to each VIP, in packets per second, on machines without packets.
const TRAFFIC: &str = "100";
/// Delay before a restart.
const RESTART: Duration = Duration::from_secs(1);

/// A real VPP that runs already, for one node: `NODE=DIR`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningVpp {
    node: String,
    dir: PathBuf,
}

impl FromStr for RunningVpp {
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

/// Rejects a `--vpp` for an unknown node or without an API socket.
pub fn check(running: &[RunningVpp], nodes: &[NodeSpec]) -> Result<(), SandboxError> {
    for RunningVpp { node, dir } in running {
        if !nodes.iter().any(|spec| spec.name == *node) {
            let names: Vec<_> = nodes.iter().map(|spec| spec.name.as_str()).collect();
            return Err(SandboxError::Usage {
                message: format!("--vpp: unknown node {node:?}; the nodes are {}", names.join(", ")),
            });
        }
        let socket = dir.join("api.sock");
        if !socket.exists() {
            return Err(SandboxError::Usage { message: format!("--vpp {node}: {} does not exist", socket.display()) });
        }
    }
    Ok(())
}

/// The VPP of a node.
#[derive(Clone, Debug)]
pub enum NodeVpp {
    Simulated,
    /// A real VPP that the sandbox runs.
    Real(RealVpp),
    /// The directory of a real VPP that runs already.
    Running(PathBuf),
}

impl NodeVpp {
    /// The VPP of each of `nodes`.
    pub fn all(
        nodes: &[NodeSpec],
        running: &[RunningVpp],
        program: Option<&VppProgram>,
        directory: &Directory,
    ) -> Vec<Self> {
        let vpp = |node: &NodeSpec| match (running.iter().find(|running| running.node == node.name), program) {
            (Some(running), _) => Self::Running(running.dir.clone()),
            (None, Some(program)) => Self::Real(RealVpp {
                program: program.clone(),
                name: name(node),
                number: node.number(),
                namespace: Namespace::node(directory.path(), &node.name),
                config: directory.node_root(node).join("etc/vpp"),
                sockets: directory.run_vpp(node),
                log: directory.log(&name(node)),
            }),
            (None, None) => Self::Simulated,
        };
        nodes.iter().map(vpp).collect()
    }
}

/// All nodes' VPPs.
#[derive(Debug)]
pub struct Vpps {
    shutdown: CancellationToken,
    supervisors: TaskTracker,
}

impl Vpps {
    /// Starts the VPPs and waits until they are ready. `vpps` are those of `nodes`, in the same order.
    pub async fn start(
        directory: &Directory,
        nodes: &[NodeSpec],
        vpps: &[NodeVpp],
        has_packets: bool,
        processes: &Processes,
    ) -> Result<Self, SandboxError> {
        let started = Self { shutdown: CancellationToken::new(), supervisors: TaskTracker::new() };
        for (node, vpp) in nodes.iter().zip(vpps) {
            let launch = match vpp {
                NodeVpp::Running(dir) => {
                    link(dir, &directory.run_vpp(node))?;
                    continue;
                }
                NodeVpp::Real(vpp) => vpp.prepare()?,
                NodeVpp::Simulated => simulated(directory, node, has_packets)?,
            };
            let process = processes.spawn(launch.clone()).await?;
            match vpp {
                NodeVpp::Real(vpp) => {
                    output::print(&format!("starting {} for {}…", vpp.program.binary().display(), node.name));
                    vpp.wait_until_ready(&process).await?;
                }
                _ => wait_until_listening(&process, &directory.socket(node, "api.sock")).await?,
            }
            let supervisor = VppSupervisor { launch, processes: processes.clone() };
            started.supervisors.spawn(supervisor.run(process, started.shutdown.clone()));
        }
        started.supervisors.close();
        Ok(started)
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        self.supervisors.wait().await;
    }
}

fn link(real: &Path, run_vpp: &Path) -> Result<(), SandboxError> {
    let real = real.canonicalize().map_err(SandboxError::file("find", real))?;
    let run = run_vpp.parent().expect("run/vpp has a parent");
    fs::create_dir_all(run).map_err(SandboxError::file("create", run))?;
    std::os::unix::fs::symlink(real, run_vpp).map_err(SandboxError::file("link", run_vpp))
}

/// The name of the process.
fn name(node: &NodeSpec) -> String {
    format!("vpp-{}", node.name)
}

fn simulated(directory: &Directory, node: &NodeSpec, has_packets: bool) -> Result<Launch, SandboxError> {
    let run_vpp = directory.run_vpp(node);
    fs::create_dir_all(&run_vpp).map_err(SandboxError::file("create", &run_vpp))?;
    let program = std::env::current_exe().map_err(SandboxError::file("find", "this program"))?;
    let launch = Launch::new(name(node), program, directory.log(&name(node))).arg("vpp");
    let launch = if has_packets {
        launch.arg("--packets-socket").arg(directory.packets_socket(node))
    } else {
        launch.arg("--traffic").arg(TRAFFIC)
    };
    let launch = launch.arg("--api-socket").arg(directory.socket(node, "api.sock"));
    Ok(launch.arg("--stats-socket").arg(directory.socket(node, "stats.sock")))
}

async fn wait_until_listening(process: &Process, socket: &Path) -> Result<(), SandboxError> {
    let deadline = Instant::now() + READY_WITHIN;
    loop {
        let Err(error) = UnixStream::connect(socket).await else { return Ok(()) };
        if let Some(exited) = process.exit_error() {
            return Err(exited);
        }
        if Instant::now() >= deadline {
            let (name, log) = (process.name().to_owned(), process.log().to_owned());
            let (last, tail) = (error.to_string(), process.log_tail());
            return Err(SandboxError::NotReady { name, within: READY_WITHIN, last, log, tail });
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Restarts one VPP whenever it exits.
struct VppSupervisor {
    launch: Launch,
    processes: Processes,
}

impl VppSupervisor {
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
            // A failed spawn is retried like an early exit.
            running = self.processes.spawn(self.launch.clone()).await.ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vpp_flag_is_parsed_as_node_and_directory() {
        let parsed: RunningVpp = "node-a=/run/vpp".parse().unwrap();
        assert_eq!(parsed, RunningVpp { node: "node-a".into(), dir: "/run/vpp".into() });
        for invalid in ["node-a", "=/run/vpp", "node-a="] {
            assert!(invalid.parse::<RunningVpp>().is_err(), "{invalid}");
        }
    }

    #[test]
    fn vpp_flag_with_unknown_node_or_missing_socket_is_rejected() {
        let nodes = NodeSpec::all(2);
        let refusal = |text: &str| check(&[text.parse().unwrap()], &nodes).unwrap_err().to_string();
        assert_eq!(refusal("node-z=/run"), "--vpp: unknown node \"node-z\"; the nodes are node-a, node-b");
        assert_eq!(refusal("node-a=/nowhere"), "--vpp node-a: /nowhere/api.sock does not exist");
    }
}
