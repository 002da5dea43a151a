//! Errors of a command line: the unexpected text and the allowed alternatives.

use std::fmt;

use super::{GrammarEntry, table::REPLACED};

/// A line that is not a command; `after` is the part before the error.
#[derive(Clone, Debug)]
pub enum ParseError {
    /// No such word at this position.
    Unknown { after: String, text: String, allowed: Vec<&'static GrammarEntry> },
    /// An abbreviation of several words.
    Ambiguous { after: String, text: String, matches: Vec<&'static str> },
    /// A value outside the range of its kind.
    Value { after: String, entry: &'static GrammarEntry, text: String, allowed: &'static str },
    /// The end of the line instead of a word or value.
    Incomplete { after: String, allowed: Vec<&'static GrammarEntry> },
    /// A word after the end of a command.
    Trailing { after: String, text: String },
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { after, text, allowed } => {
                write!(f, "unknown word `{text}`{}: expected {}", position(after), names(allowed))?;
                match closest(text, allowed) {
                    Some(word) => write!(f, "; did you mean {word}?"),
                    None => Ok(()),
                }
            }
            Self::Ambiguous { after, text, matches } => {
                write!(f, "ambiguous word `{text}`{}: {}", position(after), matches.join(" or "))
            }
            Self::Value { after, entry, text, allowed } => {
                write!(f, "invalid {} `{text}`{}: expected {allowed}", entry.name(), position(after))
            }
            Self::Incomplete { after, allowed } if after.is_empty() => {
                write!(f, "missing command: expected {}", names(allowed))
            }
            Self::Incomplete { after, allowed } => {
                write!(f, "incomplete command `{after}`: expected {}", names(allowed))
            }
            Self::Trailing { after, text } => {
                let replaced = REPLACED.iter().find(|former| former.after == after && former.word == text);
                match replaced {
                    Some(former) => write!(f, "`{after} {text}` does not exist any more: use `{}`", former.by),
                    None => write!(f, "unexpected word `{text}`: `{after}` is complete"),
                }
            }
        }
    }
}

impl std::error::Error for ParseError {}

fn position(after: &str) -> String {
    if after.is_empty() { String::new() } else { format!(" after `{after}`") }
}

/// The allowed words, as part of a sentence.
fn names(allowed: &[&'static GrammarEntry]) -> String {
    let names: Vec<&str> = allowed.iter().map(|entry| entry.name()).collect();
    match names[..] {
        [name] => name.to_owned(),
        _ => format!("one of {}", names.join(", ")),
    }
}

/// The allowed word with the smallest edit distance, if at most two edits make it equal.
fn closest(text: &str, allowed: &[&'static GrammarEntry]) -> Option<&'static str> {
    let distance = |word: &str| strsim::damerau_levenshtein(text, word);
    let best = allowed.iter().map(|entry| entry.name()).min_by_key(|word| distance(word))?;
    (distance(best) <= 2 && best.len() > 3).then_some(best)
}
