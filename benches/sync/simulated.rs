//! A simulated VPP in a child process of this program, so that it shares neither threads nor allocator with the measured
//! code.
//!
//! For each line on its standard input, the process restarts the simulator and prints a line. It ends with its input, so
//! that it never outlives the benchmark.

use std::{
    io::{BufRead as _, Write as _},
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, ensure};
use maglev_vpp_simulator::{Recompute, Simulator, SimulatorOptions};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
};

/// The argument that makes this program the simulator.
const ROLE: &str = "--simulate-vpp";
const READY: &str = "ready";

/// Handle of the child process.
pub struct Simulated {
    directory: tempfile::TempDir,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    _process: Child,
}

impl Simulated {
    /// Starts the process and waits until its socket accepts connections.
    pub async fn start(recompute: Recompute) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let mut process = Command::new(std::env::current_exe()?)
            .args([ROLE, recompute_name(recompute)])
            .arg(directory.path().join("api.sock"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let input = process.stdin.take().context("the simulator's input is a pipe")?;
        let output = BufReader::new(process.stdout.take().context("the simulator's output is a pipe")?);
        let mut simulated = Self { directory, input, output, _process: process };
        simulated.ready().await?;
        Ok(simulated)
    }

    /// The API socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("api.sock")
    }

    /// Restarts the simulator, in the same process.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.input.write_all(b"restart\n").await?;
        self.ready().await
    }

    async fn ready(&mut self) -> anyhow::Result<()> {
        let mut line = String::new();
        self.output.read_line(&mut line).await?;
        ensure!(line.trim_end() == READY, "the simulator wrote {line:?} instead of {READY:?}");
        Ok(())
    }
}

/// Runs the simulator if the arguments request that.
pub fn serve_if_requested(arguments: &[String]) -> Option<anyhow::Result<()>> {
    match arguments {
        [role, recompute, socket] if role == ROLE => Some(serve(recompute, Path::new(socket))),
        _ => None,
    }
}

fn serve(recompute: &str, socket: &Path) -> anyhow::Result<()> {
    let recompute = if recompute == recompute_name(Recompute::Lazy) { Recompute::Lazy } else { Recompute::Eager };
    // VPP serves its API with one thread.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let simulator =
        runtime.block_on(Simulator::start(SimulatorOptions { recompute, ..SimulatorOptions::new(socket) }))?;
    print_ready()?;
    for line in std::io::stdin().lock().lines() {
        line?;
        runtime.block_on(simulator.restart())?;
        print_ready()?;
    }
    Ok(())
}

fn print_ready() -> std::io::Result<()> {
    let mut output = std::io::stdout();
    writeln!(output, "{READY}")?;
    output.flush()
}

fn recompute_name(recompute: Recompute) -> &'static str {
    match recompute {
        Recompute::Eager => "eager",
        Recompute::Lazy => "lazy",
    }
}
