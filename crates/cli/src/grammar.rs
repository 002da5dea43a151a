//! The grammar of maglevc: one table, used for parsing, error messages, help and completion.
//!
//! ```text
//!  table ──▶ parser (prefixes, values) ─┬▶ Command
//!                                       ├▶ ParseError: the unexpected text and the allowed alternatives
//!                                       ├▶ help: for `?`, --help and docs/maglevc.md
//!                                       └▶ complete: for Tab in maglevc's shell and in the user's shell
//! ```
//!
//! Written by hand because clap lacks three features: unambiguous abbreviations at every position, `?` for help in the
//! middle of a line, and completion of names that the agents report (clap is used for flags only). This module does no
//! I/O: callers pass in the names for completion.

pub mod complete;
mod error;
pub mod help;
#[cfg(test)]
mod markdown;
mod parser;
mod table;
#[cfg(test)]
mod tests;
mod value;

pub use self::{error::ParseError, parser::LineParser, value::Value};
use super::command::Command;
use maglev_model::{trace::Flow, vip::Protocol};

/// A word or value of the grammar.
#[derive(Debug)]
pub struct GrammarEntry {
    pub(crate) token: Token,
    /// Help in one line: lower case, no full stop.
    pub(crate) help: &'static str,
    /// Further text for `--help`; may be empty.
    pub(crate) more: &'static str,
    /// A command line that uses the word; empty if the example of a longer command is enough.
    pub(crate) example: &'static str,
    pub(crate) next: Next,
}

#[derive(Clone, Copy, Debug)]
pub enum Token {
    Word(&'static str),
    Value(Value),
}

/// The possible continuations after an entry.
#[derive(Debug)]
pub enum Next {
    /// Nothing: the command is complete.
    Run(Make),
    /// Exactly one of these entries.
    Then(&'static [GrammarEntry]),
    /// Any of these entries, each at most once and in any order.
    Options(Make, &'static [GrammarEntry]),
    /// The end of an option: the remaining options can follow.
    Back,
}

/// Builds the command from the words and values of a line.
pub type Make = fn(&ParsedLine) -> Command;

/// The words and values of a line.
#[derive(Clone, Debug, Default)]
pub struct ParsedLine {
    words: Vec<&'static str>,
    values: Vec<(Value, String)>,
}

impl ParsedLine {
    fn has(&self, word: &str) -> bool {
        self.words.contains(&word)
    }

    /// The value of this kind, if present.
    pub fn value(&self, kind: Value) -> Option<&str> {
        self.values.iter().find(|(value_kind, _)| *value_kind == kind).map(|(_, value)| &**value)
    }

    /// The value of this kind, which the table makes mandatory.
    fn text(&self, kind: Value) -> String {
        self.value(kind).unwrap_or_default().to_owned()
    }

    /// The protocol, if present.
    pub fn protocol(&self) -> Option<Protocol> {
        let text = self.value(Value::Protocol)?;
        value::PROTOCOLS.iter().find(|(word, _)| *word == text).map(|(_, protocol)| *protocol)
    }

    /// The flow from a source to a destination.
    fn flow(&self) -> Option<Flow> {
        let endpoint = |kind| self.value(kind).and_then(value::endpoint);
        Flow::new(self.protocol()?, endpoint(Value::Source)?, endpoint(Value::Destination)?)
    }

    /// The value of this kind as a number; the parser has checked the value.
    fn number(&self, kind: Value) -> Option<u64> {
        self.value(kind)?.parse().ok()
    }
}

impl GrammarEntry {
    /// The word, or the placeholder of the value.
    pub fn name(&self) -> &'static str {
        match self.token {
            Token::Word(word) => word,
            Token::Value(value) => value.placeholder(),
        }
    }
}

/// The first words of a line, in the shell or on the command line.
pub fn first(shell: bool) -> Vec<&'static GrammarEntry> {
    let specific: &[GrammarEntry] = if shell { table::SHELL } else { table::ONE_SHOT };
    table::VERBS.iter().chain(specific).collect()
}
