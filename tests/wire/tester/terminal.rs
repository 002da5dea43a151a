//! The live table on a terminal, which `script` of util-linux provides.

use maglev_testkit::within;
use tokio::process::Command;

use super::servers::{VipServer, response};

/// Runs the program on a terminal of this size. Returns what it writes.
async fn on_terminal(columns: u16, rows: u16, args: &str) -> String {
    let binary = maglev_testkit::binary("maglev-tester");
    let line = format!("stty cols {columns} rows {rows}; {} {args}", binary.display());
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]).env("TERM", "xterm").env_remove("NO_COLOR");
    let output = within(script.stdin(std::process::Stdio::null()).kill_on_drop(true).output()).await;
    String::from_utf8(output.expect("script is installed").stdout).unwrap()
}

#[tokio::test]
async fn live_table_is_drawn_in_place_and_leaves_the_result() {
    let vip = VipServer::http(|_| response("web-1\n")).await;
    let url = vip.url("http");
    let text = on_terminal(40, 10, &format!("--rate 20 --count 20 --timeout 20s {url}")).await;
    let (live, result) = text.split_once("\u{1b}[?1049l").unwrap_or_else(|| panic!("{text:?}"));
    let frames: Vec<&str> = live.split("\u{1b}[?2026h").skip(1).collect();
    assert!(!frames.is_empty() && frames.iter().all(|frame| frame.starts_with("\u{1b}[H")), "{text:?}");
    assert!(!live.contains("\u{1b}[2J"), "the screen is not cleared: {live:?}");
    for line in frames.iter().flat_map(|frame| frame.split("\r\n")) {
        assert!(visible(line).trim_end_matches('\r').chars().count() <= 40, "{line:?}");
    }
    assert!(result.contains("1 of 1 VIPs passed") && result.contains("web-1"), "{result:?}");
    assert!(live.contains("\u{1b}[?25l") && live.contains("\u{1b}[?25h"), "the cursor is shown again: {text:?}");
}

/// The text without escape sequences.
fn visible(line: &str) -> String {
    let mut pieces = line.split("\u{1b}[");
    let first = pieces.next().unwrap_or_default().to_owned();
    let rest = pieces.map(|piece| piece.split_once(|c: char| c.is_ascii_alphabetic()).map_or("", |(_, text)| text));
    first + &rest.collect::<String>()
}
