//! `maglevc` with agents and an API server whose answers contain control characters: none of them reaches the terminal.

mod api_server;

use std::{
    process::{Output, Stdio},
    sync::Arc,
    time::Duration,
};

use futures::future::join_all;
use jiff::Timestamp;
use tokio::{io::AsyncWriteExt as _, process::Command, time::interval};

use self::api_server::{ApiServer, Pod};
use maglev_model::{
    actual::LbDump, change::SyncHold, counters::StatsSnapshot, event::Event, printable::is_unprintable,
};
use maglev_rpc::server::Identity;
use maglev_telemetry::BusLimits;
use maglev_testkit::{AgentServer, ChangeGenerator, agent_server, binary, within};

const NAMES: [&str; 4] = ["a\u{1b}[2J", "b\rforged", "c\u{9b}2K", "d\u{202e}"];
const TEXTS: [&str; 6] = [
    "",
    "\u{1b}[2J\u{1b}[H",
    "x\nforged: everything is up",
    "\r\u{8}\u{7f}\0",
    "\u{1b}]0;title\u{7}\u{85}",
    "\u{2066}\u{9c}\t",
];
const HOLD: &str = "1f9b2c3d\u{1b}[8m\nforged\u{202e}";
/// Parts of the name of a node.
const NODE: [&str; 2] = ["c\u{1b}[8m", "\nforged"];
/// Number of changes of the agent's state.
const CHANGES: u64 = 200;
/// Commands for an agent without an API server. The others are `watch events`, the shell and completion.
const COMMANDS: [&[&str]; 25] = [
    &["status"],
    &["show", "version"],
    &["show", "nodes"],
    &["show", "frontends"],
    &["show", "frontend", "shop/a\u{1b}[2J"],
    &["show", "backends"],
    &["show", "backend", "shop/a\u{1b}[2J"],
    &["why", "backend", "shop/b\rforged"],
    &["doctor", "backend", "shop/c\u{9b}2K"],
    &["show", "healthchecks"],
    &["show", "vpp", "info"],
    &["show", "vpp", "lb", "state"],
    &["show", "vpp", "lb", "counters"],
    &["trace", "tcp", "198.51.100.7:40312", "10.0.0.1:1"],
    &["trace", "tcp", "198.51.100.7:40312", "x\u{1b}[8m\nforged"],
    &["whatif", "backend", "shop/a\u{1b}[2J", "down"],
    &["whatif", "node", "x\u{1b}[8m\nforged", "lost"],
    &["sync", "vpp", "lb", "state"],
    &["crds"],
    &["completion", "bash"],
    &["show", "backend", "nothing\u{1b}[2J"],
    &["show", "nodes", "--node", "x\u{1b}[8m\nforged"],
    &["accept", HOLD],
    &["show", "x\u{1b}[8m\nforged"],
    &["--x\u{1b}[8m\nforged"],
];
/// Commands with an API server, which has more texts.
const API_COMMANDS: [&[&str]; 9] = [
    &["status"],
    &["show", "nodes"],
    &["show", "version"],
    &["why", "backend", "shop/a\u{1b}[2J"],
    &["accept", HOLD],
    &["accept", "other\u{1b}[8m\nforged"],
    &["set", "backend", "shop/web", "pause", "--reason", "x\u{1b}[8m\nforged"],
    &["set", "backend", "shop/web", "pause", "--force"],
    &["set", "frontend", "shop/a\u{1b}[2J", "pool", "a\u{1b}[2J", "backend", "a\u{1b}[2J", "weight", "0"],
];

/// An agent of `node` with a hostile version and state, which holds removals.
async fn hostile_agent(node: &str) -> (AgentServer, ChangeGenerator) {
    let texts = TEXTS.map(str::to_owned).to_vec();
    let mut generator = ChangeGenerator::new(7).with_texts(NAMES.map(str::to_owned), texts);
    let agent = AgentServer::start_with(1, BusLimits::default(), |options, _| {
        let (node, version) = (node.to_owned(), format!("1{}", TEXTS.concat()));
        options.identity = Identity { node, version, ..agent_server::identity() };
    })
    .await;
    (0..CHANGES).for_each(|_| generator.emit_next(&agent.events));
    let hold = SyncHold { id: HOLD.into(), removals: 7, change: None, until: Timestamp::UNIX_EPOCH };
    agent.events.emit(Event::SyncHeld { hold });
    let (conf, actual) = (generator.conf(), generator.actual());
    agent.dump.send_replace(Some(Arc::new(LbDump { at: Timestamp::UNIX_EPOCH, conf, actual })));
    let counters = Some(generator.counters());
    let (version, build_date) = (TEXTS.concat(), TEXTS.concat());
    agent.counters.send_replace(Some(Arc::new(StatsSnapshot { version, build_date, pid: 7, counters })));
    agent.settled(CHANGES + 1).await;
    (agent, generator)
}

/// Runs the program with colours, as for a terminal.
async fn maglevc(words: &[&str], input: &str) -> Output {
    let mut command = Command::new(binary("maglevc"));
    command.args(words).env_clear().env("CLICOLOR_FORCE", "1").env("TERM", "xterm");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A command with words reads no lines.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    within(child.wait_with_output()).await.unwrap()
}

/// The text without the sequences of styles.
fn without_styles(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |plain, part| match part.split_once('m') {
        Some((parameters, rest)) if is_style(parameters) => plain + rest,
        _ => plain + "\u{1b}[" + part,
    })
}

/// True for the styles of `maglevc`. The hostile one conceals text.
fn is_style(parameters: &str) -> bool {
    parameters != "8" && parameters.chars().all(|c| c.is_ascii_digit() || c == ';')
}

/// Asserts that the output has no text that a terminal would obey, and no forged line.
fn assert_harmless(words: &[&str], output: &Output) {
    for text in [&output.stdout, &output.stderr] {
        let plain = without_styles(std::str::from_utf8(text).unwrap());
        let unprintable: Vec<char> = plain.chars().filter(|c| *c != '\n' && is_unprintable(*c)).collect();
        assert!(unprintable.is_empty(), "{words:?}: {unprintable:?} in {plain:?}");
        assert!(!plain.lines().any(|line| line.starts_with("forged")), "{words:?}: {plain}");
    }
}

/// Runs a command in each format. Returns the text of the columns and errors.
async fn run_harmless(words: &[&str], flags: &[&str]) -> String {
    let outputs = join_all(["wide", "json", "yaml"].map(async |format| {
        let words = [words, flags, &["--output", format]].concat();
        let output = maglevc(&words, "").await;
        assert_harmless(&words, &output);
        without_styles(&String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    }))
    .await;
    outputs.into_iter().next().unwrap()
}

#[tokio::test]
async fn hostile_agent_does_not_control_the_terminal() {
    let (agent, _) = hostile_agent(&NODE.concat()).await;
    let server = agent.address.to_string();
    for words in COMMANDS {
        run_harmless(words, &["--server", &server]).await;
    }
    agent.stop().await;
}

#[tokio::test]
async fn hostile_events_do_not_control_the_terminal() {
    let (agent, mut generator) = hostile_agent(&NODE.concat()).await;
    let server = agent.address.to_string();
    for format in ["table", "json", "yaml"] {
        let words = ["watch", "events", "num", "200", "level", "debug", "--server", &server, "--output", format];
        let output = maglevc(&words, "");
        tokio::pin!(output);
        let mut emit = interval(Duration::from_millis(10));
        let output = loop {
            tokio::select! {
                output = &mut output => break output,
                _ = emit.tick() => (0..10).for_each(|_| generator.emit_next(&agent.events)),
            }
        };
        assert_harmless(&words, &output);
        assert!(output.status.success() && output.stdout.split(|byte| *byte == b'\n').count() > 200, "{output:?}");
    }
    agent.stop().await;
}

#[tokio::test]
async fn hostile_words_in_the_shell_and_in_completion_do_not_control_the_terminal() {
    let (agent, _) = hostile_agent(&NODE.concat()).await;
    let server = ["--server", &agent.address.to_string()];
    for line in ["show 'x\u{1b}[8m\u{202e}'", "show backend 'x\u{1b}[8m'", "--x\u{1b}[8m", "'\u{1b}[8m"] {
        let output = maglevc(&server, &format!("{line}\n")).await;
        assert_harmless(&[line], &output);
        assert!(!output.status.success() && !output.stderr.is_empty(), "{output:?}");
    }
    for words in [&["show", "backend", ""][..], &["show", "frontend", ""], &["accept", ""], &["sh"], &["--node", ""]] {
        let words = [&["complete", "--"], &server[..], words].concat();
        let output = maglevc(&words, "").await;
        let text = String::from_utf8(output.stdout).unwrap();
        let is_allowed = |c: char| c == '\n' || c == '\t' || !is_unprintable(c);
        assert!(text.chars().all(is_allowed) && !text.contains("forged"), "{words:?}: {text:?}");
    }
    agent.stop().await;
}

#[tokio::test]
async fn hostile_api_server_does_not_control_the_terminal() {
    let hostile = NODE.concat();
    let nodes = ["node-a", "node-b", &hostile];
    let agents = join_all(nodes.map(hostile_agent)).await;
    let pod = |(node, (agent, _)): (&&str, &(AgentServer, _))| Pod {
        node: (*node).to_owned(),
        agent: agent.address,
        forwards: true,
    };
    let mut pods: Vec<Pod> = nodes.iter().zip(&agents).map(pod).collect();
    pods.push(Pod { node: "node-d".to_owned(), agent: agents[0].0.address, forwards: false });
    let api = ApiServer::start(pods, TEXTS.concat()).await;
    let mut pages = Vec::new();
    for words in API_COMMANDS {
        pages.push(run_harmless(words, &["--kubeconfig", &api.kubeconfig()]).await);
    }
    let accepted = &pages[4];
    for expected in ["node-a", "node-b", "cannot patch MaglevNode", "cannot read MaglevNode", "x\\u{a}forged"] {
        assert!(accepted.contains(expected), "{expected:?} is not in {accepted}");
    }
    assert!(pages[6].contains("is managed by") && pages[7].contains("cannot change Backend"), "{pages:?}");
    let broken = ApiServer::broken(TEXTS.concat()).await;
    for words in API_COMMANDS {
        let page = run_harmless(words, &["--kubeconfig", &broken.kubeconfig()]).await;
        assert!(page.contains("error:") && page.contains("x\n  forged"), "{words:?}: {page}");
    }
    for (agent, _) in agents {
        agent.stop().await;
    }
}
