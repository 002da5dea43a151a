//! The candidates at the cursor.

use super::{LineParser, ParsedLine, Token, Value};

/// A candidate for the word at the cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The whole word.
    pub(crate) text: String,
    /// May be empty.
    pub(crate) help: &'static str,
}

/// Returns the names that a value can have, given the words before it.
pub type Names<'n> = dyn Fn(Value, &ParsedLine) -> Vec<String> + 'n;

/// All candidates that start with `partial`, in the order of the table.
pub fn complete(parser: &LineParser, partial: &str, names: &Names<'_>) -> Vec<Candidate> {
    let mut candidates = Vec::new();
    for entry in parser.allowed() {
        match entry.token {
            Token::Word(word) => candidates.push(Candidate { text: word.to_owned(), help: entry.help }),
            Token::Value(Value::Level) => {
                candidates.extend(super::value::LEVELS.map(|(word, _)| Candidate { text: word.to_owned(), help: "" }));
            }
            Token::Value(Value::Protocol) => {
                let protocols = super::value::PROTOCOLS.map(|(word, _)| Candidate { text: word.to_owned(), help: "" });
                candidates.extend(protocols);
            }
            Token::Value(kind) => {
                candidates.extend(names(kind, parser.line()).into_iter().map(|text| Candidate { text, help: "" }));
            }
        }
    }
    candidates.retain(|candidate| candidate.text.starts_with(partial));
    candidates
}
