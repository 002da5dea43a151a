//! The words of maglevc: one table, from which parsing, errors, help and completion all follow.
//!
//! ```text
//!  table ──▶ walk (prefixes, values) ─┬▶ Command
//!                                     ├▶ Wrong: what was found, what is allowed there
//!                                     ├▶ help: for `?`, --help and docs/maglevc.md
//!                                     └▶ complete: for Tab in the shell and in the user's own
//! ```
//!
//! A word may be shortened as long as only one fits. Nothing here talks to anybody: names for completion are asked of
//! the caller.

pub mod complete;
pub mod help;
#[cfg(test)]
mod markdown;
mod table;
#[cfg(test)]
mod tests;
mod value;
mod walk;
mod wrong;

pub use self::{value::Value, walk::Walk, wrong::Wrong};
use super::command::Command;

/// A place in the table.
#[derive(Debug)]
pub struct Entry {
    /// What stands here.
    pub(crate) token: Token,
    /// What it is, in one line.
    pub(crate) help: &'static str,
    /// More about it, for `--help`; may be empty.
    pub(crate) more: &'static str,
    /// A command line that shows its use; empty for what a longer one shows.
    pub(crate) example: &'static str,
    /// What may follow.
    pub(crate) next: Next,
}

/// What stands at one place.
#[derive(Clone, Copy, Debug)]
pub enum Token {
    Word(&'static str),
    /// A value of this kind.
    Value(Value),
}

/// What may follow.
#[derive(Debug)]
pub enum Next {
    /// Nothing: the command is complete.
    Run(Make),
    /// One of these must.
    Then(&'static [Entry]),
    /// Nothing, or these, each once and in any order.
    Options(Make, &'static [Entry]),
    /// What follows the option that ends here.
    Back,
}

/// Makes the command of what was read.
pub type Make = fn(&Read) -> Command;

/// The words and values of a line.
#[derive(Clone, Debug, Default)]
pub struct Read {
    words: Vec<&'static str>,
    values: Vec<(Value, String)>,
}

impl Read {
    /// Whether `word` was among them.
    fn has(&self, word: &str) -> bool {
        self.words.contains(&word)
    }

    /// The value of this kind, if one was given.
    pub fn value(&self, kind: Value) -> Option<&str> {
        self.values.iter().find(|(of, _)| *of == kind).map(|(_, value)| &**value)
    }

    /// The value of this kind; the table sees to it that there is one.
    fn text(&self, kind: Value) -> String {
        self.value(kind).unwrap_or_default().to_owned()
    }

    /// The last value of this kind as a number; the walk has checked that it is one.
    fn number(&self, kind: Value) -> Option<u64> {
        self.value(kind)?.parse().ok()
    }
}

impl Entry {
    /// The word, or the value's placeholder.
    pub fn name(&self) -> &'static str {
        match self.token {
            Token::Word(word) => word,
            Token::Value(value) => value.placeholder(),
        }
    }
}

/// The words that a line can begin with; those of the shell only with `shell`.
pub fn first(shell: bool) -> Vec<&'static Entry> {
    let shells: &[Entry] = if shell { table::SHELL } else { table::ONE_SHOT };
    table::VERBS.iter().chain(shells).collect()
}
