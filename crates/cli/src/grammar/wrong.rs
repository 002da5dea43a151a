//! What a person typed wrong: what was found, and what is allowed there.

use std::fmt;

use super::Entry;

/// Why a line is no command.
#[derive(Clone, Debug)]
pub enum Wrong {
    /// No such word here.
    Unknown { after: String, found: String, allowed: Vec<&'static Entry> },
    /// More than one word begins so.
    Ambiguous { after: String, found: String, among: Vec<&'static str> },
    /// The value cannot be one of its kind.
    Value { after: String, entry: &'static Entry, found: String, allowed: &'static str },
    /// Something is missing at the end.
    Unfinished { after: String, allowed: Vec<&'static Entry> },
    /// Something is there that nothing wants.
    TooMuch { after: String, found: String },
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { after, found, allowed } => {
                write!(f, "there is no `{found}`{}: {}", place(after), names(allowed))?;
                match closest(found, allowed) {
                    Some(word) => write!(f, "; did you mean {word}?"),
                    None => Ok(()),
                }
            }
            Self::Ambiguous { after, found, among } => {
                write!(f, "`{found}`{} may be {}", place(after), among.join(" or "))
            }
            Self::Value { after, entry, found, allowed } => {
                write!(f, "`{found}`{} is no {}: it is {allowed}", place(after), entry.name())
            }
            Self::Unfinished { after, allowed } if after.is_empty() => {
                write!(f, "a command is missing: {}", names(allowed))
            }
            Self::Unfinished { after, allowed } => write!(f, "`{after}` goes on: {}", names(allowed)),
            Self::TooMuch { after, found } => write!(f, "nothing follows `{after}`, but there is `{found}`"),
        }
    }
}

impl std::error::Error for Wrong {}

fn place(after: &str) -> String {
    if after.is_empty() { String::new() } else { format!(" after `{after}`") }
}

/// What is allowed, as a list for a sentence.
fn names(allowed: &[&'static Entry]) -> String {
    let names: Vec<&str> = allowed.iter().map(|entry| entry.name()).collect();
    match names[..] {
        [one] => one.to_owned(),
        _ => format!("one of {}", names.join(", ")),
    }
}

/// The allowed word that has most of its letters in common with what was typed, if that is a slip of the finger.
fn closest(found: &str, allowed: &[&'static Entry]) -> Option<&'static str> {
    let near = |word: &str| strsim::damerau_levenshtein(found, word);
    let best = allowed.iter().map(|entry| entry.name()).min_by_key(|word| near(word))?;
    (near(best) <= 2 && best.len() > 3).then_some(best)
}
