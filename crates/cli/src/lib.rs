//! `maglevc`, the command line: one command, or a shell. Called by its binary.
//!
//! ```text
//!  words, flags ─▶ grammar ─▶ Command ─▶ run ─┬▶ session: agents (fleet, rpc), API server (k8s)
//!                    ▲                         ├▶ one file per noun: what was found, as a plain value
//!          shell: Tab, ?, history              └▶ output: columns, JSON, YAML
//! ```
//!
//! It asks the agents themselves, through the API server's port-forward or at given addresses; the API server is only
//! asked where the agents are, who somebody is, and who wrote an object. `set` is the one thing that writes, and it
//! writes custom resources only.

mod across;
mod ask;
mod backend;
mod command;
mod completion;
mod crds;
mod events;
mod flags;
mod forward;
mod frontend;
mod grammar;
mod health_check;
mod names;
mod node;
mod output;
mod paint;
mod run;
mod session;
mod set;
mod shell;
mod status;
mod sync;
mod vpp;
mod weights;

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
    grammar::{Walk, first, help},
    run::{Run, complain, write},
    session::Session,
};

/// A command line that makes no sense (`EX_USAGE` of sysexits.h).
const USAGE: u8 = 64;

struct Program {
    /// As its user calls it: `maglevc`, or `kubectl maglev`.
    name: &'static str,
    build: Build,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    /// As it should.
    Fine,
    /// It did not all work out.
    Problem,
    /// As `status` found the nodes.
    Verdict(status::Verdict),
}

impl Status {
    fn code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Problem => 1,
            Self::Verdict(verdict) => verdict.code(),
        }
    }
}

/// Runs the program with these arguments, its own name first; the exit status.
pub async fn main(args: Vec<String>, build: Build) -> u8 {
    let called = args.first().and_then(|arg| Path::new(arg).file_name()?.to_str()).unwrap_or_default();
    if called == "kubectl_complete-maglev" {
        return complete(args.get(1..).unwrap_or_default(), Some("4")).await;
    }
    let name = if called == "kubectl-maglev" { "kubectl maglev" } else { "maglevc" };
    let program = Program { name, build };
    let flags = match Flags::of_line(args.get(1..).unwrap_or_default()) {
        Ok(flags) => flags,
        Err(error) => {
            let _ = error.print();
            return USAGE;
        }
    };
    match start(&program, flags).await {
        Ok(code) => code,
        // Whoever reads has seen enough, as head(1) does.
        Err(error) if is_broken_pipe(&error) => 0,
        Err(error) => {
            complain(&error);
            if error.is::<grammar::Wrong>() { USAGE } else { 1 }
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
        write(&teach(program, &flags)?)?;
        return Ok(0);
    }
    let session = Arc::new(Session::new(flags.clone()));
    let status = match (flags.words.is_empty(), io::stdin().is_terminal()) {
        (false, _) => {
            let command = Walk::command(false, &flags.words)?;
            Run { program, session: &session, flags: &flags }.run(command).await?
        }
        (true, true) => shell::run(program, session, &flags).await?,
        (true, false) => shell::script(program, session, &flags).await?,
    };
    Ok(status.code())
}

/// The page for `--help`.
fn teach(program: &Program, flags: &Flags) -> Result<String, grammar::Wrong> {
    if !flags.words.is_empty() {
        return Ok(help::page(&Walk::along(false, &flags.words)?, program.name));
    }
    let verbs: Vec<_> = first(false).iter().map(|entry| (entry.name(), entry.help)).collect();
    Ok(Flags::overview(program.name, &help::table(&verbs)))
}

/// Prints what the last of `words` can become; `directive` is what kubectl wants to be told of its kind.
async fn complete(words: &[String], directive: Option<&str>) -> u8 {
    let found = completion::candidates(words).await;
    let line = |(text, help): (String, String)| if help.is_empty() { text + "\n" } else { format!("{text}\t{help}\n") };
    let mut text: String = found.into_iter().map(line).collect();
    if let Some(directive) = directive {
        text.push_str(&format!(":{directive}\n"));
    }
    if write(&text).is_ok() { 0 } else { 1 }
}
