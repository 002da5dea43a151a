//! A simulated VPP in a process of its own, which is this program started once more: it shares
//! neither threads nor allocator with what is measured.
//!
//! It starts anew with each line on its standard input, says so on its standard output, and ends
//! with its input, so that it never outlives the benchmark.

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

/// Makes this program a simulator.
const ROLE: &str = "--simulate-vpp";
const READY: &str = "ready";

/// The process.
pub struct Simulated {
    directory: tempfile::TempDir,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    _process: Child,
}

impl Simulated {
    /// Starts it; its socket takes connections.
    pub async fn start(recompute: Recompute) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let mut process = Command::new(std::env::current_exe()?)
            .args([ROLE, word(recompute)])
            .arg(directory.path().join("api.sock"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let input = process.stdin.take().context("its input is a pipe")?;
        let output = BufReader::new(process.stdout.take().context("its output is a pipe")?);
        let mut simulated = Self { directory, input, output, _process: process };
        simulated.ready().await?;
        Ok(simulated)
    }

    /// Its API socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("api.sock")
    }

    /// Starts VPP anew, in the same process.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.input.write_all(b"restart\n").await?;
        self.ready().await
    }

    async fn ready(&mut self) -> anyhow::Result<()> {
        let mut line = String::new();
        self.output.read_line(&mut line).await?;
        ensure!(line.trim_end() == READY, "the simulator said {line:?}");
        Ok(())
    }
}

/// Is the simulator if the arguments say so.
pub fn serve_if_asked(arguments: &[String]) -> Option<anyhow::Result<()>> {
    match arguments {
        [role, recompute, socket] if role == ROLE => Some(serve(recompute, Path::new(socket))),
        _ => None,
    }
}

fn serve(recompute: &str, socket: &Path) -> anyhow::Result<()> {
    let recompute = if recompute == word(Recompute::Lazy) { Recompute::Lazy } else { Recompute::Eager };
    // VPP's API is served by one thread.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let simulator =
        runtime.block_on(Simulator::start(SimulatorOptions { recompute, ..SimulatorOptions::new(socket) }))?;
    say_ready()?;
    for line in std::io::stdin().lock().lines() {
        line?;
        runtime.block_on(simulator.restart())?;
        say_ready()?;
    }
    Ok(())
}

fn say_ready() -> std::io::Result<()> {
    let mut output = std::io::stdout();
    writeln!(output, "{READY}")?;
    output.flush()
}

fn word(recompute: Recompute) -> &'static str {
    match recompute {
        Recompute::Eager => "eager",
        Recompute::Lazy => "lazy",
    }
}
