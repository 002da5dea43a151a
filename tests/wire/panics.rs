//! A panic of any task or thread of a daemon ends the process.

use std::{
    os::unix::process::ExitStatusExt as _,
    process::{Command, Output},
};

use nix::sys::signal::Signal;

const MESSAGE: &str = "the \"index\" is\n3 too far";

/// Runs the program until it ends by itself.
fn run(format: &str, place: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_panicking-program"));
    let output = command.args([format, place]).env_remove("RUST_BACKTRACE").output().unwrap();
    assert_eq!(output.status.signal(), Some(Signal::SIGABRT as i32), "{place}: {output:?}");
    assert!(output.stderr.is_empty(), "{place}: {output:?}");
    output
}

#[test]
fn panic_anywhere_logs_one_line_and_aborts_the_process() {
    for place in ["task", "blocking", "thread", "detached"] {
        let json = String::from_utf8(run("json", place).stdout).unwrap();
        let [line] = json.lines().collect::<Vec<_>>()[..] else { panic!("{place}: one line expected: {json}") };
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!((&line["level"], &line["msg"]), (&"ERROR".into(), &"panic".into()), "{place}");
        assert_eq!(line["error"], MESSAGE, "{place}");
        assert!(line["location"].as_str().unwrap().contains("panicking_program.rs:"), "{line}");
        assert!(line["time"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{line}");
    }
}

#[test]
fn panic_is_one_line_of_a_text_log() {
    let text = String::from_utf8(run("text", "task").stdout).unwrap();
    let [line] = text.lines().collect::<Vec<_>>()[..] else { panic!("one line expected: {text}") };
    let (_, rest) = line.split_once(" ERROR panic error=").unwrap();
    assert!(rest.starts_with(&serde_json::to_string(MESSAGE).unwrap()), "{line}");
}

#[test]
fn panic_has_a_backtrace_if_the_environment_requests_it() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_panicking-program"));
    let output = command.args(["json", "thread"]).env("RUST_BACKTRACE", "1").output().unwrap();
    let line: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(line["backtrace"].as_str().unwrap().contains("panicking_program::fail"), "{line}");
}
