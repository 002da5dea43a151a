//! `maglevc` and an agent whose objects and answers contain control characters: none of them reaches the terminal.

use std::{process::Output, sync::Arc};

use futures::future::join_all;
use jiff::Timestamp;
use tokio::process::Command;

use maglev_model::{actual::LbDump, counters::StatsSnapshot, printable::is_unprintable};
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
/// Number of changes of the agent's state.
const CHANGES: u64 = 200;
const COMMANDS: [&[&str]; 14] = [
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
    &["show", "backend", "nothing\u{1b}[2J"],
];

/// An agent with a hostile name, version and state.
async fn hostile_agent() -> AgentServer {
    let texts = TEXTS.map(str::to_owned).to_vec();
    let mut generator = ChangeGenerator::new(7).with_texts(NAMES.map(str::to_owned), texts);
    let agent = AgentServer::start_with(1, BusLimits::default(), |options, _| {
        let text = TEXTS.concat();
        let (node, version) = (format!("node-a{text}"), format!("1{text}"));
        options.identity = Identity { node, version, ..agent_server::identity() };
    })
    .await;
    (0..CHANGES).for_each(|_| generator.emit_next(&agent.events));
    let (conf, actual) = (generator.conf(), generator.actual());
    agent.dump.send_replace(Some(Arc::new(LbDump { at: Timestamp::UNIX_EPOCH, conf, actual })));
    let counters = Some(generator.counters());
    let (version, build_date) = (TEXTS.concat(), TEXTS.concat());
    agent.counters.send_replace(Some(Arc::new(StatsSnapshot { version, build_date, pid: 7, counters })));
    agent.settled(CHANGES).await;
    agent
}

/// Runs the program with colours, as for a terminal.
async fn maglevc(agent: &AgentServer, words: &[&str]) -> Output {
    let server = agent.address.to_string();
    let mut command = Command::new(binary("maglevc"));
    command.args(words).args(["--server", &server]).env_clear().env("CLICOLOR_FORCE", "1").env("TERM", "xterm");
    within(command.kill_on_drop(true).output()).await.unwrap()
}

/// The text without the sequences of styles.
fn without_styles(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |plain, part| match part.split_once('m') {
        Some((parameters, rest)) if parameters.chars().all(|c| c.is_ascii_digit() || c == ';') => plain + rest,
        _ => plain + "\u{1b}[" + part,
    })
}

/// Asserts that the output of a command in one format has no text that a terminal would obey, and no forged line.
async fn assert_harmless(agent: &AgentServer, words: &[&str], format: &str) {
    let words: Vec<&str> = words.iter().copied().chain(["--output", format]).collect();
    let output = maglevc(agent, &words).await;
    for text in [&output.stdout, &output.stderr] {
        let plain = without_styles(std::str::from_utf8(text).unwrap());
        let unprintable: Vec<char> = plain.chars().filter(|c| *c != '\n' && is_unprintable(*c)).collect();
        assert!(unprintable.is_empty(), "{words:?}: {unprintable:?} in {plain:?}");
        assert!(!plain.lines().any(|line| line.starts_with("forged")), "{words:?}: {plain}");
    }
}

#[tokio::test]
async fn hostile_agent_does_not_control_the_terminal() {
    let agent = hostile_agent().await;
    for words in COMMANDS {
        join_all(["wide", "json", "yaml"].map(|format| assert_harmless(&agent, words, format))).await;
    }
    agent.stop().await;
}
