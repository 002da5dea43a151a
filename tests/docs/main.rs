//! Checks that everything the documents name exists: `make` targets, files, flags, events, metrics, types, functions,
//! crates and their dependencies.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy.toml allows them in tests, but sees none in what tests call"
)]

mod addresses;
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

/// Every document, by its path in the checkout.
const PAGES: [&str; 23] = [
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs/dashboard-admin.md",
    "docs/dashboard-api.md",
    "docs/events.md",
    "docs/guide/README.md",
    "docs/guide/day-2.md",
    "docs/guide/first-frontend.md",
    "docs/guide/install.md",
    "docs/guide/network.md",
    "docs/guide/services.md",
    "docs/guide/teams.md",
    "docs/guide/test-from-outside.md",
    "docs/guide/troubleshooting.md",
    "docs/maglevc.md",
    "docs/metrics.md",
    "docs/status.md",
    "docs/where-is-what.md",
    "examples/README.md",
    "benches/README.md",
];

fn path(inside: &str) -> PathBuf {
    maglev_testkit::checkout().join(inside)
}

fn read(inside: &str) -> String {
    fs::read_to_string(path(inside)).unwrap_or_else(|error| panic!("{inside}: {error}"))
}

/// Fails with all errors at once.
fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// The code in `text`: spans between backticks, and the lines of fenced blocks.
fn code(text: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut fenced = false;
    let mut prose = String::new();
    for line in text.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            pieces.push(line.to_owned());
        } else {
            prose.push_str(line);
            prose.push('\n');
        }
    }
    let spans = Regex::new("`([^`]+)`").unwrap();
    pieces.extend(spans.captures_iter(&prose).map(|span| span[1].replace('\n', " ")));
    pieces
}

/// Every match of the first group of `pattern` in the code of every page, with the page.
fn named(pattern: &str) -> BTreeSet<(&'static str, String)> {
    let pattern = Regex::new(pattern).unwrap();
    let mut matches = BTreeSet::new();
    for page in PAGES {
        for piece in code(&read(page)) {
            matches.extend(pattern.captures_iter(&piece).map(|captures| (page, captures[1].to_owned())));
        }
    }
    matches
}

#[test]
fn make_targets_in_documents_exist() {
    let targets = Regex::new(r"(?m)^([a-z]+):").unwrap();
    let makefile = read("Makefile");
    let targets: BTreeSet<&str> =
        targets.captures_iter(&makefile).map(|captures| captures.get(1).unwrap().as_str()).collect();
    let named = named(r"(?:^|[\s;&])make ([a-z]+)");
    for needed in ["demo", "test"] {
        assert!(named.contains(&("README.md", needed.to_owned())), "README does not name make {needed}");
    }
    let wrong = named.iter().filter(|(_, target)| !targets.contains(target.as_str()));
    assert_none(&wrong.map(|(page, target)| format!("{page}: no target {target} in the Makefile")).collect::<Vec<_>>());
}

#[test]
fn files_in_documents_exist() {
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
    assert_none(&wrong);
}

/// The manifests of the packages that have programs.
const MANIFESTS: [&str; 2] = ["Cargo.toml", "dev/sandbox/Cargo.toml"];

/// Every program, in the order of the manifests.
fn programs() -> Vec<String> {
    MANIFESTS.into_iter().flat_map(programs_in).collect()
}

/// The programs of a manifest.
fn programs_in(manifest: &str) -> Vec<String> {
    let name = Regex::new(r#"(?m)^\[\[bin\]\]\nname = "([a-z-]+)"$"#).unwrap();
    name.captures_iter(&read(manifest)).map(|bin| bin[1].to_owned()).collect()
}

fn help(program: &str, args: &[&str]) -> Option<String> {
    let binary = match program {
        "maglevd" => maglev_testkit::binary("maglevd"),
        "maglev-controller" => maglev_testkit::binary("maglev-controller"),
        "maglev-frontend" => maglev_testkit::binary("maglev-frontend"),
        "maglev-sandbox" => maglev_testkit::binary("maglev-sandbox"),
        "maglevc" => maglev_testkit::binary("maglevc"),
        "maglev-tester" => maglev_testkit::binary("maglev-tester"),
        _ => return None,
    };
    let output = Command::new(binary).env_clear().args(args).arg("--help").output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

#[test]
fn command_lines_in_documents_have_existing_flags() {
    let mut wrong = Vec::new();
    let mut lines = 0;
    for (page, line) in named(r"(?:^|[\s;&/])((?:maglevd|maglev-sandbox|maglev-tester) [^#|&;]+)") {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (program, rest) = (words[0], &words[1..]);
        let subcommand: Vec<&str> = rest.iter().copied().take_while(|_| program == "maglev-sandbox").take(1).collect();
        let Some(help) = help(program, &subcommand) else {
            wrong.push(format!("{page}: `{line}`: {program} has no such subcommand"));
            continue;
        };
        lines += 1;
        for flag in rest.iter().filter(|word| word.starts_with("--")) {
            let flag = flag.split('=').next().unwrap();
            if !help.split_whitespace().any(|word| word.trim_end_matches(',') == flag) {
                wrong.push(format!("{page}: `{line}`: {program} has no {flag}"));
            }
        }
    }
    assert!(lines > 0, "no command line was found");
    let programs = [
        ("maglevd", &[][..]),
        ("maglev-controller", &[]),
        ("maglev-frontend", &[]),
        ("maglev-sandbox", &["up"]),
        ("maglevc", &[]),
        ("maglev-tester", &[]),
    ];
    let helps = programs.map(|(program, args)| help(program, args).unwrap());
    for (page, flag) in named(r"(?:^|ARGS=)(--[a-z][a-z-]*)(?: [a-z]+)?$") {
        if !helps.iter().any(|help| help.contains(&format!("{flag} ")) || help.contains(&format!("{flag}\n"))) {
            wrong.push(format!("{page}: no program has {flag}"));
        }
    }
    assert_none(&wrong);
}

/// A valid value for a placeholder that stands for more than a name.
fn value_of_placeholder(word: &str) -> &str {
    match word {
        "N" | "WEIGHT" => "1",
        "PROTO" => "tcp",
        "SOURCE" => "198.51.100.7:40312",
        "DESTINATION" => "203.0.113.10:80",
        _ => word,
    }
}

#[test]
fn maglevc_lines_in_documents_are_valid() {
    let (mut wrong, mut lines) = (Vec::new(), 0);
    for (page, line) in named(r"(?:^|[\s;&(/])maglevc ([^#|&;)…]+)") {
        // A text in quotes is one word.
        let words = line.split('\'').enumerate().flat_map(|(index, part)| match index % 2 {
            0 => part.split_whitespace().map(value_of_placeholder).collect(),
            _ => vec![part],
        });
        let words: Vec<&str> = words.collect();
        lines += 1;
        if help("maglevc", &words).is_none() {
            wrong.push(format!("{page}: maglevc does not accept `{line}`"));
        }
    }
    assert!(lines > 20, "only {lines} lines of maglevc were found");
    assert_none(&wrong);
}

#[test]
fn kinds_in_kubectl_commands_exist() {
    let names = Regex::new(r"(?m)^    (?:plural|singular|kind): (\w+)$|^    - (m\w+)$").unwrap();
    let mut kinds: BTreeSet<String> = ["pods", "services", "ds/maglevd", "namespace"].map(String::from).into();
    for file in fs::read_dir(path("crds")).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        kinds.extend(
            names
                .captures_iter(&text)
                .filter_map(|captures| Some(captures.get(1).or(captures.get(2))?.as_str().to_owned())),
        );
    }
    assert!(kinds.contains("mfe") && kinds.contains("frontend") && kinds.contains("frontends"), "{kinds:?}");
    let mut wrong = Vec::new();
    for (page, requested) in named(r"kubectl (?:get|explain|patch|edit|delete|logs -f) ([\w,/]+)") {
        wrong.extend(
            requested.split(',').filter(|kind| !kinds.contains(*kind)).map(|kind| format!("{page}: no kind {kind}")),
        );
    }
    assert_none(&wrong);
}

/// The Rust sources of the programs and of the development tools.
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
    for directory in ["src", "crates", "dev"] {
        gather(&path(directory), &mut text);
    }
    text
}

#[test]
fn types_and_functions_in_the_architecture_exist() {
    let sources = sources();
    let names = |pattern: &str| -> BTreeSet<String> {
        Regex::new(pattern).unwrap().captures_iter(&sources).map(|captures| captures[1].to_owned()).collect()
    };
    let types = names(r"\b(?:struct|enum|trait|type) (\w+)");
    let functions = names(r"\bfn (\w+)");
    let variants = names(r"(?m)^\s+([A-Z]\w+)(?: \{|\(|,|$)");
    let constants = names(r"\b(?:const|static) ([A-Z_]+):");
    let name = Regex::new(r"^([A-Z]\w+|[a-z_]+)(?:::(\w+))?(?: \{.*\})?$").unwrap();
    let makefile = read("Makefile");
    let mut wrong = Vec::new();
    let mut checked = 0;
    for piece in code(&read("ARCHITECTURE.md")) {
        let Some(path) = name.captures(&piece) else { continue };
        let (owner, member) = (&path[1], path.get(2).map(|member| member.as_str()));
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
    assert!(checked > 40, "only {checked} names are in ARCHITECTURE.md");
    assert_none(&wrong);
}

/// The dependencies of a package on other packages of this workspace, from a section of its manifest.
fn workspace_dependencies(manifest: &str) -> BTreeSet<String> {
    let section = manifest.split("\n[dependencies]\n").nth(1).unwrap_or("").split("\n[").next().unwrap();
    let dependency = Regex::new(r"(?m)^maglev-([a-z-]+)\b").unwrap();
    dependency.captures_iter(section).map(|captures| captures[1].to_owned()).collect()
}

#[test]
fn crate_table_has_every_crate_with_its_dependencies() {
    let mut manifests = BTreeMap::new();
    for parent in ["crates", "dev"] {
        for entry in fs::read_dir(path(parent)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let dependencies = workspace_dependencies(&read(&format!("{parent}/{name}/Cargo.toml")));
            manifests.insert(name, dependencies);
        }
    }
    let row = Regex::new(r"(?m)^\| `([a-z-]+)` \| .* \| ([^|]+) \|$").unwrap();
    let architecture = read("ARCHITECTURE.md");
    let section = architecture.split("## Crates").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
    let name = Regex::new("`([a-z-]+)`").unwrap();
    let table: BTreeMap<String, BTreeSet<String>> = row
        .captures_iter(section)
        .map(|row| (row[1].to_owned(), name.captures_iter(&row[2]).map(|name| name[1].to_owned()).collect()))
        .collect();
    assert_eq!(table, manifests);
}

#[test]
fn product_packages_do_not_depend_on_development_packages() {
    let development: BTreeSet<String> =
        fs::read_dir(path("dev")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let mut wrong = Vec::new();
    let product = fs::read_dir(path("crates"))
        .unwrap()
        .map(|entry| format!("crates/{}/Cargo.toml", entry.unwrap().file_name().into_string().unwrap()));
    for manifest in product.chain(["Cargo.toml".to_owned()]) {
        let dependencies = workspace_dependencies(&read(&manifest));
        wrong.extend(dependencies.intersection(&development).map(|name| format!("{manifest}: depends on {name}")));
    }
    assert_none(&wrong);
}

#[test]
fn documents_name_nothing_outside_the_project() {
    let mut wrong = Vec::new();
    for page in PAGES {
        let text = read(page);
        let private = ["/root/", "/work/", "/home/", "shared/", "DESIGN.md", "API.md", "VPP.md", "STYLE.md", "TODO"];
        wrong.extend(private.iter().filter(|word| text.contains(**word)).map(|word| format!("{page}: {word}")));
    }
    assert_none(&wrong);
}
