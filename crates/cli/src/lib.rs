//! `maglevc`, the command line: runs one command, or a shell. Called by its binary.
//!
//! ```text
//!  words, flags ─▶ grammar ─▶ Command ─▶ run ─┬▶ session: agents (fleet, rpc), API server (kube)
//!                    ▲                         ├▶ one file per noun: the result as a plain value
//!          shell: Tab, ?, history              └▶ output: columns, JSON, YAML
//! ```
//!
//! Data comes from the agents, through the API server's port-forward or directly (`--server`). The API server provides
//! only the list of agents, the user's identity, the last writer of an object, the AddressPolicies, and Services with their Frontends; for `diff`, also
//! the stored objects and dry runs. Only `set` and `accept` write, and they
//! write only custom resources.

mod accept;
mod address;
mod agent_access;
mod backend;
mod command;
mod completion;
mod coverage;
mod diff;
mod doctor;
mod drain;
mod events;
mod fan_out;
mod flags;
mod forward;
mod frontend;
mod grammar;
mod health_check;
#[cfg(test)]
mod hostile;
mod node;
mod output;
mod path;
mod policy;
mod preview;
mod run;
mod service;
mod session;
mod set;
mod shell;
mod status;
mod style;
mod sync;
mod trace;
mod traffic;
mod vpp;
mod weights;
mod what_if;

use std::{
    io::{self, IsTerminal as _},
    path::Path,
    sync::Arc,
};

pub use self::{
    flags::{Flags, Output},
    node::Build,
};
use self::{
    grammar::{LineParser, first, help},
    run::{Run, print_error, write, write_error},
    session::Session,
};

/// Exit status for an invalid command line (`EX_USAGE` in sysexits.h).
const USAGE: u8 = 64;
/// Exit status for a failure of `diff`, as for `kubectl diff`.
const DIFF_FAILED: u8 = 2;

struct Program {
    /// The name in help texts: `maglevc`, or `kubectl maglev`.
    name: &'static str,
    build: Build,
}

/// The result of a command without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ExitStatus {
    Success,
    /// The command was incomplete, such as a change that has not reached all nodes.
    Problem,
    /// The result of `status`.
    Health(status::ClusterHealth),
}

impl ExitStatus {
    fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Problem => 1,
            Self::Health(health) => health.code(),
        }
    }
}

/// Runs the program with these arguments, of which the first is its name. Returns the exit status.
pub async fn main(args: Vec<String>, build: Build) -> u8 {
    let program_name = args.first().and_then(|arg| Path::new(arg).file_name()?.to_str()).unwrap_or_default();
    if program_name == "kubectl_complete-maglev" {
        return complete(args.get(1..).unwrap_or_default(), Some("4")).await;
    }
    let name = if program_name == "kubectl-maglev" { "kubectl maglev" } else { "maglevc" };
    let program = Program { name, build };
    let flags = match Flags::from_line(args.get(1..).unwrap_or_default()) {
        Ok(flags) => flags,
        Err(error) => {
            print_clap_error(&error);
            return USAGE;
        }
    };
    match start(&program, flags).await {
        Ok(code) => code,
        // The reader closed the pipe early, like head(1).
        Err(error) if is_broken_pipe(&error) => 0,
        Err(error) => {
            print_error(&error);
            match error {
                error if error.is::<grammar::ParseError>() => USAGE,
                error if error.is::<diff::DiffError>() => DIFF_FAILED,
                _ => 1,
            }
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

async fn start(program: &Program, flags: Flags) -> anyhow::Result<u8> {
    if flags.version {
        write(&format!("maglevc {} (commit {})\n", program.build.version, program.build.commit))?;
        return Ok(0);
    }
    if flags.words.first().is_some_and(|word| word == "complete") {
        return Ok(complete(&flags.words[1..], None).await);
    }
    if flags.help {
        write(&help_text(program, &flags)?)?;
        return Ok(0);
    }
    let session = Arc::new(Session::new(flags.clone()));
    let status = match (flags.words.is_empty(), io::stdin().is_terminal()) {
        (false, _) => {
            let command = LineParser::command(false, &flags.words)?;
            Run { program, session: &session, flags: &flags }.run(command).await?
        }
        (true, true) => shell::run(program, session, &flags).await?,
        (true, false) => shell::script(program, session, &flags).await?,
    };
    Ok(status.code())
}

/// The text of `--help`.
fn help_text(program: &Program, flags: &Flags) -> Result<String, grammar::ParseError> {
    if !flags.words.is_empty() {
        return Ok(help::page(&LineParser::parse(false, &flags.words)?, program.name));
    }
    let verbs: Vec<_> = first(false).iter().map(|entry| (entry.name(), entry.help)).collect();
    Ok(Flags::overview(program.name, &help::table(&verbs)))
}

/// Prints the candidates for the last of `words`; `directive` is the completion directive that kubectl expects.
async fn complete(words: &[String], directive: Option<&str>) -> u8 {
    let candidates = completion::candidates(words).await;
    let line = |(text, help): (String, String)| if help.is_empty() { text + "\n" } else { format!("{text}\t{help}\n") };
    let mut text: String = candidates.into_iter().map(line).collect();
    if let Some(directive) = directive {
        text.push_str(&format!(":{directive}\n"));
    }
    // A tab separates a candidate from its help, so the text is not for a terminal: `candidates` has no unprintable ones.
    if print(&text).is_ok() { 0 } else { 1 }
}

fn print(text: &str) -> io::Result<()> {
    use io::Write as _;
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Prints the error of an invalid line.
fn print_clap_error(error: &clap::Error) {
    write_error(&clap_error_text(error));
}

fn clap_error_text(error: &clap::Error) -> String {
    error.render().ansi().to_string()
}
