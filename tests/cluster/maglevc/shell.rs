//! The interactive shell of `maglevc` on a terminal.

use std::fs;
use std::path::PathBuf;

use super::super::harness::eventually;
use super::super::sandbox::Sandbox;
use super::terminal::Terminal;

const PROMPT: &str = "maglevc> ";
const CTRL_C: &str = "\u{3}";
const CTRL_D: &str = "\u{4}";
const UP: &str = "\u{1b}[A";

fn program() -> PathBuf {
    maglev_testkit::binary("maglevc")
}

pub async fn helps_completes_and_survives_an_agent_restart(sandbox: &Sandbox) {
    let mut terminal = Terminal::start(sandbox, &program(), "", &[]);
    terminal.expect(PROMPT).await;

    // Words can be abbreviated.
    terminal.keys("sh no\r").await;
    terminal.expect("node-b").await;
    terminal.expect(PROMPT).await;

    // Tab completes a word; ? shows help without Enter and keeps the line.
    terminal.keys("show vpp l\t").await;
    terminal.expect("show vpp lb ").await;
    terminal.keys("?").await;
    terminal.expect("counters  counters of VPP for each VIP and application server, and its sticky tables").await;
    terminal.expect("maglevc> show vpp lb ").await;
    terminal.keys("c\t\r").await;
    terminal.expect("NO-SERVER").await;
    terminal.expect(PROMPT).await;

    // Tab completes names of existing objects.
    terminal.keys("show backend spa\t").await;
    terminal.expect("show backend spare-").await;
    terminal.keys("\t\t").await;
    let offered = terminal.expect("spare-2").await;
    assert!(offered.contains("spare-1"), "{offered}");
    terminal.keys("2\r").await;
    terminal.expect("Backend:       default/spare-2").await;
    terminal.expect(PROMPT).await;

    // An unknown word gets a suggestion.
    terminal.keys("show nodse\r").await;
    terminal.expect("unknown word `nodse` after `show`").await;
    terminal.expect("did you mean nodes?").await;
    terminal.expect(PROMPT).await;

    // Ctrl-C ends the watch, not the shell.
    terminal.keys("watch events log level debug\r").await;
    terminal.expect("probe-start").await;
    terminal.keys(CTRL_C).await;
    terminal.expect(PROMPT).await;
    terminal.keys("status\r").await;
    terminal.expect("Everything is up").await;
    terminal.expect(PROMPT).await;

    reconnects_to_a_restarted_agent(sandbox, &mut terminal).await;

    // The arrow key goes back in the history; Ctrl-C discards the line.
    terminal.keys("help\r").await;
    terminal.expect("leave the shell").await;
    terminal.expect(PROMPT).await;
    terminal.keys(UP).await;
    terminal.expect("help").await;
    terminal.keys(CTRL_C).await;
    terminal.expect(PROMPT).await;
    terminal.keys(CTRL_D).await;
    assert_eq!(terminal.ended().await, Some(0));
    let history = fs::read_to_string(sandbox.dir.join(".local/state/maglevc/history")).unwrap();
    assert!(history.contains("show backend spare-2") && history.ends_with("help\n"), "{history}");
}

/// Checks that the port-forwarding through the API server is set up again to an agent's new pod.
async fn reconnects_to_a_restarted_agent(sandbox: &Sandbox, terminal: &mut Terminal) {
    let old = sandbox.agents().await;
    sandbox.kubectl(&["delete", &old[0], "--wait=false"]).await;
    eventually("a new agent pod exists", async || {
        let new = sandbox.agents().await;
        (new.len() == 2 && !new.contains(&old[0])).then_some(())
    })
    .await;
    let mut tries = 0;
    loop {
        terminal.keys("show nodes -o wide\r").await;
        let answer = terminal.expect("node-b").await + &terminal.expect(PROMPT).await;
        if answer.matches(" ready ").count() == 2 && !answer.contains(old[0].trim_start_matches("pod/")) {
            return;
        }
        tries += 1;
        assert!(tries < 100, "{answer}");
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
}

pub async fn colours_are_for_terminals_only(sandbox: &Sandbox) {
    let mut coloured = Terminal::start(sandbox, &program(), "status", &[]);
    coloured.expect("Everything is up").await;
    assert_eq!(coloured.ended().await, Some(0));
    assert!(coloured.raw().contains("\u{1b}[32m"), "{:?}", coloured.raw());
    let mut plain = Terminal::start(sandbox, &program(), "status", &[("NO_COLOR", "1")]);
    plain.expect("Everything is up").await;
    assert_eq!(plain.ended().await, Some(0));
    assert!(!plain.raw().contains('\u{1b}'), "{:?}", plain.raw());
}
