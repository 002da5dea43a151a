//! What the table says to a person: at `?`, for `--help`, and as `docs/maglevc.md`.

use std::fmt::Write as _;

use super::{Entry, Next, Walk};
use crate::paint;

/// What `?` shows at this place: what may come next, or that the line is complete.
pub fn inline(walk: &Walk, partial: &str) -> String {
    let fits = |entry: &&&Entry| partial.is_empty() || entry.name().starts_with(partial) || is_value(entry);
    let mut rows: Vec<(&str, &str)> =
        walk.allowed().iter().filter(fits).map(|entry| (entry.name(), entry.help)).collect();
    if walk.may_end() && partial.is_empty() {
        rows.push(("<Enter>", "run it"));
    }
    if rows.is_empty() {
        return format!("  nothing begins with `{partial}` here\n");
    }
    table(&rows)
}

fn is_value(entry: &Entry) -> bool {
    matches!(entry.token, super::Token::Value(_))
}

/// Names in a column, and what they are.
pub fn table(rows: &[(&str, &str)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.iter().fold(String::new(), |mut text, (name, help)| {
        let (name, space) = (paint::strong(name), width - name.len());
        let _ = writeln!(text, "  {name}{:space$}  {help}", "");
        text
    })
}

/// What `--help` says after the words of `walk`, which are some.
pub fn page(walk: &Walk, program: &str) -> String {
    let entry = walk.path().last().expect("the caller has words");
    let mut text = format!("{}\n", capitalised(entry.help));
    if !entry.more.is_empty() {
        let _ = write!(text, "\n{}\n", wrapped(entry.more));
    }
    let _ = write!(text, "\n{} {program} {}\n", paint::strong("Usage:"), usage(walk));
    let next: Vec<_> = walk.allowed().iter().map(|entry| (entry.name(), entry.help)).collect();
    if !next.is_empty() {
        let head = if walk.may_end() { "May follow, in any order:" } else { "Goes on with:" };
        let _ = write!(text, "\n{}\n{}", paint::strong(head), table(&next));
    }
    if let Some(example) = walk.path().iter().rev().map(|entry| entry.example).find(|example| !example.is_empty()) {
        let _ = write!(text, "\n{}\n  {}\n", paint::strong("Example:"), example.replace("maglevc", program));
    }
    let _ = write!(text, "\n`{program} --help` lists the flags, which may stand anywhere.\n");
    text
}

/// The words that led here, values by their placeholders, and what may follow.
fn usage(walk: &Walk) -> String {
    let mut words: Vec<String> = walk.path().iter().map(|entry| entry.name().to_owned()).collect();
    let last = walk.path().last().map(|entry| &entry.next);
    words.extend(match last {
        Some(Next::Then(list)) => vec![alternatives(list)],
        Some(Next::Options(_, list)) => list.iter().map(|entry| format!("[{}]", spelled(entry))).collect(),
        _ => Vec::new(),
    });
    words.join(" ")
}

fn alternatives(list: &[Entry]) -> String {
    match list {
        [one] => spelled(one),
        _ => list.iter().map(Entry::name).collect::<Vec<_>>().join("|"),
    }
}

/// An entry and what must follow it.
pub fn spelled(entry: &Entry) -> String {
    match &entry.next {
        Next::Then(list) => format!("{} {}", entry.name(), alternatives(list)),
        _ => entry.name().to_owned(),
    }
}

pub fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// In lines of at most 80 columns.
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
