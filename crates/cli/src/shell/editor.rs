//! The line editor: rustyline with the grammar of maglevc.
//!
//! Reading blocks, so a blocking task takes the editor and returns it with the input. `?` ends the line like Enter; the
//! editor prints the help and continues with the same text.

use std::{path::PathBuf, sync::Arc};

use anyhow::Context as _;
use parking_lot::Mutex;
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

use super::cursor_context;
use crate::{
    completion::names,
    grammar::{ParsedLine, Value},
    run::write,
    session::Session,
};

const PROMPT: &str = "maglevc> ";
/// Maximum number of lines in the history file.
const HISTORY: usize = 1000;

pub struct Editor {
    inner: rustyline::Editor<Grammar, FileHistory>,
    /// The text left and right of the cursor when `?` was pressed.
    help_request: Arc<Mutex<Option<(String, String)>>>,
    history: Option<PathBuf>,
}

/// The result of reading a line.
pub enum Input {
    Line(String),
    /// Ctrl-D.
    End,
}

impl Editor {
    pub fn new(session: Arc<Session>, namespace: String) -> anyhow::Result<Self> {
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .max_history_size(HISTORY)?
            .history_ignore_space(true)
            .build();
        let mut inner = rustyline::Editor::with_config(config).context("cannot use the terminal")?;
        inner.set_helper(Some(Grammar { session, namespace }));
        let help_request = Arc::default();
        let handler = EventHandler::Conditional(Box::new(HelpKey(Arc::clone(&help_request))));
        inner.bind_sequence(KeyEvent::from('?'), handler);
        let history = history_file();
        if let Some(path) = &history {
            // The file is missing before the first use.
            let _ = inner.load_history(path);
        }
        Ok(Self { inner, help_request, history })
    }

    /// Reads the next line. Returns the editor as well.
    pub async fn read(mut self) -> anyhow::Result<(Self, Input)> {
        let blocking = tokio::task::spawn_blocking(move || {
            let input = self.read_line();
            input.map(|input| (self, input))
        });
        blocking.await?
    }

    fn read_line(&mut self) -> anyhow::Result<Input> {
        let mut text = (String::new(), String::new());
        loop {
            let line = self.inner.readline_with_initial(PROMPT, (&text.0, &text.1));
            let help_request = self.help_request.lock().take();
            text = match line {
                Ok(line) => match help_request {
                    Some(help_request) => {
                        self.help(&help_request.0)?;
                        help_request
                    }
                    None => {
                        self.add_to_history(&line);
                        return Ok(Input::Line(line));
                    }
                },
                // Ctrl-C discards the line, not the shell.
                Err(ReadlineError::Interrupted) => Default::default(),
                Err(ReadlineError::Eof) => return Ok(Input::End),
                Err(error) => return Err(error).context("cannot read from the terminal"),
            };
        }
    }

    fn help(&self, left: &str) -> std::io::Result<()> {
        let (context, partial) = cursor_context(left);
        let Some(grammar) = self.inner.helper() else { return Ok(()) };
        let nodes = grammar.nodes();
        write(&context.help(&partial, &|kind, line| grammar.names(kind, line), &nodes))
    }

    fn add_to_history(&mut self, line: &str) {
        // Errors are ignored: the shell works without a history file.
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

/// Handles `?`: requests help, unless the cursor is inside a quoted text.
struct HelpKey(Arc<Mutex<Option<(String, String)>>>);

impl ConditionalEventHandler for HelpKey {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, ctx: &EventContext<'_>) -> Option<Cmd> {
        let (left, right) = ctx.line().split_at(ctx.pos());
        shlex::split(left)?;
        *self.0.lock() = Some((left.to_owned(), right.to_owned()));
        Some(Cmd::AcceptLine)
    }
}

/// Completes words, and the names that the agents have reported so far.
struct Grammar {
    session: Arc<Session>,
    namespace: String,
}

impl Grammar {
    fn nodes(&self) -> Vec<maglev_fleet::NodeState> {
        self.session.fleet_if_started().map(maglev_fleet::FleetHandle::nodes).unwrap_or_default()
    }

    fn names(&self, kind: Value, line: &ParsedLine) -> Vec<String> {
        names(&self.nodes(), &self.namespace, kind, line)
    }
}

impl Completer for Grammar {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let (context, partial) = cursor_context(&line[..pos]);
        let candidates = context.candidates(&partial, &|kind, line| self.names(kind, line), &self.nodes());
        let pair = |(text, _): (String, String)| Pair { display: text.clone(), replacement: text + " " };
        Ok((pos - partial.len(), candidates.into_iter().map(pair).collect()))
    }
}

impl Hinter for Grammar {
    type Hint = String;
}

impl Highlighter for Grammar {}
impl Validator for Grammar {}
impl Helper for Grammar {}
