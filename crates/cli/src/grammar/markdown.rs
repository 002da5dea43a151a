//! Generates the reference part of `docs/maglevc.md` from the table and the flags, and compares the committed file.

use std::{fmt::Write as _, fs};

use super::{
    GrammarEntry, Next, first,
    help::{capitalised, with_values},
};
use crate::flags;

/// End of the part that is written by hand.
const MARK: &str = "<!-- Below: made from the program by `make golden`. -->\n";

/// All commands with usage, help and example, and all flags.
fn markdown() -> String {
    let mut text = String::from("\n## Commands\n\n");
    for entry in first(false) {
        describe(&mut text, entry, &[]);
    }
    text.push_str("## In the shell only\n\n");
    let one_shot = first(false);
    for entry in first(true).into_iter().filter(|entry| !one_shot.iter().any(|other| std::ptr::eq(*other, *entry))) {
        let _ = writeln!(text, "* `{}`: {}.", entry.name(), entry.help);
    }
    text.push_str("\n## Flags\n\n| flag | meaning |\n|---|---|\n");
    for flag in flags::all() {
        let short = flag.short.map_or_else(String::new, |short| format!("`{short}`, "));
        let value = flag.value.map_or_else(String::new, |value| format!(" {value}"));
        let _ = writeln!(text, "| {short}`{}{value}` | {} |", flag.long, flag.help);
    }
    text
}

fn describe(text: &mut String, entry: &'static GrammarEntry, before: &[&'static str]) {
    let path: Vec<&str> = before.iter().copied().chain([entry.name()]).collect();
    if let Next::Run(_) | Next::Options(..) = entry.next {
        let _ = write!(text, "### `maglevc {}`\n\n{}.\n\n", path.join(" "), capitalised(entry.help));
    }
    if !entry.more.is_empty() {
        let _ = write!(text, "{}\n\n", entry.more);
    }
    if let Next::Options(_, list) = &entry.next {
        for option in *list {
            let _ = writeln!(text, "* `{}`: {}.", with_values(option), option.help);
        }
        text.push('\n');
    }
    if let (Next::Run(_) | Next::Options(..), false) = (&entry.next, entry.example.is_empty()) {
        let _ = write!(text, "```sh\n{}\n```\n\n", entry.example);
    }
    if let Next::Then(list) = &entry.next {
        list.iter().for_each(|next| describe(text, next, &path));
    }
}

#[test]
fn reference_page_matches_the_program() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/maglevc.md");
    let page = fs::read_to_string(&path).unwrap();
    let (by_hand, generated) = page.split_once(MARK).expect("the page has the mark");
    let expected = markdown();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, format!("{by_hand}{MARK}{expected}")).unwrap();
    } else {
        assert_eq!(generated, expected, "run make golden");
    }
}
