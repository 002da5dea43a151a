//! What the documents print is there: `make` targets, files, flags, events, the names of types and functions, the table
//! of rooms. Whoever renames one of them is told here which page to mend.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy.toml allows them in tests, but sees none in what tests call"
)]

mod events;
mod flags;
mod image;
mod metrics;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use regex::Regex;

/// Every page for people, by its path in the checkout.
const PAGES: [&str; 14] = [
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "docs/events.md",
    "docs/guide/README.md",
    "docs/guide/day-2.md",
    "docs/guide/first-frontend.md",
    "docs/guide/install.md",
    "docs/guide/troubleshooting.md",
    "docs/maglevc.md",
    "docs/metrics.md",
    "docs/status.md",
    "examples/README.md",
    "benches/README.md",
];

fn path(inside: &str) -> PathBuf {
    maglev_testkit::checkout().join(inside)
}

fn read(inside: &str) -> String {
    fs::read_to_string(path(inside)).unwrap_or_else(|error| panic!("{inside}: {error}"))
}

/// Fails with all that is wrong at once.
fn nothing(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// The pieces of `text` that are code: what stands between backticks, and each line of a fenced block.
fn code(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut fenced = false;
    let mut prose = String::new();
    for line in text.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            found.push(line.to_owned());
        } else {
            prose.push_str(line);
            prose.push('\n');
        }
    }
    let spans = Regex::new("`([^`]+)`").unwrap();
    found.extend(spans.captures_iter(&prose).map(|span| span[1].replace('\n', " ")));
    found
}

/// Every match of `pattern`'s first group in the code of every page, with its page.
fn named(pattern: &str) -> BTreeSet<(&'static str, String)> {
    let pattern = Regex::new(pattern).unwrap();
    let mut found = BTreeSet::new();
    for page in PAGES {
        for piece in code(&read(page)) {
            found.extend(pattern.captures_iter(&piece).map(|of| (page, of[1].to_owned())));
        }
    }
    found
}

#[test]
fn every_make_target_named_is_one() {
    let targets = Regex::new(r"(?m)^([a-z]+):").unwrap();
    let makefile = read("Makefile");
    let targets: BTreeSet<&str> = targets.captures_iter(&makefile).map(|of| of.get(1).unwrap().as_str()).collect();
    let named = named(r"(?:^|[\s;&])make ([a-z]+)");
    for needed in ["demo", "test"] {
        assert!(named.contains(&("README.md", needed.to_owned())), "README does not name make {needed}");
    }
    let wrong = named.iter().filter(|(_, target)| !targets.contains(target.as_str()));
    nothing(&wrong.map(|(page, target)| format!("{page}: no target {target} in the Makefile")).collect::<Vec<_>>());
}

#[test]
fn every_file_named_is_there() {
    let top: Vec<String> =
        fs::read_dir(path("")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    let built = [".demo", "target"];
    let links = Regex::new(r"\]\(([^)#:]+)(?:#[^)]*)?\)").unwrap();
    let mut wrong = Vec::new();
    for page in PAGES {
        let text = read(page);
        for link in links.captures_iter(&text) {
            if !path(page).parent().unwrap().join(&link[1]).exists() {
                wrong.push(format!("{page}: the link to {} leads nowhere", &link[1]));
            }
        }
        let words = code(&text).join(" ");
        for word in words.split(|c: char| c.is_whitespace() || "'\"(),;".contains(c)) {
            let word = word.trim_end_matches(['.', ':']);
            let first = word.split('/').next().unwrap_or_default();
            let looks_like_one = word.contains('/') && top.iter().any(|name| name == first) && !built.contains(&first);
            if looks_like_one && !word.contains(['*', '$']) && !path(word).exists() {
                wrong.push(format!("{page}: there is no {word}"));
            }
        }
    }
    for manifest in fs::read_dir(path("examples")).unwrap() {
        let name = manifest.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".yaml") && !read("examples/README.md").contains(&format!("`{name}`")) {
            wrong.push(format!("examples/README.md: no row for {name}"));
        }
    }
    nothing(&wrong);
}

fn help(program: &str, args: &[&str]) -> Option<String> {
    let binary = match program {
        "maglevd" => maglev_testkit::binary("maglevd"),
        "maglev-controller" => maglev_testkit::binary("maglev-controller"),
        "maglev-frontend" => maglev_testkit::binary("maglev-frontend"),
        "maglev-sandbox" => maglev_testkit::binary("maglev-sandbox"),
        "maglevc" => maglev_testkit::binary("maglevc"),
        _ => return None,
    };
    let output = Command::new(binary).env_clear().args(args).arg("--help").output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

#[test]
fn every_command_line_of_ours_has_flags_and_subcommands_that_exist() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (page, line) in named(r"(?:^|[\s;&/])((?:maglevd|maglev-sandbox) [^#|&;]+)") {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (program, rest) = (words[0], &words[1..]);
        let subcommand: Vec<&str> = rest.iter().copied().take_while(|_| program == "maglev-sandbox").take(1).collect();
        let Some(help) = help(program, &subcommand) else {
            wrong.push(format!("{page}: `{line}`: {program} has no such subcommand"));
            continue;
        };
        seen += 1;
        for flag in rest.iter().filter(|word| word.starts_with("--")) {
            let flag = flag.split('=').next().unwrap();
            if !help.split_whitespace().any(|word| word.trim_end_matches(',') == flag) {
                wrong.push(format!("{page}: `{line}`: {program} has no {flag}"));
            }
        }
    }
    assert!(seen > 0, "no command line of ours was found");
    let maglevd = help("maglevd", &[]).unwrap();
    for (page, flag) in named(r"(?:^|ARGS=)(--[a-z][a-z-]*)(?: [a-z]+)?$") {
        let (sandbox, maglevc) = (help("maglev-sandbox", &["up"]).unwrap(), help("maglevc", &[]).unwrap());
        if ![&maglevd, &sandbox, &maglevc]
            .iter()
            .any(|help| help.contains(&format!("{flag} ")) || help.contains(&format!("{flag}\n")))
        {
            wrong.push(format!("{page}: neither maglevd nor maglev-sandbox up nor maglevc has {flag}"));
        }
    }
    nothing(&wrong);
}

#[test]
fn every_line_of_maglevc_is_one_that_it_understands() {
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for (page, line) in named(r"(?:^|[\s;&(/])maglevc ([^#|&;)…]+)") {
        // A text in quotes is one word.
        let words = line.split('\'').enumerate().flat_map(|(index, part)| match index % 2 {
            0 => part.split_whitespace().map(|word| if matches!(word, "N" | "WEIGHT") { "1" } else { word }).collect(),
            _ => vec![part],
        });
        let words: Vec<&str> = words.collect();
        seen += 1;
        if help("maglevc", &words).is_none() {
            wrong.push(format!("{page}: `maglevc {line}` makes no sense to it"));
        }
    }
    assert!(seen > 20, "only {seen} lines of maglevc were found");
    nothing(&wrong);
}

#[test]
fn what_kubectl_is_asked_for_is_a_kind_of_ours_or_of_kubernetes() {
    let names = Regex::new(r"(?m)^    (?:plural|singular|kind): (\w+)$|^    - (m\w+)$").unwrap();
    let mut known: BTreeSet<String> = ["pods", "ds/maglevd"].map(String::from).into();
    for file in fs::read_dir(path("crds")).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        known.extend(names.captures_iter(&text).filter_map(|of| Some(of.get(1).or(of.get(2))?.as_str().to_owned())));
    }
    assert!(known.contains("mfe") && known.contains("frontend") && known.contains("frontends"), "{known:?}");
    let mut wrong = Vec::new();
    for (page, asked) in named(r"kubectl (?:get|explain|patch|edit|delete|logs -f) ([\w,/]+)") {
        wrong.extend(
            asked.split(',').filter(|kind| !known.contains(*kind)).map(|kind| format!("{page}: no kind {kind}")),
        );
    }
    nothing(&wrong);
}

/// All of `src/`, for looking up names.
fn sources() -> String {
    fn gather(dir: &Path, text: &mut String) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                gather(&path, text);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text.push_str(&fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut text = String::new();
    gather(&path("src"), &mut text);
    text
}

#[test]
fn types_and_functions_that_the_map_names_are_in_the_sources() {
    let sources = sources();
    let of = |pattern: &str| -> BTreeSet<String> {
        Regex::new(pattern).unwrap().captures_iter(&sources).map(|of| of[1].to_owned()).collect()
    };
    let types = of(r"\b(?:struct|enum|trait|type) (\w+)");
    let functions = of(r"\bfn (\w+)");
    let variants = of(r"(?m)^\s+([A-Z]\w+)(?: \{|\(|,|$)");
    let constants = of(r"\b(?:const|static) ([A-Z_]+):");
    let name = Regex::new(r"^([A-Z]\w+|[a-z_]+)(?:::(\w+))?(?: \{.*\})?$").unwrap();
    let makefile = read("Makefile");
    let mut wrong = Vec::new();
    let mut checked = 0;
    for piece in code(&read("ARCHITECTURE.md")) {
        let Some(found) = name.captures(&piece) else { continue };
        let (owner, member) = (&found[1], found.get(2).map(|member| member.as_str()));
        let is_upper = owner.starts_with(char::is_uppercase);
        let is_variable = owner.starts_with("MAGLEV_") && makefile.contains(owner);
        if is_upper && !is_variable && !types.contains(owner) && !constants.contains(owner) {
            wrong.push(format!("no type or constant {owner}"));
        }
        match member {
            Some(member) if !functions.contains(member) && !variants.contains(member) => {
                wrong.push(format!("no {piece}"));
            }
            _ => checked += 1,
        }
    }
    assert!(checked > 40, "only {checked} names were found in ARCHITECTURE.md");
    nothing(&wrong);
}

#[test]
fn the_map_has_the_rooms_and_arrows_that_there_are() {
    let lib = read("src/lib.rs");
    let rooms: BTreeSet<&str> =
        lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let row = Regex::new(r#"\("(\w+)", &\[([^\]]*)\]\)"#).unwrap();
    let arrows = read("tests/arrows.rs");
    let mut want: BTreeMap<String, String> = BTreeMap::new();
    for found in row.captures_iter(&arrows).filter(|found| rooms.contains(&found[1])) {
        want.insert(found[1].to_owned(), found[2].replace('"', ""));
    }
    want.insert("sandbox".into(), "all of the above".into());
    let map = read("ARCHITECTURE.md");
    let row = Regex::new(r"(?m)^\| `(\w+)` \| .* \| ([^|]+) \|$").unwrap();
    let section = map.split("## Rooms").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
    let have: BTreeMap<String, String> =
        row.captures_iter(section).map(|of| (of[1].to_owned(), of[2].replace(['`', '–'], ""))).collect();
    assert_eq!(have, want);
}

#[test]
fn no_page_speaks_of_a_machine_or_of_what_is_not_in_the_project() {
    let mut wrong = Vec::new();
    for page in PAGES {
        let text = read(page);
        let private = ["/root/", "/work/", "/home/", "shared/", "DESIGN.md", "API.md", "VPP.md", "STYLE.md", "TODO"];
        wrong.extend(private.iter().filter(|word| text.contains(**word)).map(|word| format!("{page}: {word}")));
    }
    nothing(&wrong);
}
