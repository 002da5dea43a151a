//! `docs/flags.md` against the programs: it is their `--help`, written by `make golden`. And every `--help` teaches
//! with an example that can be typed.

use std::{collections::BTreeSet, fs};

use regex::Regex;

use super::{help, nothing, path, read};

const PAGE: &str = "docs/flags.md";
/// Begins a line of `--help`; commands that can be typed follow, indented by two.
const EXAMPLE: &str = "\nExample";

/// This one's page, `docs/maglevc.md`, is made from the table of its words, which is its `--help` as well.
const WITH_A_PAGE: &str = "maglevc";

/// Every program that `Cargo.toml` builds.
fn programs() -> Vec<String> {
    let manifest = read("Cargo.toml");
    let name = Regex::new(r#"(?m)^\[\[bin\]\]\nname = "([a-z-]+)"$"#).unwrap();
    name.captures_iter(&manifest).map(|of| of[1].to_owned()).filter(|name| name != WITH_A_PAGE).collect()
}

/// A command line that has a `--help` of its own: the program, then its subcommands.
#[derive(Clone, Debug)]
struct Command {
    words: Vec<String>,
    help: String,
}

impl Command {
    fn of(words: Vec<String>) -> Self {
        let rest: Vec<&str> = words[1..].iter().map(String::as_str).collect();
        let help = help(&words[0], &rest)
            .unwrap_or_else(|| panic!("{} has no --help; is it in `help` of tests/readme/main.rs?", words.join(" ")));
        let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
        Self { words, help: lines.join("\n") }
    }

    fn name(&self) -> String {
        self.words.join(" ")
    }

    /// It and its subcommands, theirs included.
    fn all(self) -> Vec<Self> {
        let list = self.help.split("\nCommands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap_or("");
        let entry = Regex::new(r"(?m)^  ([a-z][a-z-]*)(?: |$)").unwrap();
        let under: Vec<String> =
            entry.captures_iter(list).map(|of| of[1].to_owned()).filter(|name| name != "help").collect();
        let of = |name: String| Self::of([&self.words[..], &[name]].concat()).all();
        let under: Vec<Self> = under.into_iter().flat_map(of).collect();
        [vec![self], under].concat()
    }
}

fn commands() -> Vec<Command> {
    programs().into_iter().flat_map(|program| Command::of(vec![program]).all()).collect()
}

fn page() -> String {
    let mut page = "# Flags\n\n\
        What `--help` of each program and each of its subcommands says; `maglevc` has [its own page](maglevc.md). Written by\n\
        `make golden`; `tests/readme/flags.rs` compares.\n"
        .to_owned();
    for command in commands() {
        page.push_str(&format!("\n## {}\n\n```text\n{}\n```\n", command.name(), command.help));
    }
    page
}

#[test]
fn the_page_of_flags_is_what_the_programs_say() {
    let page = page();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(path(PAGE), page).unwrap();
        return;
    }
    let committed = fs::read_to_string(path(PAGE)).unwrap_or_default();
    let differ = page.lines().zip(committed.lines().chain(std::iter::repeat(""))).find(|(now, then)| now != then);
    assert!(page == committed, "{PAGE} is stale: run `make golden` (first difference: {differ:#?})");
}

#[test]
fn every_help_teaches_with_an_example_that_can_be_typed() {
    let commands = commands();
    assert!(commands.len() >= 6, "only {} commands were found", commands.len());
    let flags = |help: &str| -> BTreeSet<String> {
        let flag = Regex::new(r"--[a-z][a-z-]*").unwrap();
        flag.find_iter(help).map(|found| found.as_str().to_owned()).collect()
    };
    let mut wrong = Vec::new();
    for command in &commands {
        let Some((_, example)) = command.help.split_once(EXAMPLE) else {
            wrong.push(format!("{}: its --help has no example", command.name()));
            continue;
        };
        let typed: Vec<Vec<&str>> = example
            .lines()
            .filter_map(|line| line.strip_prefix("  "))
            // What follows a pipe is another program's.
            .map(|line| line.split_whitespace().take_while(|word| *word != "|").collect())
            .collect();
        let is_of = |line: &Vec<&str>, of: &Command| {
            line.len() >= of.words.len() && of.words.iter().zip(line).all(|(word, typed)| word == typed)
        };
        if !typed.iter().any(|line| is_of(line, command)) {
            wrong.push(format!("{}: no line of its example is that command", command.name()));
        }
        for line in &typed {
            // The longest command that the line begins with is the one that is meant.
            let meant = commands.iter().filter(|of| is_of(line, of)).max_by_key(|of| of.words.len());
            let Some(meant) = meant else { continue };
            let known = flags(meant.help.split_once(EXAMPLE).map_or(&*meant.help, |(usage, _)| usage));
            let unknown = line.iter().filter(|word| word.starts_with("--"));
            let unknown = unknown.filter(|word| !known.contains(word.split('=').next().unwrap()));
            wrong.extend(
                unknown.map(|flag| format!("{}: its example has {flag}, which {} lacks", command.name(), meant.name())),
            );
        }
    }
    nothing(&wrong);
}
