//! A process of this program's own, in which what is sent is counted: it would be on other machines. It answers each
//! line that it reads with numbers in a line.

use std::{fmt::Display, process::Stdio, str::FromStr};

use anyhow::{Context as _, anyhow, ensure};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::mpsc,
};

/// What it writes when it can be asked.
const READY: &str = "ready";
/// Less than anything that is measured, and still enough to read what comes.
const NICENESS: i32 = 10;

/// Such a process, from outside.
pub struct Counting {
    child: Child,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
}

impl Counting {
    /// Starts this program with `arguments` and waits until it can be asked.
    pub async fn start(arguments: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let stdin = child.stdin.take().context("it was asked for")?;
        let stdout = BufReader::new(child.stdout.take().context("it was asked for")?).lines();
        let mut counting = Self { child, stdin, stdout };
        let line = counting.line().await?;
        ensure!(line == READY, "found {line:?}");
        Ok(counting)
    }

    pub async fn numbers<N: FromStr, const COUNT: usize>(&mut self) -> anyhow::Result<[N; COUNT]> {
        self.stdin.write_all(b"\n").await?;
        let line = self.line().await?;
        let numbers: Vec<N> = line.split(' ').filter_map(|number| number.parse().ok()).collect();
        numbers.try_into().map_err(|_| anyhow!("found {line:?}"))
    }

    async fn line(&mut self) -> anyhow::Result<String> {
        self.stdout.next_line().await?.context("the process that counts has ended")
    }

    pub async fn stop(mut self) -> anyhow::Result<()> {
        drop(self.stdin);
        self.child.wait().await?;
        Ok(())
    }
}

/// Is such a process: counts at a low priority.
pub fn run(count: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    rustix::process::setpriority_process(None, NICENESS)?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(count)
}

/// Answers until who asks goes away.
#[expect(clippy::print_stdout, reason = "who asks reads it")]
pub async fn answer<N: Display>(numbers: impl Fn() -> Vec<N>) {
    println!("{READY}");
    let (asked, mut asked_rx) = mpsc::unbounded_channel();
    std::thread::spawn(move || std::io::stdin().lines().map_while(Result::ok).try_for_each(|_| asked.send(())));
    while asked_rx.recv().await.is_some() {
        let line: Vec<String> = numbers().iter().map(ToString::to_string).collect();
        println!("{}", line.join(" "));
    }
}
