//! What can stand where the cursor is.

use super::{Read, Token, Value, Walk};

/// Something that completes a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The whole word.
    pub(crate) text: String,
    /// What it is; may be empty.
    pub(crate) help: &'static str,
}

/// Tells the names that a value may have, given the words before it.
pub type Names<'n> = dyn Fn(Value, &Read) -> Vec<String> + 'n;

/// All that `partial` can become after the words of `walk`, in the order of the table.
pub fn complete(walk: &Walk, partial: &str, names: &Names<'_>) -> Vec<Candidate> {
    let mut found = Vec::new();
    for entry in walk.allowed() {
        match entry.token {
            Token::Word(word) => found.push(Candidate { text: word.to_owned(), help: entry.help }),
            Token::Value(Value::Level) => {
                found.extend(super::value::LEVELS.map(|(word, _)| Candidate { text: word.to_owned(), help: "" }));
            }
            Token::Value(kind) => {
                found.extend(names(kind, walk.read()).into_iter().map(|text| Candidate { text, help: "" }));
            }
        }
    }
    found.retain(|candidate| candidate.text.starts_with(partial));
    found
}
