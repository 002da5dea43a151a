//! `docs/maglevc.md` is made of the table and the flags; this is the part that makes it, and sees to it that it is so.

use std::{fmt::Write as _, fs};

use super::{
    Entry, Next, first,
    help::{capitalised, spelled},
};
use crate::flags;

/// What stands above this line in the page is written by hand.
const MARK: &str = "<!-- Below: made from the program by `make golden`. -->\n";

/// Every command with its usage, what it does and an example, and every flag.
fn markdown() -> String {
    let mut text = String::from("\n## Commands\n\n");
    for entry in first(false) {
        describe(&mut text, entry, &[]);
    }
    text.push_str("## In the shell only\n\n");
    let known = first(false);
    for entry in first(true).into_iter().filter(|entry| !known.iter().any(|of| std::ptr::eq(*of, *entry))) {
        let _ = writeln!(text, "* `{}`: {}.", entry.name(), entry.help);
    }
    text.push_str("\n## Flags\n\n| flag | meaning |\n|---|---|\n");
    for flag in flags::known() {
        let short = flag.short.map_or_else(String::new, |short| format!("`{short}`, "));
        let value = flag.value.map_or_else(String::new, |value| format!(" {value}"));
        let _ = writeln!(text, "| {short}`{}{value}` | {} |", flag.long, flag.help);
    }
    text
}

fn describe(text: &mut String, entry: &'static Entry, before: &[&'static str]) {
    let path: Vec<&str> = before.iter().copied().chain([entry.name()]).collect();
    if let Next::Run(_) | Next::Options(..) = entry.next {
        let _ = write!(text, "### `maglevc {}`\n\n{}.\n\n", path.join(" "), capitalised(entry.help));
    }
    if !entry.more.is_empty() {
        let _ = write!(text, "{}\n\n", entry.more);
    }
    if let Next::Options(_, list) = &entry.next {
        for option in *list {
            let _ = writeln!(text, "* `{}`: {}.", spelled(option), option.help);
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
fn the_page_about_maglevc_says_what_the_program_says() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/maglevc.md");
    let page = fs::read_to_string(&path).unwrap();
    let (by_hand, made) = page.split_once(MARK).expect("the page has the mark");
    let wanted = markdown();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, format!("{by_hand}{MARK}{wanted}")).unwrap();
    } else {
        assert_eq!(made, wanted, "run make golden");
    }
}
