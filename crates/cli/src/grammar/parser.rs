//! Parses a line by walking through the table word by word.

use super::{GrammarEntry, Make, Next, ParseError, ParsedLine, Token, first};
use crate::command::Command;

/// The position in the table after some words of a line.
#[derive(Clone, Debug)]
pub struct LineParser {
    path: Vec<&'static GrammarEntry>,
    line: ParsedLine,
    /// The entries that can follow.
    allowed: Vec<&'static GrammarEntry>,
    /// Set if the line is a complete command.
    make: Option<Make>,
    /// The options not used yet, and the command that they belong to.
    options: Option<(Vec<&'static GrammarEntry>, Make)>,
}

impl LineParser {
    /// The parser at the start of a line; `shell` selects the grammar of the interactive shell.
    pub fn new(shell: bool) -> Self {
        Self { path: Vec::new(), line: ParsedLine::default(), allowed: first(shell), make: None, options: None }
    }

    /// Parses `words`, which can be an incomplete command.
    pub fn parse(shell: bool, words: &[String]) -> Result<Self, ParseError> {
        let mut parser = Self::new(shell);
        words.iter().try_for_each(|word| parser.step(word))?;
        Ok(parser)
    }

    /// Parses a complete command.
    pub fn command(shell: bool, words: &[String]) -> Result<Command, ParseError> {
        let parser = Self::parse(shell, words)?;
        match parser.make {
            Some(make) => Ok(make(&parser.line)),
            None => Err(ParseError::Incomplete { after: parser.text(), allowed: parser.allowed }),
        }
    }

    /// The entries that can follow.
    pub fn allowed(&self) -> &[&'static GrammarEntry] {
        &self.allowed
    }

    /// True if the line is a complete command.
    pub fn is_complete(&self) -> bool {
        self.make.is_some()
    }

    /// True if the next value is a name that has to be requested from the agents.
    pub fn expects_name(&self) -> bool {
        self.allowed.iter().any(|entry| match entry.token {
            Token::Word(_) => false,
            Token::Value(kind) => kind.is_name(),
        })
    }

    /// The entries up to this position.
    pub fn path(&self) -> &[&'static GrammarEntry] {
        &self.path
    }

    /// The words and values up to this position.
    pub fn line(&self) -> &ParsedLine {
        &self.line
    }

    /// The text up to this position, without abbreviations.
    pub fn text(&self) -> String {
        let mut values = self.line.values.iter();
        let word = |entry: &&'static GrammarEntry| match entry.token {
            Token::Word(word) => word.to_owned(),
            Token::Value(_) => values.next().map_or_else(String::new, |(_, value)| value.clone()),
        };
        self.path.iter().map(word).collect::<Vec<_>>().join(" ")
    }

    fn step(&mut self, word: &str) -> Result<(), ParseError> {
        let entry = self.resolve(word)?;
        match entry.token {
            Token::Word(word) => self.line.words.push(word),
            Token::Value(kind) => self.line.values.push((kind, word.to_owned())),
        }
        if let Some((unused, _)) = &mut self.options {
            unused.retain(|option| !std::ptr::eq(*option, entry));
        }
        self.path.push(entry);
        (self.allowed, self.make) = match &entry.next {
            Next::Run(make) => (Vec::new(), Some(*make)),
            Next::Then(list) => (list.iter().collect(), None),
            Next::Options(make, list) => {
                self.options = Some((list.iter().collect(), *make));
                (list.iter().collect(), Some(*make))
            }
            Next::Back => match &self.options {
                Some((unused, make)) => (unused.clone(), Some(*make)),
                None => (Vec::new(), None),
            },
        };
        Ok(())
    }

    /// The entry for `text`: the exact word, else the only word with this prefix, else a value.
    fn resolve(&self, text: &str) -> Result<&'static GrammarEntry, ParseError> {
        let after = || self.text();
        if self.allowed.is_empty() {
            return Err(ParseError::Trailing { after: after(), text: text.to_owned() });
        }
        let words = || self.allowed.iter().filter_map(|entry| Some((entry.word()?, *entry)));
        if let Some((_, entry)) = words().find(|(word, _)| *word == text) {
            return Ok(entry);
        }
        let prefixed: Vec<_> = words().filter(|(word, _)| !text.is_empty() && word.starts_with(text)).collect();
        if let [(_, entry)] = prefixed[..] {
            return Ok(entry);
        }
        if !prefixed.is_empty() {
            let matches = prefixed.into_iter().map(|(word, _)| word).collect();
            return Err(ParseError::Ambiguous { after: after(), text: text.to_owned(), matches });
        }
        let value = self.allowed.iter().find_map(|entry| match entry.token {
            Token::Value(kind) => Some((kind, *entry)),
            Token::Word(_) => None,
        });
        let Some((kind, entry)) = value else {
            return Err(ParseError::Unknown { after: after(), text: text.to_owned(), allowed: self.allowed.clone() });
        };
        match kind.check(text, &self.line) {
            Ok(()) => Ok(entry),
            Err(allowed) => Err(ParseError::Value { after: after(), entry, text: text.to_owned(), allowed }),
        }
    }
}

impl GrammarEntry {
    fn word(&self) -> Option<&'static str> {
        match self.token {
            Token::Word(word) => Some(word),
            Token::Value(_) => None,
        }
    }
}
