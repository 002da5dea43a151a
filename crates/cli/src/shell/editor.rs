//! The line editor: rustyline, taught our words.
//!
//! It blocks, so it works on a thread for blocking work and is handed back with what was typed. `?` ends the line as
//! Enter would; we print the help and go on with the same text.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Context as _;
use rustyline::{
    Cmd, CompletionType, ConditionalEventHandler, Config, Context, Event, EventContext, EventHandler, Helper, KeyEvent,
    RepeatCount,
    completion::{Completer, Pair},
    error::ReadlineError,
    highlight::Highlighter,
    hint::Hinter,
    history::FileHistory,
    validate::Validator,
};

use super::place;
use crate::{
    grammar::{Read, Value},
    names::names,
    run::write,
    session::Session,
};

const PROMPT: &str = "maglevc> ";
/// Lines that are remembered from one shell to the next.
const REMEMBERED: usize = 1000;

/// The editor, its history and its words.
pub struct Editor {
    inner: rustyline::Editor<Words, FileHistory>,
    /// What stood left and right of the cursor when `?` was typed.
    asked: Arc<Mutex<Option<(String, String)>>>,
    history: Option<PathBuf>,
}

/// What came of a line.
pub enum Typed {
    /// It is complete.
    Line(String),
    /// Ctrl-D: there is no further one.
    End,
}

impl Editor {
    pub fn new(session: Arc<Session>, namespace: String) -> anyhow::Result<Self> {
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .max_history_size(REMEMBERED)?
            .history_ignore_space(true)
            .build();
        let mut inner = rustyline::Editor::with_config(config).context("cannot use the terminal")?;
        inner.set_helper(Some(Words { session, namespace }));
        let asked = Arc::default();
        let handler = EventHandler::Conditional(Box::new(Ask(Arc::clone(&asked))));
        inner.bind_sequence(KeyEvent::from('?'), handler);
        let history = history_file();
        if let Some(path) = &history {
            // There is none before the first shell.
            let _ = inner.load_history(path);
        }
        Ok(Self { inner, asked, history })
    }

    /// The next line, and the editor back.
    pub async fn read(mut self) -> anyhow::Result<(Self, Typed)> {
        let blocking = tokio::task::spawn_blocking(move || {
            let typed = self.read_line();
            typed.map(|typed| (self, typed))
        });
        blocking.await?
    }

    fn read_line(&mut self) -> anyhow::Result<Typed> {
        let mut text = (String::new(), String::new());
        loop {
            let line = self.inner.readline_with_initial(PROMPT, (&text.0, &text.1));
            let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner).take();
            text = match line {
                Ok(line) => match asked {
                    Some(asked) => {
                        self.help(&asked.0)?;
                        asked
                    }
                    None => {
                        self.remember(&line);
                        return Ok(Typed::Line(line));
                    }
                },
                // Ctrl-C gives the line up, not the shell.
                Err(ReadlineError::Interrupted) => Default::default(),
                Err(ReadlineError::Eof) => return Ok(Typed::End),
                Err(error) => return Err(error).context("cannot read from the terminal"),
            };
        }
    }

    fn help(&self, left: &str) -> std::io::Result<()> {
        let (place, partial) = place(left);
        let Some(words) = self.inner.helper() else { return Ok(()) };
        let nodes = words.nodes();
        write(&place.help(&partial, &|kind, read| words.names(kind, read), &nodes))
    }

    fn remember(&mut self, line: &str) {
        // A history that cannot be written is no reason to stop.
        let _ = self.inner.add_history_entry(line);
        if let Some(path) = &self.history {
            let _ = path.parent().map(std::fs::create_dir_all);
            let _ = self.inner.append_history(path);
        }
    }
}

/// `$XDG_STATE_HOME/maglevc/history`, by default under `~/.local/state`.
fn history_file() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")))?;
    Some(state.join("maglevc/history"))
}

/// Notes that help is wanted, unless the `?` is part of a quoted text.
struct Ask(Arc<Mutex<Option<(String, String)>>>);

impl ConditionalEventHandler for Ask {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, ctx: &EventContext<'_>) -> Option<Cmd> {
        let (left, right) = ctx.line().split_at(ctx.pos());
        shlex::split(left)?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((left.to_owned(), right.to_owned()));
        Some(Cmd::AcceptLine)
    }
}

/// Completes words, and names as far as the agents have told them by now.
struct Words {
    session: Arc<Session>,
    namespace: String,
}

impl Words {
    fn nodes(&self) -> Vec<maglev_fleet::NodeState> {
        self.session.known().map(maglev_fleet::FleetHandle::nodes).unwrap_or_default()
    }

    fn names(&self, kind: Value, read: &Read) -> Vec<String> {
        names(&self.nodes(), &self.namespace, kind, read)
    }
}

impl Completer for Words {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let (place, partial) = place(&line[..pos]);
        let found = place.candidates(&partial, &|kind, read| self.names(kind, read), &self.nodes());
        let pair = |(text, _): (String, String)| Pair { display: text.clone(), replacement: text + " " };
        Ok((pos - partial.len(), found.into_iter().map(pair).collect()))
    }
}

impl Hinter for Words {
    type Hint = String;
}

impl Highlighter for Words {}
impl Validator for Words {}
impl Helper for Words {}
