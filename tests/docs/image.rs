//! `Dockerfile` and `.dockerignore` against the package: nothing here can build an image, but what it names can be checked.

use std::collections::BTreeSet;

use regex::Regex;

use super::{nothing, path, read};

#[test]
fn the_image_is_built_by_the_pinned_toolchain_and_has_every_program() {
    let dockerfile = read("Dockerfile");
    let first = |pattern: &str, text: &str| Regex::new(pattern).unwrap().captures(text).map(|of| of[1].to_owned());
    let pinned = first(r#"channel = "([^"]+)""#, &read("rust-toolchain.toml")).unwrap();
    assert_eq!(first(r"(?m)^ARG RUST_VERSION=(\S+)$", &dockerfile), Some(pinned));
    let programs = Regex::new(r#"(?m)^\[\[bin\]\]\nname = "([a-z-]+)"$"#).unwrap();
    let manifest = read("Cargo.toml");
    let programs: BTreeSet<&str> = programs.captures_iter(&manifest).map(|of| of.get(1).unwrap().as_str()).collect();
    let copied = first(r"for program in ([a-z -]+);", &dockerfile).unwrap();
    assert_eq!(copied.split(' ').collect::<BTreeSet<_>>(), programs);
}

/// Directories and files at the top that a build of the programs reads: the manifest's own, and what sources embed.
fn read_by_a_build() -> BTreeSet<String> {
    let mut all: BTreeSet<String> = ["Cargo.toml", "Cargo.lock", "build.rs", "src"].map(String::from).into();
    // Cargo wants to see the files of every target that the manifest names.
    if read("Cargo.toml").contains("[[bench]]") {
        all.insert("benches".to_owned());
    }
    let include = Regex::new(r#"const INCLUDE: &str = "([^"]+)""#).unwrap();
    all.extend(include.captures_iter(&read("build.rs")).map(|of| of[1].to_owned()));
    let folder = Regex::new(r#"#\[folder = "([^"]+)/"\]"#).unwrap();
    all.extend(folder.captures_iter(&super::sources()).map(|of| of[1].to_owned()));
    all
}

#[test]
fn the_build_gets_what_it_reads_and_nothing_else() {
    let ignore = read(".dockerignore");
    let lines: Vec<&str> = ignore.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines.first(), Some(&"*"), "everything stays outside at first");
    let let_in: BTreeSet<String> = lines[1..].iter().map(|line| line.trim_start_matches('!').to_owned()).collect();
    assert!(lines[1..].iter().all(|line| line.starts_with('!')), "{lines:?}");
    assert_eq!(let_in, read_by_a_build());
    let missing = let_in.iter().filter(|name| !path(name).exists());
    nothing(&missing.map(|name| format!(".dockerignore: there is no {name}")).collect::<Vec<_>>());
}
