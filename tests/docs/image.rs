//! `Dockerfile` and `.dockerignore` against the workspace. The image is not built: only the names in it are checked.

use std::collections::BTreeSet;

use regex::Regex;

use super::{MANIFESTS, assert_none, path, programs_in, read, sources};

/// The first group of the first match.
fn first(pattern: &str, text: &str) -> Option<String> {
    Regex::new(pattern).unwrap().captures(text).map(|found| found[1].to_owned())
}

#[test]
fn the_image_is_built_by_the_pinned_toolchain_and_has_the_programs_of_a_cluster() {
    let dockerfile = read("Dockerfile");
    let pinned = first(r#"channel = "([^"]+)""#, &read("rust-toolchain.toml")).unwrap();
    assert_eq!(first(r"(?m)^ARG RUST_VERSION=(\S+)$", &dockerfile), Some(pinned));
    let stages: Vec<&str> = dockerfile.split("\nFROM ").collect();
    let stage = |name: &str| stages.iter().find(|stage| stage.contains(&format!(" AS {name}\n"))).unwrap();
    let copied = first(r"for program in ([a-z -]+);", stage("build")).unwrap();
    let [product, sandbox] = MANIFESTS.map(programs_in);
    assert_eq!(copied.split(' ').collect::<BTreeSet<_>>(), product.iter().map(String::as_str).collect());
    assert!(stage("build").contains("cargo build --locked --release -p maglev --bins "));
    for program in &sandbox {
        assert!(!stage("build").contains(&**program) && !stages.last().unwrap().contains("sandbox"), "{program}");
        assert!(stage("build-sandbox").contains(&format!("release/{program}\" /out/")), "{program}");
    }
}

#[test]
fn released_programs_end_with_a_panic_and_check_arithmetic() {
    let manifest = read("Cargo.toml");
    let release = first(r"(?m)^\[profile\.release\]\n((?:[^\[\n].*\n)+)", &manifest).unwrap();
    for setting in ["panic = \"abort\"", "overflow-checks = true"] {
        assert!(release.lines().any(|line| line == setting), "{setting} is not in\n{release}");
    }
}

#[test]
fn notice_names_every_crate_under_the_mozilla_license_with_its_version() {
    let (lock, notice) = (read("Cargo.lock"), read("NOTICE"));
    for name in ["imbl", "imbl-sized-chunks"] {
        let version = first(&format!(r#"(?m)^name = "{name}"\nversion = "([^"]+)"$"#), &lock).unwrap();
        let line = Regex::new(&format!(r"(?m)^ *{name} +{} ", regex::escape(&version))).unwrap();
        assert!(line.is_match(&notice), "NOTICE does not name {name} {version}");
    }
}

/// Directories and files at the top that a build of the image reads: the workspace, the embedded files, the licenses.
fn read_by_a_build() -> BTreeSet<String> {
    let mut all: BTreeSet<String> =
        [".cargo", "Cargo.toml", "Cargo.lock", "LICENSE", "NOTICE", "src"].map(String::from).into();
    // Cargo reads the manifests of all members.
    let members = first(r"(?m)^members = \[([^\]]+)\]$", &read("Cargo.toml")).unwrap();
    all.extend(members.split(", ").map(|member| member.trim_matches('"').trim_end_matches("/*").to_owned()));
    let sources = sources();
    let embedded = Regex::new(r#"(?:const INCLUDE: &str = |#\[folder = )"\.\./\.\./([^"]+?)/?""#).unwrap();
    let embedded: Vec<String> = embedded.captures_iter(&sources).map(|found| found[1].to_owned()).collect();
    assert_eq!(embedded.len(), 2, "the protocol and the page: {embedded:?}");
    all.extend(embedded);
    all
}

#[test]
fn the_build_gets_what_it_reads_and_nothing_else() {
    let ignore = read(".dockerignore");
    let lines: Vec<&str> = ignore.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines.first(), Some(&"*"), "everything is excluded first");
    let included: BTreeSet<String> = lines[1..].iter().map(|line| line.trim_start_matches('!').to_owned()).collect();
    assert!(lines[1..].iter().all(|line| line.starts_with('!')), "{lines:?}");
    assert_eq!(included, read_by_a_build());
    let missing = included.iter().filter(|name| !path(name).exists());
    assert_none(&missing.map(|name| format!(".dockerignore: there is no {name}")).collect::<Vec<_>>());
}
