//! The shell: lines with history, completion and help while typing, each run as a command of its own.
//!
//! Where standard input is no terminal, its lines are run one after the other, up to the first that fails.

mod editor;

use std::{io::BufRead as _, sync::Arc};

use anyhow::Context as _;

use self::editor::{Editor, Typed};
use super::{
    Program, Status,
    command::Command,
    completion::Place,
    flags::Flags,
    grammar::{Walk, first, help},
    run::{Run, complain, write},
    session::Session,
};

const WELCOME: &str = "Tab completes, ? says what may come next, Ctrl-D leaves.\n";

/// Reads lines until the end.
///
/// # Errors
/// If the terminal cannot be used.
pub async fn run(program: &Program, session: Arc<Session>, start: &Flags) -> anyhow::Result<Status> {
    write(WELCOME)?;
    // Names for completion come with the agents; whoever types is not made to wait for them.
    let early = tokio::spawn({
        let session = Arc::clone(&session);
        async move { drop(session.fleet().await) }
    });
    let namespace = session.namespace(start.namespace.as_deref()).await;
    let mut editor = Editor::new(Arc::clone(&session), namespace)?;
    let mut last = Status::Fine;
    loop {
        let (back, typed) = editor.read().await?;
        editor = back;
        match typed {
            Typed::Line(line) => match one(program, &session, start, &line).await {
                Ok(None) => break,
                Ok(Some(status)) => last = status,
                Err(error) => {
                    complain(&error);
                    last = Status::Problem;
                }
            },
            Typed::End => break,
        }
    }
    early.abort();
    Ok(last)
}

/// Runs a line; `None` if it ends the shell. Ctrl-C ends the command alone.
async fn one(program: &Program, session: &Arc<Session>, start: &Flags, line: &str) -> anyhow::Result<Option<Status>> {
    let words = shlex::split(line).context("a quote is not closed")?;
    if words.is_empty() || words[0].starts_with('#') {
        return Ok(Some(Status::Fine));
    }
    let flags = Flags::of_line(&words)?.over(start)?;
    if flags.help && !flags.words.is_empty() {
        write(&help::page(&Walk::along(true, &flags.words)?, ""))?;
        return Ok(Some(Status::Fine));
    }
    let command = if flags.help { Command::Help } else { Walk::command(true, &flags.words)? };
    match command {
        Command::Exit => return Ok(None),
        Command::Help => {
            let verbs: Vec<_> = first(true).iter().map(|entry| (entry.name(), entry.help)).collect();
            write(&help::table(&verbs))?;
            return Ok(Some(Status::Fine));
        }
        _ => {}
    }
    let run = Run { program, session, flags: &flags };
    tokio::select! {
        status = run.run(command) => status.map(Some),
        _ = tokio::signal::ctrl_c() => {
            write("\n")?;
            Ok(Some(Status::Fine))
        }
    }
}

/// Runs the lines of standard input.
///
/// # Errors
/// As the first command that fails.
pub async fn script(program: &Program, session: Arc<Session>, start: &Flags) -> anyhow::Result<Status> {
    for (number, line) in std::io::stdin().lock().lines().enumerate() {
        let line = line.context("cannot read standard input")?;
        match one(program, &session, start, &line).await.with_context(|| format!("line {}: {line}", number + 1))? {
            Some(Status::Fine) => {}
            Some(other) => return Ok(other),
            None => break,
        }
    }
    Ok(Status::Fine)
}

/// What is known of a place in a line without waiting for anybody.
fn place(left: &str) -> (Place, String) {
    let mut words = shlex::split(left).unwrap_or_default();
    let partial = match left.chars().last() {
        Some(last) if !last.is_whitespace() => words.pop().unwrap_or_default(),
        _ => String::new(),
    };
    (Place::of(true, &words, &partial), partial)
}
