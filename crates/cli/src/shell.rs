//! The interactive shell, with history, completion and help. Each line is one command.
//!
//! If standard input is not a terminal, its lines are run until one fails.

mod editor;

use std::{io::BufRead as _, sync::Arc};

use anyhow::Context as _;

use self::editor::{Editor, Input};
use super::{
    ExitStatus, Program,
    command::Command,
    completion::CursorContext,
    flags::Flags,
    grammar::{LineParser, first, help},
    run::{Run, print_error, write},
    session::Session,
};

const WELCOME: &str = "Tab completes, ? shows what can follow, Ctrl-D exits.\n";

/// Reads and runs lines until the end.
///
/// # Errors
/// The terminal cannot be used.
pub async fn run(program: &Program, session: Arc<Session>, start: &Flags) -> anyhow::Result<ExitStatus> {
    write(WELCOME)?;
    // Connects early: names for completion come from the agents, and typing must not wait.
    let connect = tokio::spawn({
        let session = Arc::clone(&session);
        async move { drop(session.fleet().await) }
    });
    let namespace = session.namespace(start.namespace.as_deref()).await;
    let mut editor = Editor::new(Arc::clone(&session), namespace)?;
    let mut last = ExitStatus::Success;
    loop {
        let (returned, input) = editor.read().await?;
        editor = returned;
        match input {
            Input::Line(line) => match run_line(program, &session, start, &line).await {
                Ok(None) => break,
                Ok(Some(status)) => last = status,
                Err(error) => {
                    print_error(&error);
                    last = ExitStatus::Problem;
                }
            },
            Input::End => break,
        }
    }
    connect.abort();
    Ok(last)
}

/// Runs a line; `None` if the line ends the shell. Ctrl-C ends only the command.
async fn run_line(
    program: &Program,
    session: &Arc<Session>,
    start: &Flags,
    line: &str,
) -> anyhow::Result<Option<ExitStatus>> {
    let words = shlex::split(line).context("missing closing quote")?;
    if words.is_empty() || words[0].starts_with('#') {
        return Ok(Some(ExitStatus::Success));
    }
    let flags = Flags::from_line(&words)?.or_start_flags(start)?;
    if flags.help && !flags.words.is_empty() {
        write(&help::page(&LineParser::parse(true, &flags.words)?, ""))?;
        return Ok(Some(ExitStatus::Success));
    }
    let command = if flags.help { Command::Help } else { LineParser::command(true, &flags.words)? };
    match command {
        Command::Exit => return Ok(None),
        Command::Help => {
            let verbs: Vec<_> = first(true).iter().map(|entry| (entry.name(), entry.help)).collect();
            write(&help::table(&verbs))?;
            return Ok(Some(ExitStatus::Success));
        }
        _ => {}
    }
    let run = Run { program, session, flags: &flags };
    tokio::select! {
        status = run.run(command) => status.map(Some),
        _ = tokio::signal::ctrl_c() => {
            write("\n")?;
            Ok(Some(ExitStatus::Success))
        }
    }
}

/// Runs the lines of standard input.
///
/// # Errors
/// The error of the first command that fails.
pub async fn script(program: &Program, session: Arc<Session>, start: &Flags) -> anyhow::Result<ExitStatus> {
    for (number, line) in std::io::stdin().lock().lines().enumerate() {
        let line = line.context("cannot read standard input")?;
        match run_line(program, &session, start, &line).await.with_context(|| format!("line {}: {line}", number + 1))? {
            Some(ExitStatus::Success) => {}
            Some(other) => return Ok(other),
            None => break,
        }
    }
    Ok(ExitStatus::Success)
}

/// The context at the end of `left`, and the partial word there.
fn cursor_context(left: &str) -> (CursorContext, String) {
    let mut words = shlex::split(left).unwrap_or_default();
    let partial = match left.chars().last() {
        Some(last) if !last.is_whitespace() => words.pop().unwrap_or_default(),
        _ => String::new(),
    };
    (CursorContext::new(true, &words, &partial), partial)
}
