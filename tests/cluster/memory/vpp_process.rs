//! A simulated VPP in a process of its own, which survives whatever happens to an agent.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Stdio,
};

use maglev_model::{
    actual::{ActualVip, VppVip},
    event::Events,
};
use maglev_testkit::within;
use maglev_vpp::{lb::Lb, session::SessionOptions};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use crate::harness::LIMIT;

pub struct VppProcess {
    child: Child,
    output: Lines<BufReader<ChildStdout>>,
    pub api_socket: PathBuf,
    pub stats_socket: PathBuf,
}

impl VppProcess {
    /// A VPP with this number of routes beside those of the plugin.
    pub async fn start(dir: &Path, routes: u32) -> Self {
        let (api_socket, stats_socket) = (dir.join("run/vpp/api.sock"), dir.join("run/vpp/stats.sock"));
        let mut command = Command::new(maglev_testkit::binary("maglev-sandbox"));
        command.args(["vpp", &format!("--routes={routes}"), "--api-socket"]).arg(&api_socket);
        command.arg("--stats-socket").arg(&stats_socket);
        let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut vpp = Self { child, output, api_socket, stats_socket };
        let line = vpp.line().await;
        assert!(line.contains("listening on"), "{line}");
        vpp
    }

    async fn line(&mut self) -> String {
        within(self.output.next_line()).await.unwrap().expect("the simulated VPP runs")
    }

    /// Number of requests so far that change VPP's state.
    pub async fn writes(&mut self) -> u64 {
        kill(Pid::from_raw(self.pid().try_into().unwrap()), Signal::SIGUSR1).unwrap();
        let line = self.line().await;
        line.strip_suffix(" writes").and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("{line}"))
    }

    /// The process, which has not ended.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("the simulated VPP runs")
    }

    /// The VIPs with their servers, weights and buckets.
    pub async fn vips(&self) -> BTreeMap<VppVip, ActualVip> {
        let options = SessionOptions { deadline: LIMIT, ..SessionOptions::new("test", Events::discard()) };
        Lb::connect(&self.api_socket, options).await.unwrap().read().await.unwrap().vips
    }
}
