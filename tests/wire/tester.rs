//! The program `maglev-tester` against servers on loopback.

mod exit_status;
mod failures;
mod manifests;
mod servers;
mod shares;
mod sockets;
mod terminal;
mod tls;

use std::process::Stdio;

use maglev_testkit::within;
use serde_json::Value;
use tokio::process::Command;

/// Makes a flow succeed even on a machine without a free CPU.
const PATIENT: &str = "--timeout=20s";

/// The end of a run with JSON lines.
struct Finished {
    status: i32,
    lines: Vec<Value>,
    stdout: String,
    stderr: String,
}

impl Finished {
    /// The lines of one type.
    fn of_type(&self, name: &str) -> Vec<&Value> {
        self.lines.iter().filter(|line| line["type"] == name).collect()
    }

    /// The result of the only VIP.
    fn result(&self) -> &Value {
        match self.of_type("result")[..] {
            [result] => result,
            _ => panic!("one VIP was tested: {}{}", self.stdout, self.stderr),
        }
    }
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(maglev_testkit::binary("maglev-tester"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Runs the program to its end.
async fn run(args: &[&str]) -> Finished {
    let output = within(command(args).output()).await.unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    let lines = stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    Finished { status: output.status.code().expect("the program exits"), lines, stdout, stderr }
}
