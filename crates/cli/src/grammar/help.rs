//! Help from the table: at `?`, for `--help`, and for `docs/maglevc.md`.

use std::fmt::Write as _;

use super::{GrammarEntry, LineParser, Next};
use crate::style;
use maglev_model::printable::escaped;

/// The text that `?` shows: the entries that can follow.
pub fn inline(parser: &LineParser, partial: &str) -> String {
    let fits = |entry: &&&GrammarEntry| partial.is_empty() || entry.name().starts_with(partial) || is_value(entry);
    let mut rows: Vec<(&str, &str)> =
        parser.allowed().iter().filter(fits).map(|entry| (entry.name(), entry.help)).collect();
    if parser.is_complete() && partial.is_empty() {
        rows.push(("<Enter>", "run the command"));
    }
    if rows.is_empty() {
        return format!("  no match for `{}`\n", escaped(partial));
    }
    table(&rows)
}

fn is_value(entry: &GrammarEntry) -> bool {
    matches!(entry.token, super::Token::Value(_))
}

/// Two columns: names and their help.
pub fn table(rows: &[(&str, &str)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.iter().fold(String::new(), |mut text, (name, help)| {
        let (name, space) = (style::strong(name), width - name.len());
        let _ = writeln!(text, "  {name}{:space$}  {help}", "");
        text
    })
}

/// The text of `--help` after at least one word.
pub fn page(parser: &LineParser, program: &str) -> String {
    let entry = parser.path().last().expect("the caller passes at least one word");
    let mut text = format!("{}\n", capitalised(entry.help));
    if !entry.more.is_empty() {
        let _ = write!(text, "\n{}\n", wrapped(entry.more));
    }
    let _ = write!(text, "\n{} {program} {}\n", style::strong("Usage:"), usage(parser));
    let next: Vec<_> = parser.allowed().iter().map(|entry| (entry.name(), entry.help)).collect();
    if !next.is_empty() {
        let head = if parser.is_complete() { "Options, in any order:" } else { "Followed by:" };
        let _ = write!(text, "\n{}\n{}", style::strong(head), table(&next));
    }
    if let Some(example) = parser.path().iter().rev().map(|entry| entry.example).find(|example| !example.is_empty()) {
        let _ = write!(text, "\n{}\n  {}\n", style::strong("Example:"), example.replace("maglevc", program));
    }
    let _ = write!(text, "\n`{program} --help` lists the flags, which can be placed anywhere.\n");
    text
}

/// The words up to here, placeholders for values, and the entries that can follow.
fn usage(parser: &LineParser) -> String {
    let mut words: Vec<String> = parser.path().iter().map(|entry| entry.name().to_owned()).collect();
    let last = parser.path().last().map(|entry| &entry.next);
    words.extend(match last {
        Some(Next::Then(list)) => vec![alternatives(list)],
        Some(Next::Options(_, list)) => list.iter().map(|entry| format!("[{}]", with_values(entry))).collect(),
        _ => Vec::new(),
    });
    words.join(" ")
}

fn alternatives(list: &[GrammarEntry]) -> String {
    match list {
        [entry] => with_values(entry),
        _ => list.iter().map(GrammarEntry::name).collect::<Vec<_>>().join("|"),
    }
}

/// An entry with the value that must follow.
pub fn with_values(entry: &GrammarEntry) -> String {
    match &entry.next {
        Next::Then(list) => format!("{} {}", entry.name(), alternatives(list)),
        _ => entry.name().to_owned(),
    }
}

pub fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Wraps lines at 80 columns.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is a first line");
        if !line.is_empty() && line.len() + 1 + word.len() > 80 {
            lines.push(word.to_owned());
        } else {
            line.push_str(if line.is_empty() { "" } else { " " });
            line.push_str(word);
        }
    }
    lines.join("\n")
}
