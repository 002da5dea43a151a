//! A real VPP with the lb plugin in place of a simulated one. It runs in the network namespace of a node, where its only
//! interface is the tun device of [`Network`](crate::packets::Network): packets enter and leave through it (one arm).
//!
//! Used by `up` and by the tests of packets, which restart it and connect it to the router.

mod config;
mod program;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use maglev_model::event::Events;
use maglev_vpp::{error::Error, lb::Lb, messages::vlib::CliInband, session::SessionOptions};
use tokio::time::Instant;

use crate::SandboxError;
use crate::packets::Namespace;
use crate::processes::{Launch, Process};

pub use program::VppProgram;

/// Time limit for VPP to answer on its API socket.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// Pause between two attempts to connect.
const RETRY: Duration = Duration::from_millis(20);

/// The VPP of one node.
#[derive(Clone, Debug)]
pub struct RealVpp {
    pub program: VppProgram,
    /// Name of the process.
    pub name: String,
    /// Number of the node, from 1, which determines VPP's addresses.
    pub number: u8,
    pub namespace: Namespace,
    /// Directory for the configuration; created.
    pub config: PathBuf,
    /// Directory for api.sock, stats.sock and cli.sock; created.
    pub sockets: PathBuf,
    pub log: PathBuf,
}

impl RealVpp {
    pub fn api_socket(&self) -> PathBuf {
        self.sockets.join("api.sock")
    }

    pub fn stats_socket(&self) -> PathBuf {
        self.sockets.join("stats.sock")
    }

    /// Writes the configuration. The result starts VPP, any number of times one after another.
    ///
    /// # Errors
    /// A file or directory cannot be written.
    pub fn prepare(&self) -> Result<Launch, SandboxError> {
        for dir in [&self.config, &self.sockets] {
            std::fs::create_dir_all(dir).map_err(SandboxError::file("create", dir))?;
        }
        let startup = self.config.join("startup.conf");
        let interface = self.config.join("interface.cli");
        write(&interface, &config::interface(self.number))?;
        write(&startup, &config::startup(self, &interface))?;
        let launch = Launch::new(&self.name, "ip", &self.log).args(["netns", "exec", self.namespace.name()]);
        Ok(launch.arg(self.program.binary()).arg("-c").arg(startup))
    }

    /// Waits until VPP answers, with its lb plugin and its interface.
    ///
    /// # Errors
    /// VPP exited, lacks the lb plugin or the interface, or did not answer within 30 s.
    pub async fn wait_until_ready(&self, process: &Process) -> Result<(), SandboxError> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let last = match self.check().await {
                Ok(()) => return Ok(()),
                Err(NotReady::Unusable(message)) => return Err(SandboxError::Usage { message }),
                Err(NotReady::Yet(last)) => last,
            };
            if let Some(exited) = process.exit_error() {
                return Err(exited);
            }
            if Instant::now() >= deadline {
                let (name, log, tail) = (process.name().to_owned(), process.log().to_owned(), process.log_tail());
                return Err(SandboxError::NotReady { name, within: READY_WITHIN, last, log, tail });
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn check(&self) -> Result<(), NotReady> {
        let lb = match Lb::connect(&self.api_socket(), session_options()).await {
            Ok(lb) => lb,
            Err(error @ Error::Missing { .. }) => {
                let message = format!("{}: {}", self.program.binary().display(), maglev_net::error_chain(&error));
                return Err(NotReady::Unusable(message));
            }
            Err(error) => return Err(NotReady::Yet(maglev_net::error_chain(&error))),
        };
        let command = CliInband { cmd: format!("show interface {}", config::INTERFACE) };
        let shown = lb.session().call(&command).await.map(|reply| reply.reply).unwrap_or_default();
        let is_up = shown.lines().any(|line| line.contains(config::INTERFACE) && line.contains("up"));
        let down = || NotReady::Yet(format!("the interface {} is not up: {}", config::INTERFACE, shown.trim()));
        if is_up { Ok(()) } else { Err(down()) }
    }
}

/// Options of the sandbox's own sessions with real VPPs.
pub(crate) fn session_options() -> SessionOptions {
    SessionOptions::new("maglev-sandbox", Events::discard())
}

/// A VPP that cannot be used now.
enum NotReady {
    /// And never.
    Unusable(String),
    Yet(String),
}

fn write(path: &Path, text: &str) -> Result<(), SandboxError> {
    std::fs::write(path, text).map_err(SandboxError::file("write", path))
}
