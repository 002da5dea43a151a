//! Hostile words of a line, and hostile names where the line is completed.

use super::Generated;
use crate::{
    clap_error_text,
    completion::{CursorContext, names},
    flags::Flags,
    grammar::{LineParser, help},
    run::{error_text, not_found},
};
use maglev_fleet::NodeState;
use maglev_model::Name;

/// A style that only clap uses.
const UNDERLINE: &str = "\u{1b}[4m";

/// Errors, help and candidates for lines with hostile words.
pub fn texts(set: &mut Generated, nodes: &[NodeState]) -> Vec<(&'static str, String)> {
    let word = set.text();
    let mut texts: Vec<_> = [
        vec![word.clone()],
        ["show", &word].map(str::to_owned).into(),
        ["watch", "events", "level", &word].map(str::to_owned).into(),
        ["show", "backend", &format!("a/b/{word}")].map(str::to_owned).into(),
        ["accept", &word].map(str::to_owned).into(),
        ["trace", "tcp", &word].map(str::to_owned).into(),
        ["whatif", "backend", &word].map(str::to_owned).into(),
        ["whatif", "node", &word, "lost"].map(str::to_owned).into(),
        ["trace", "tcp", "198.51.100.7:1", &word].map(str::to_owned).into(),
        ["accept", "1f9b2c3d", &word].map(str::to_owned).into(),
    ]
    .iter()
    .flat_map(|words| line(words, nodes))
    .collect();
    for words in [vec![format!("--{word}")], vec!["--output".to_owned(), word.clone()], vec![format!("-{word}")]] {
        if let Err(error) = Flags::from_line(&words) {
            texts.push(("flags", clap_error_text(&error).replace(UNDERLINE, "")));
            texts.push(("flags in the shell", error_text(&error.into())));
        }
    }
    let existing = (0..20).map(|_| Name::namespaced(&set.text(), &set.text())).collect();
    let missing = anyhow::Error::msg(not_found("Frontend", &Name::namespaced(&word, &word), existing));
    texts.push(("errors", error_text(&missing)));
    texts
}

fn line(words: &[String], nodes: &[NodeState]) -> Vec<(&'static str, String)> {
    let mut texts = Vec::new();
    if let Err(error) = LineParser::command(true, words) {
        texts.push(("errors", error_text(&error.into())));
    }
    if let Ok(parser) = LineParser::parse(true, words) {
        texts.push(("help", help::page(&parser, "maglevc")));
    }
    let (partial, before) = words.split_last().expect("a line has a word");
    for (partial, before) in [(partial.as_str(), before), ("", before), ("", words), ("--", before)] {
        let context = CursorContext::new(true, before, partial);
        let names = |kind, line: &_| names(nodes, "shop", kind, line);
        texts.push(("? in the shell", context.help(partial, &names, nodes)));
        let candidates = context.candidates(partial, &names, nodes).into_iter();
        texts.extend(candidates.map(|(text, help)| ("completion", text + " " + &help + "\n")));
    }
    texts
}
