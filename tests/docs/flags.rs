//! Compares `docs/flags.md` (written by `make golden`) with the `--help` of the programs, and checks that each `--help`
//! ends with an example that can be typed.

use std::{collections::BTreeSet, fs};

use regex::Regex;

use super::{assert_none, help, path};

const PAGE: &str = "docs/flags.md";
/// The line of `--help` after which commands follow, indented by two.
const EXAMPLE: &str = "\nExample";

/// Has a page of its own, `docs/maglevc.md`, generated from its grammar.
const WITH_OWN_PAGE: &str = "maglevc";

/// The programs with a `--help` on the page.
fn programs() -> Vec<String> {
    super::programs().into_iter().filter(|name| name != WITH_OWN_PAGE).collect()
}

/// A program or subcommand, with its `--help`.
#[derive(Clone, Debug)]
struct Command {
    words: Vec<String>,
    help: String,
}

impl Command {
    fn new(words: Vec<String>) -> Self {
        let rest: Vec<&str> = words[1..].iter().map(String::as_str).collect();
        let help = help(&words[0], &rest)
            .unwrap_or_else(|| panic!("{} has no --help; is it in `help` of tests/docs/main.rs?", words.join(" ")));
        let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
        Self { words, help: lines.join("\n") }
    }

    fn name(&self) -> String {
        self.words.join(" ")
    }

    /// The command and, recursively, its subcommands.
    fn with_subcommands(self) -> Vec<Self> {
        let list = self.help.split("\nCommands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap_or("");
        let entry = Regex::new(r"(?m)^  ([a-z][a-z-]*)(?: |$)").unwrap();
        let names: Vec<String> =
            entry.captures_iter(list).map(|captures| captures[1].to_owned()).filter(|name| name != "help").collect();
        let subcommand = |name: String| Self::new([&self.words[..], &[name]].concat()).with_subcommands();
        let subcommands: Vec<Self> = names.into_iter().flat_map(subcommand).collect();
        [vec![self], subcommands].concat()
    }
}

fn commands() -> Vec<Command> {
    programs().into_iter().flat_map(|program| Command::new(vec![program]).with_subcommands()).collect()
}

fn page() -> String {
    let mut page = "# Flags\n\n\
        The `--help` of each program and subcommand; `maglevc` has [its own page](maglevc.md). Written by `make golden`,\n\
        checked by `tests/docs/flags.rs`.\n"
        .to_owned();
    for command in commands() {
        page.push_str(&format!("\n## {}\n\n```text\n{}\n```\n", command.name(), command.help));
    }
    page
}

#[test]
fn flags_page_matches_help() {
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
fn every_help_has_a_valid_example() {
    let commands = commands();
    assert!(commands.len() >= 6, "only {} commands were found", commands.len());
    let flags = |help: &str| -> BTreeSet<String> {
        let flag = Regex::new(r"--[a-z][a-z-]*").unwrap();
        flag.find_iter(help).map(|flag| flag.as_str().to_owned()).collect()
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
            // After a pipe, another program follows.
            .map(|line| line.split_whitespace().take_while(|word| *word != "|").collect())
            .collect();
        let begins_with = |line: &Vec<&str>, command: &Command| {
            line.len() >= command.words.len() && command.words.iter().zip(line).all(|(word, typed)| word == typed)
        };
        if !typed.iter().any(|line| begins_with(line, command)) {
            wrong.push(format!("{}: no line of its example is that command", command.name()));
        }
        for line in &typed {
            // The longest command that the line begins with.
            let matching = commands.iter().filter(|other| begins_with(line, other));
            let Some(meant) = matching.max_by_key(|other| other.words.len()) else { continue };
            let allowed = flags(meant.help.split_once(EXAMPLE).map_or(&*meant.help, |(usage, _)| usage));
            let unknown = line.iter().filter(|word| word.starts_with("--"));
            let unknown = unknown.filter(|word| !allowed.contains(word.split('=').next().unwrap()));
            wrong.extend(
                unknown.map(|flag| format!("{}: its example has {flag}, which {} lacks", command.name(), meant.name())),
            );
        }
    }
    assert_none(&wrong);
}
