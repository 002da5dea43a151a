//! Programs in the namespace of the clients: `maglev-sandbox load`, `maglev-tester`, and curl.

use std::process::{ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::Instant;

use crate::harness::{LIMIT, eventually};
use crate::sandbox::Sandbox;

pub const URL: &str = "http://203.0.113.10/";

/// The name of the backend that answers a new connection.
pub async fn backend(sandbox: &Sandbox) -> Option<String> {
    let output = sandbox.tool("client", &["curl", "-sS", "--max-time", "5", URL]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    output.status.success().then(|| text.split_whitespace().next().unwrap_or_default().to_owned())
}

/// A program whose output is read line by line.
pub struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next line; `None` after the end of the program.
    pub async fn line(&mut self) -> Option<String> {
        tokio::time::timeout(LIMIT, self.lines.next_line()).await.expect("a line within 30 s").unwrap()
    }

    /// Waits until the program ends. Returns its status and the rest of its output.
    pub async fn finish(mut self) -> (ExitStatus, String) {
        let mut rest = String::new();
        let ended = async {
            while let Some(line) = self.line().await {
                rest += &format!("{line}\n");
            }
            self.child.wait().await.unwrap()
        };
        let status = tokio::time::timeout(LIMIT, ended).await;
        (status.unwrap_or_else(|_| panic!("the program has not ended within {LIMIT:?}: {rest}")), rest)
    }

    /// Interrupts the program, and waits until it ends, whatever its status.
    pub async fn interrupt_any(self) -> (ExitStatus, String) {
        kill(Pid::from_raw(self.child.id().unwrap().try_into().unwrap()), Signal::SIGINT).unwrap();
        self.finish().await
    }

    /// Interrupts the program and returns the rest of its output.
    pub async fn interrupt(self) -> String {
        let (status, rest) = self.interrupt_any().await;
        assert!(status.success(), "{rest}");
        rest
    }
}

/// The flows of a backend in the summary of a load.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    pub backend: String,
    pub flows: u32,
    pub broken: u32,
}

/// `maglev-sandbox load` with 60 flows of two requests per second each.
pub struct Load {
    running: Running,
    start: Instant,
}

impl Load {
    /// Starts the load and waits for its first line.
    pub async fn start(sandbox: &Sandbox) -> Self {
        let dir = sandbox.dir.display().to_string();
        let vip = "203.0.113.10:80";
        let args = ["load", "--dir", &dir, "--vip", vip, "--rate", "120", "--flows", "60", "--for", "10m"];
        let mut load =
            Self { start: Instant::now(), running: Running::start(sandbox.command("maglev-sandbox", &args)) };
        load.progress().await;
        load
    }

    /// A line of progress of at least a second from now, in which each flow has sent a request.
    pub async fn progress(&mut self) -> String {
        let (now, deadline) = (self.start.elapsed().as_secs_f64(), Instant::now() + LIMIT);
        loop {
            assert!(Instant::now() < deadline, "no line of progress of the next second within {LIMIT:?}");
            let line = self.running.line().await.expect("the load is running");
            let second = line.trim_start().split_once("s  requests").and_then(|(second, _)| second.parse::<f64>().ok());
            if second.is_some_and(|second| second > now + 1.0) {
                return line;
            }
        }
    }

    /// Fails if a request has failed so far.
    pub async fn assert_unbroken(&mut self, after: &str) {
        let line = self.progress().await;
        assert!(line.contains("errors 0  broken flows 0  failed opens 0"), "after {after}: {line}");
    }

    /// Ends the load. Returns its summary, and its rows.
    pub async fn finish(self) -> (String, Vec<Row>) {
        let summary = self.running.interrupt().await;
        let rows = summary.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let rows = rows.filter(|row| row.len() == 7 && row[3] == "%").map(|row| Row {
            backend: row[0].to_owned(),
            flows: row[1].parse().unwrap(),
            broken: row[6].parse().unwrap(),
        });
        let rows = rows.collect();
        (summary, rows)
    }
}

/// `maglev-tester` on the demo's VIP, with JSON lines.
pub fn tester(sandbox: &Sandbox, args: &[&str]) -> Command {
    let program = sandbox.dir.join("bin/maglev-tester").display().to_string();
    sandbox.command("client", &[&[program.as_str(), "--output=json", URL], args].concat())
}

/// The result of a run of `maglev-tester`.
pub async fn tested(sandbox: &Sandbox, args: &[&str]) -> Value {
    let mut running = Running::start(tester(sandbox, args));
    loop {
        let line: Value = serde_json::from_str(&running.line().await.expect("a result")).unwrap();
        if line["type"] == "result" {
            return line;
        }
    }
}

/// Waits until 60 new connections in a row succeed and reach none but `expected`.
pub async fn until_only(sandbox: &Sandbox, expected: &[&str]) {
    let weights: Vec<_> = expected.iter().map(|name| format!("{name}=1")).collect();
    let expect = format!("--expect={}", weights.join(","));
    let args = ["--count=60", "--rate=200", "--timeout=5s", "--tolerance=100%", &expect];
    eventually(&format!("only {expected:?} get new connections"), async || {
        tested(sandbox, &args).await["passed"].as_bool().filter(|passed| *passed)
    })
    .await;
}
