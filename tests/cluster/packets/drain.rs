//! Drains, on packets: a stream through a VIP keeps its backend from being drained, on two nodes.

use std::fs;
use std::process::{ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use tokio::time::Instant;

use super::clients::Running;
use super::{PRIMARY, print};
use crate::harness::eventually;
use crate::sandbox::Sandbox;

/// The settings of both nodes. The flow timeout is short, so that a drain is.
const SETTINGS: &str = "
apiVersion: maglev.vpp.io/v1alpha1
kind: LoadBalancerConfig
metadata: {name: short-flows}
spec: {vpp: {flowTimeout: 5s}}
";

/// A Frontend with one backend.
const SINGLE: &str = "
apiVersion: maglev.vpp.io/v1alpha1
kind: Frontend
metadata: {name: single}
spec:
  address: 203.0.113.21
  protocol: TCP
  port: 80
  pools:
  - {name: primary, backends: [{name: spare-1}]}
";

/// Longer than the flow timeout, in lines of a stream, one each second.
const LINES: usize = 15;

/// A stream through the VIP.
struct Stream {
    running: Running,
    /// The backend that answers.
    backend: String,
}

/// The backend that a line of a stream names, after the number of the line.
fn backend_in(line: &str) -> &str {
    line.split_whitespace().nth(1).unwrap_or_default()
}

impl Stream {
    async fn open(sandbox: &Sandbox) -> Self {
        let args = ["curl", "-sSN", "http://203.0.113.10/stream"];
        let mut command = sandbox.command("client", &args);
        command.stderr(Stdio::null());
        let mut running = Running::start(command);
        let line = running.line().await.expect("the stream begins");
        let backend = backend_in(&line).to_owned();
        assert!(PRIMARY.contains(&&*backend), "{line}");
        Self { running, backend }
    }

    async fn assert_lines(&mut self, count: usize) {
        for _ in 0..count {
            let line = self.running.line().await.expect("the stream goes on");
            assert_eq!(backend_in(&line), self.backend, "{line}");
        }
    }

    /// Waits until the stream has ended by itself.
    async fn ended(mut self) {
        while self.running.line().await.is_some() {}
    }
}

/// `STATUS REASON MESSAGE` of the condition Drained; empty without it.
async fn drained(sandbox: &Sandbox, backend: &str) -> String {
    let field = |name: &str| format!(r#"{{.status.conditions[?(@.type=="Drained")].{name}}}"#);
    let path = format!("jsonpath={} {} {}", field("status"), field("reason"), field("message"));
    sandbox.kubectl(&["get", "mbe", backend, "-o", &path]).await.trim().to_owned()
}

async fn until_drained_is(sandbox: &Sandbox, backend: &str, expected: &str) {
    let starts = async || drained(sandbox, backend).await.starts_with(expected).then_some(());
    eventually(&format!("Drained of {backend} is {expected}"), starts).await;
}

async fn maglevc(sandbox: &Sandbox, args: &[&str]) -> (ExitStatus, String) {
    let output = sandbox.tool("maglevc", args).await;
    let text = [output.stdout, output.stderr].concat();
    (output.status, String::from_utf8(text).unwrap())
}

/// Enables a backend, also one that kubectl paused.
async fn undrain(sandbox: &Sandbox, backend: &str) {
    let (status, output) = maglevc(sandbox, &["undrain", "backend", backend, "--force"]).await;
    assert!(status.success(), "{output}");
    eventually("Drained is gone", async || drained(sandbox, backend).await.is_empty().then_some(())).await;
}

async fn apply(sandbox: &Sandbox, name: &str, manifest: &str) {
    let path = sandbox.dir.join(name);
    fs::write(&path, manifest).unwrap();
    sandbox.kubectl(&["apply", "-f", &path.display().to_string()]).await;
}

/// The condition follows a stream, and a node that is silent.
async fn condition(sandbox: &Sandbox) {
    let mut stream = Stream::open(sandbox).await;
    let backend = stream.backend.clone();
    let object = format!("mbe/{backend}");
    sandbox.kubectl(&["patch", &object, "--type=merge", "-p", r#"{"spec": {"adminState": "Paused"}}"#]).await;
    until_drained_is(sandbox, &backend, "False FlowsLeft").await;
    for _ in 0..LINES {
        stream.assert_lines(1).await;
        let condition = drained(sandbox, &backend).await;
        assert!(condition.starts_with("False FlowsLeft "), "while the stream runs: {condition}");
    }
    stream.running.interrupt_any().await;
    let ended = Instant::now();
    sandbox.kubectl(&["wait", "--for=condition=Drained", &object, "--timeout=30s"]).await;
    print(&format!("drained {:.1} s after the end of the stream\n", ended.elapsed().as_secs_f64()));
    let condition = drained(sandbox, &backend).await;
    assert!(condition.contains("node-a: ") && condition.contains("node-b: "), "{condition}");

    let agent = sandbox.process("/maglevd ").expect("an agent runs");
    kill(agent, Signal::SIGSTOP).unwrap();
    until_drained_is(sandbox, &backend, "Unknown NodeSilent").await;
    let condition = drained(sandbox, &backend).await;
    assert!(condition.contains("does not report"), "{condition}");
    // The kubelet may have killed it meanwhile, because its probes fail.
    let _ = kill(agent, Signal::SIGCONT);
    until_drained_is(sandbox, &backend, "True ").await;
    undrain(sandbox, &backend).await;
}

/// `maglevc drain` ends with the stream.
async fn command(sandbox: &Sandbox) {
    let stream = Stream::open(sandbox).await;
    let backend = stream.backend.clone();
    let mut drain = Running::start(sandbox.command("maglevc", &["drain", "backend", &backend, "--reason", "test"]));
    loop {
        let line = drain.line().await.expect("maglevc waits");
        if line.contains(" at most") && line.contains("bit/s") {
            break;
        }
    }
    stream.running.interrupt_any().await;
    let (status, rest) = drain.finish().await;
    assert!(status.success() && rest.contains(&format!("Backend default/{backend} is drained after ")), "{rest}");
    assert!(rest.contains(&format!("undo with: maglevc undrain backend default/{backend}")), "{rest}");
    undrain(sandbox, &backend).await;
}

/// The deadline ends the stream if it flushes, and the drain only if it does not.
async fn deadline(sandbox: &Sandbox) {
    let mut stream = Stream::open(sandbox).await;
    let backend = stream.backend.clone();
    let (status, output) = maglevc(sandbox, &["drain", "backend", &backend, "--deadline", "3s"]).await;
    assert_eq!(status.code(), Some(1), "{output}");
    assert!(output.contains("is not drained after") && output.contains("FlowsLeft"), "{output}");
    stream.assert_lines(2).await;
    let args = ["drain", "backend", &backend, "--deadline", "3s", "--flush-at-deadline", "-o", "json"];
    let (status, output) = maglevc(sandbox, &args).await;
    assert!(status.success(), "{output}");
    let result: serde_json::Value = serde_json::from_str(&output).unwrap();
    assert_eq!(result["backends"][0]["reason"], "Flushed", "{output}");
    stream.ended().await;
    until_drained_is(sandbox, &backend, "True Flushed").await;
    let mut logs = String::new();
    for agent in sandbox.agents().await {
        logs += &sandbox.kubectl(&["logs", &agent]).await;
    }
    let name = format!("name=default/{backend} action=Flush");
    assert!(logs.lines().any(|line| line.contains("drain-deadline") && line.contains(&name)), "{logs}");
    let events = async || {
        let events = sandbox.kubectl(&["get", "events", "--field-selector", "reason=Drained", "-o", "wide"]).await;
        events.lines().any(|line| line.contains(&backend) && line.contains("flows flushed")).then_some(())
    };
    eventually("a Kubernetes Event says that the flows were flushed", events).await;
    undrain(sandbox, &backend).await;
}

/// The last backend of a Frontend is drained only with `--force`.
async fn last_backend(sandbox: &Sandbox) {
    apply(sandbox, "single.yaml", SINGLE).await;
    sandbox.kubectl(&["wait", "--for=condition=Available", "mfe/single", "--timeout=60s"]).await;
    let (status, output) = maglevc(sandbox, &["drain", "backend", "spare-1"]).await;
    assert!(status.code() == Some(1) && output.contains("use --force"), "{output}");
    let (status, output) = maglevc(sandbox, &["drain", "backend", "spare-1", "--force"]).await;
    assert!(status.success() && output.contains("no tracked flows"), "{output}");
    let (status, output) = maglevc(sandbox, &["drain", "node", "node-a"]).await;
    assert!(
        status.code() == Some(1) && output.contains("no Backend to change has an address of Node node-a ("),
        "{output}"
    );
    undrain(sandbox, "spare-1").await;
}

pub async fn drains(sandbox: &Sandbox) {
    apply(sandbox, "settings.yaml", SETTINGS).await;
    let pushed = async || {
        let mut count = 0;
        for agent in sandbox.agents().await {
            let log = sandbox.kubectl(&["logs", &agent]).await;
            count += usize::from(
                log.lines().any(|line| line.contains("vpp-lb-conf-set") && line.contains("flow-timeout=5")),
            );
        }
        (count == 2).then_some(())
    };
    eventually("both VPPs have the flow timeout", pushed).await;
    condition(sandbox).await;
    command(sandbox).await;
    deadline(sandbox).await;
    last_backend(sandbox).await;
}
