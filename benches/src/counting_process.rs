//! A child process of the benchmark that receives and counts data, as clients on other machines would. It responds to
//! each line on its standard input with a line of numbers.

use std::{fmt::Display, process::Stdio, str::FromStr};

use anyhow::{Context as _, anyhow, ensure};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::mpsc,
};

/// The first line of output, written once the process accepts requests.
const READY: &str = "ready";
/// Below the priority of all measured processes, but enough to read the data in time.
const NICENESS: i32 = 10;

/// Handle of the child process.
pub struct CountingProcess {
    child: Child,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
}

impl CountingProcess {
    /// Starts this program with `arguments` and waits until it accepts requests.
    pub async fn start(arguments: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let stdin = child.stdin.take().context("the pipe was requested")?;
        let stdout = BufReader::new(child.stdout.take().context("the pipe was requested")?).lines();
        let mut process = Self { child, stdin, stdout };
        let line = process.line().await?;
        ensure!(line == READY, "the counting process wrote {line:?} instead of {READY:?}");
        Ok(process)
    }

    /// Requests the current counts.
    pub async fn counts<N: FromStr, const COUNT: usize>(&mut self) -> anyhow::Result<[N; COUNT]> {
        self.stdin.write_all(b"\n").await?;
        let line = self.line().await?;
        let numbers: Vec<N> = line.split(' ').filter_map(|number| number.parse().ok()).collect();
        numbers.try_into().map_err(|_| anyhow!("the counting process wrote {line:?} instead of {COUNT} numbers"))
    }

    async fn line(&mut self) -> anyhow::Result<String> {
        self.stdout.next_line().await?.context("the counting process has ended")
    }

    pub async fn stop(mut self) -> anyhow::Result<()> {
        drop(self.stdin);
        self.child.wait().await?;
        Ok(())
    }
}

/// Runs `count` at a low priority. Called in the child process.
pub fn run(count: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    rustix::process::setpriority_process(None, NICENESS)?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(count)
}

/// Responds to requests until the standard input is closed. Called in the child process.
#[expect(clippy::print_stdout, reason = "the benchmark reads the standard output")]
pub async fn serve<N: Display>(counts: impl Fn() -> Vec<N>) {
    println!("{READY}");
    let (request_tx, mut request_rx) = mpsc::unbounded_channel();
    std::thread::spawn(move || std::io::stdin().lines().map_while(Result::ok).try_for_each(|_| request_tx.send(())));
    while request_rx.recv().await.is_some() {
        let line: Vec<String> = counts().iter().map(ToString::to_string).collect();
        println!("{}", line.join(" "));
    }
}
