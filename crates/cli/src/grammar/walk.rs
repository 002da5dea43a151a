//! From word to word through the table.

use super::{Entry, Make, Next, Read, Token, Wrong, first};
use crate::command::Command;

/// Where a line has led to.
#[derive(Clone, Debug)]
pub struct Walk {
    path: Vec<&'static Entry>,
    read: Read,
    /// What may come next.
    allowed: Vec<&'static Entry>,
    /// Complete as it is.
    make: Option<Make>,
    /// Options that are left, and what the command is without more of them.
    options: Option<(Vec<&'static Entry>, Make)>,
}

impl Walk {
    /// At the beginning of a line; `shell` is that of our own shell.
    pub fn new(shell: bool) -> Self {
        Self { path: Vec::new(), read: Read::default(), allowed: first(shell), make: None, options: None }
    }

    /// After these words.
    pub fn along(shell: bool, words: &[String]) -> Result<Self, Wrong> {
        let mut walk = Self::new(shell);
        words.iter().try_for_each(|word| walk.step(word))?;
        Ok(walk)
    }

    /// The command that a whole line is.
    pub fn command(shell: bool, words: &[String]) -> Result<Command, Wrong> {
        let walk = Self::along(shell, words)?;
        match walk.make {
            Some(make) => Ok(make(&walk.read)),
            None => Err(Wrong::Unfinished { after: walk.line(), allowed: walk.allowed }),
        }
    }

    /// What may come next.
    pub fn allowed(&self) -> &[&'static Entry] {
        &self.allowed
    }

    /// Whether the line may end here.
    pub fn may_end(&self) -> bool {
        self.make.is_some()
    }

    /// Whether a name stands here that only the agents know.
    pub fn wants_names(&self) -> bool {
        self.allowed.iter().any(|entry| match entry.token {
            Token::Word(_) => false,
            Token::Value(kind) => kind.is_name(),
        })
    }

    /// The entries that led here.
    pub fn path(&self) -> &[&'static Entry] {
        &self.path
    }

    /// The words and values so far.
    pub fn read(&self) -> &Read {
        &self.read
    }

    /// The line so far, its words written out.
    pub fn line(&self) -> String {
        let mut values = self.read.values.iter();
        let word = |entry: &&'static Entry| match entry.token {
            Token::Word(word) => word.to_owned(),
            Token::Value(_) => values.next().map_or_else(String::new, |(_, value)| value.clone()),
        };
        self.path.iter().map(word).collect::<Vec<_>>().join(" ")
    }

    fn step(&mut self, word: &str) -> Result<(), Wrong> {
        let entry = self.find(word)?;
        match entry.token {
            Token::Word(word) => self.read.words.push(word),
            Token::Value(kind) => self.read.values.push((kind, word.to_owned())),
        }
        if let Some((left, _)) = &mut self.options {
            left.retain(|option| !std::ptr::eq(*option, entry));
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
                Some((left, make)) => (left.clone(), Some(*make)),
                None => (Vec::new(), None),
            },
        };
        Ok(())
    }

    fn find(&self, text: &str) -> Result<&'static Entry, Wrong> {
        let after = || self.line();
        if self.allowed.is_empty() {
            return Err(Wrong::TooMuch { after: after(), found: text.to_owned() });
        }
        let words = || self.allowed.iter().filter_map(|entry| Some((word_of(entry)?, *entry)));
        if let Some((_, entry)) = words().find(|(word, _)| *word == text) {
            return Ok(entry);
        }
        let begin: Vec<_> = words().filter(|(word, _)| !text.is_empty() && word.starts_with(text)).collect();
        if let [(_, entry)] = begin[..] {
            return Ok(entry);
        }
        if !begin.is_empty() {
            let among = begin.into_iter().map(|(word, _)| word).collect();
            return Err(Wrong::Ambiguous { after: after(), found: text.to_owned(), among });
        }
        let value = self.allowed.iter().find_map(|entry| match entry.token {
            Token::Value(kind) => Some((kind, *entry)),
            Token::Word(_) => None,
        });
        let Some((kind, entry)) = value else {
            return Err(Wrong::Unknown { after: after(), found: text.to_owned(), allowed: self.allowed.clone() });
        };
        match kind.check(text) {
            Ok(()) => Ok(entry),
            Err(allowed) => Err(Wrong::Value { after: after(), entry, found: text.to_owned(), allowed }),
        }
    }
}

fn word_of(entry: &Entry) -> Option<&'static str> {
    match entry.token {
        Token::Word(word) => Some(word),
        Token::Value(_) => None,
    }
}
