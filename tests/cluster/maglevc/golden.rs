//! Compares the output of every command with `tests/cluster/golden/maglevc.txt`. Values that differ from run to run,
//! such as times and ages, are replaced by placeholders. `make golden` writes the file.

use std::fmt::Write as _;

use regex::Regex;

use super::super::harness::{eventually, root};
use super::super::sandbox::Sandbox;
use super::{maglevc, maglevc_output};

/// Commands while all backends are up, in this order.
const HEALTHY: [&str; 22] = [
    "status",
    "status --output json",
    "show nodes",
    "show nodes --output wide",
    "show version",
    "show frontends",
    "show frontends --node node-a --output wide",
    "show frontend web",
    "show frontend web --output json",
    "show backends",
    "show backend web-1 --node node-b",
    "show backend web-1 --output yaml",
    "why backend web-1 --node node-a",
    "doctor backend web-1",
    "doctor backend web-1 --output yaml",
    "show healthchecks --output wide",
    "show vpp info",
    "show vpp lb state --output wide",
    "show vpp lb counters",
    "sync vpp lb state",
    "sync vpp lb state --node node-a --output yaml",
    "completion bash",
];

const INVALID: [&str; 13] = [
    "show nodse",
    "sh b",
    "show backend",
    "show backend web-9",
    "show backend other/web-1",
    "show nodes --node node-z",
    "watch events num none",
    "set frontend web pool primary backend web-1 weight 101",
    "set frontend web pool third backend web-1 weight 1",
    "sync vpp lb state accept-removals nothing",
    "accept nothing",
    "show nodes --agent-namespace nowhere",
    "status --agent-namespace nowhere",
];

const OPERATOR_CHANGES: [&str; 9] = [
    "set backend web-1 pause --reason 'disk replaced'",
    "why backend web-1 --node node-a",
    "set backend web-1 enable",
    "set backend web-1 enable",
    "set frontend web pool primary backend web-2 weight 50 --output json",
    "show frontend web --node node-a",
    "set frontend web pool primary backend web-2 weight 10",
    "set frontend web pool standby backend spare-1 weight 0 --output yaml",
    "set frontend web pool standby backend spare-1 weight 10",
];

/// Runs all commands, makes backends fail in between, and compares the page.
pub async fn commands_match(sandbox: &Sandbox) {
    let mut page = String::new();
    until_counters_have_rates(sandbox).await;
    for line in HEALTHY.iter().chain(&INVALID).chain(&OPERATOR_CHANGES) {
        if line.starts_with("show frontend ") {
            until_verified(sandbox).await;
        }
        if page.contains("$ maglevc set backend web-1 pause ") && line.starts_with("why backend web-1") {
            until_drain_is_reported(sandbox).await;
        }
        run_line(sandbox, line, &mut page).await;
    }
    for (backend, line) in [("web-1", "status"), ("web-2", "show frontends --output wide")] {
        fail(sandbox, backend, &mut page).await;
        run_line(sandbox, line, &mut page).await;
    }
    for backend in ["web-3", "web-4"] {
        fail(sandbox, backend, &mut page).await;
    }
    // Just after the last backend of the primary pool went down, the other node may not have changed the pool.
    until_status(sandbox, "the Frontend is on standby", |status| status["standby"] == 1 && status["lastBackend"] == 0)
        .await;
    for line in
        ["status", "why backend spare-1 --node node-a", "set backend spare-1 disable", "set backend spare-2 disable"]
    {
        run_line(sandbox, line, &mut page).await;
    }
    run_line(sandbox, "set backend spare-2 disable --force", &mut page).await;
    until_status(sandbox, "VPP has counted dropped packets", |status| status["vipsDropping"] == 1).await;
    run_line(sandbox, "status", &mut page).await;
    for backend in ["web-1", "web-2", "web-3", "web-4"] {
        sandbox.backend(backend, "ok").await;
    }
    for backend in ["spare-1", "spare-2"] {
        maglevc_output(sandbox, &["set", "backend", backend, "enable"]).await;
    }
    eventually("all backends are up again", async || {
        let output = maglevc(sandbox, &maglev_testkit::binary("maglevc"), &["status"], "").await;
        String::from_utf8_lossy(&output.stdout).starts_with("Everything is up").then_some(())
    })
    .await;
    compare(&page);
}

/// Waits until every node has read the last change of the Frontend back from VPP.
async fn until_verified(sandbox: &Sandbox) {
    eventually("every node has programmed the current Frontend", async || {
        let output = maglevc_output(sandbox, &["show", "frontend", "web", "--output", "json"]).await;
        let frontend: serde_json::Value = serde_json::from_str(&output).unwrap();
        let nodes = frontend["perNode"].as_array()?;
        nodes.iter().all(|node| node["programmedGeneration"] == frontend["generation"]).then_some(())
    })
    .await;
}

/// Waits until the agent reports the drain of the paused Backend, whatever its state.
async fn until_drain_is_reported(sandbox: &Sandbox) {
    eventually("the drain of web-1 is reported", async || {
        let reasons = maglevc_output(sandbox, &["why", "backend", "web-1", "--node", "node-a"]).await;
        reasons.contains("  drain: ").then_some(())
    })
    .await;
}

/// Waits for a condition of the output of `maglevc status`.
async fn until_status(sandbox: &Sandbox, what: &str, is_so: fn(&serde_json::Value) -> bool) {
    eventually(what, async || {
        let words = ["status", "--output", "json"];
        let output = maglevc(sandbox, &maglev_testkit::binary("maglevc"), &words, "").await;
        let status: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
        is_so(&status).then_some(())
    })
    .await;
}

/// Waits until every agent has read the counters of all servers twice, and the sticky tables.
async fn until_counters_have_rates(sandbox: &Sandbox) {
    for node in ["node-a", "node-b"] {
        eventually(&format!("the counters of {node} have rates"), async || {
            let words = ["show", "vpp", "lb", "counters", "--node", node, "--output", "json"];
            let counters: serde_json::Value = serde_json::from_str(&maglevc_output(sandbox, &words).await).unwrap();
            let (servers, tables) = (counters["applicationServers"].as_array()?, counters["stickyTables"].as_array()?);
            let have_rates = servers.iter().all(|server| server["packetsPerSecond"].is_number());
            (servers.len() == 6 && have_rates && tables.len() == 1).then_some(())
        })
        .await;
    }
}

fn compare(page: &str) {
    let path = root().join("tests/cluster/golden/maglevc.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, page).unwrap();
        return;
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    let difference = golden.lines().zip(page.lines()).find(|(expected, actual)| expected != actual);
    assert!(
        golden == page,
        "the output differs from {}: review it, then run make golden\nfirst difference (expected, actual): {difference:#?}\n{page}",
        path.display()
    );
}

async fn fail(sandbox: &Sandbox, backend: &str, page: &mut String) {
    sandbox.backend(backend, "fail").await;
    let _ = writeln!(page, "# {backend} fails\n");
    eventually(&format!("{backend} is down on both nodes"), async || {
        let output = maglevc_output(sandbox, &["show", "backends", "--output", "json"]).await;
        let list: serde_json::Value = serde_json::from_str(&output).unwrap();
        let name = format!("default/{backend}");
        let entry = list["backends"].as_array()?.iter().find(|entry| entry["name"] == name)?;
        (entry["state"] == "down").then_some(())
    })
    .await;
}

async fn run_line(sandbox: &Sandbox, line: &str, page: &mut String) {
    let words = split(line);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let output = maglevc(sandbox, &maglev_testkit::binary("maglevc"), &words, "").await;
    let _ = writeln!(page, "$ maglevc {line}");
    page.push_str(&with_placeholders(line, &String::from_utf8(output.stdout).unwrap()));
    for error in String::from_utf8(output.stderr).unwrap().lines() {
        let _ = writeln!(page, "! {}", with_placeholders(line, error));
    }
    let _ = writeln!(page, "= {}\n", output.status.code().unwrap());
}

/// Splits a line into words. A word in single quotes may contain spaces.
fn split(line: &str) -> Vec<String> {
    line.split('\'')
        .enumerate()
        .flat_map(|(index, part)| match index % 2 {
            0 => part.split_whitespace().map(str::to_owned).collect(),
            _ => vec![part.to_owned()],
        })
        .collect()
}

/// The text with placeholders for values that differ from run to run.
fn with_placeholders(line: &str, text: &str) -> String {
    let mut text = text.replace(maglev_build_info::COMMIT, "unknown");
    let mut replace = |pattern: &str, by: &str| text = Regex::new(pattern).unwrap().replace_all(&text, by).into_owned();
    replace(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME");
    replace(r"maglevd-[a-z0-9]{5}\b", "maglevd-xxxxx");
    replace(r"\b\d+\.\d+ ?ms", "N ms");
    replace(r"(lastMs|probes|seconds)(.?): [0-9.]+", "$1$2: N");
    replace(r"(packets|bytes|packetsPerSecond|bytesPerSecond|flowsAtMost)(.?): [0-9.]+", "$1$2: N");
    // The traffic to a Backend on one node; the last column is the number of VIPs.
    replace(r"(?m)^(node-\w)  +\d+  +\d+  +\d+\.\d  +\d+\.\d  +\d+  +(\d+)$", "$1  N  N  N  N  N  $2");
    replace(r"after \d+\.\d s", "after N s");
    replace(r"(?m)^  drain: .*$", "  drain: STATE");
    // In the output of other commands, durations are ages; in these, settings.
    if !line.contains("healthchecks") && !line.contains("lb state") {
        replace(r"\b\d+[smh](\d+[sm])?\b", "AGE");
    }
    if line.contains("vpp info") || line.contains("counters") {
        replace(r"(?m) \d+(\.\d|%)?( |$)", " N$2");
        replace(r"(?m) \d+(\.\d|%)?( |$)", " N$2");
    }
    // The width of a column depends on the replaced values.
    replace(r"(\S) {2,}", "$1  ");
    replace(r"(?m) +$", "");
    text
}
