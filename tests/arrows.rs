//! Keeps the arrows between rooms: reads every `crate::<room>` path of the library (and every chain of `super` that
//! leaves its room) and fails on any that the table below does not allow. Macros' `$crate::` counts as well.

#![allow(clippy::unwrap_used, reason = "this is a test; clippy takes only its #[test] functions for one")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Which rooms a room may use. `bin/` may use all of them and is not looked at.
const MAY_USE: [(&str, &[&str]); 13] = [
    ("agent", &["health", "model", "vpp"]),
    ("cli", &["crd", "fleet", "health", "k8s", "model", "rpc"]),
    ("controller", &["crd", "fleet", "index", "k8s", "model"]),
    ("crd", &["model"]),
    ("dashboard", &["crd", "fleet", "k8s", "model"]),
    ("fleet", &["k8s", "model", "rpc", "telemetry"]),
    ("health", &["model"]),
    ("index", &["crd", "model"]),
    ("k8s", &["crd", "index", "model"]),
    ("model", &[]),
    ("rpc", &["model", "telemetry"]),
    ("telemetry", &["model"]),
    ("vpp", &["model"]),
];
/// The sandbox may use all other rooms, and nobody may use the sandbox.
const SANDBOX: &str = "sandbox";

fn may_use(from: &str, to: &str) -> bool {
    let allowed = MAY_USE.iter().find(|(room, _)| *room == from).map(|(_, allowed)| *allowed);
    let exists = MAY_USE.iter().any(|(room, _)| *room == to);
    from == to || allowed.is_some_and(|allowed| allowed.contains(&to)) || (from == SANDBOX && exists)
}

#[test]
fn rooms_use_only_the_rooms_they_may() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for file in rust_files(&src) {
        let inside = file.strip_prefix(&src).unwrap();
        let Some(module) = module_of(inside) else { continue };
        for to in rooms_named(&fs::read_to_string(&file).unwrap(), &module) {
            if !may_use(&module[0], &to) {
                wrong.push(format!("src/{}: {} may not use {to}", inside.display(), module[0]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_room_has_a_row_in_the_table() {
    let lib = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let rooms = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let unknown: Vec<_> =
        rooms.filter(|room| *room != SANDBOX && !MAY_USE.iter().any(|(row, _)| row == room)).collect();
    assert!(unknown.is_empty(), "rooms without a row: {unknown:?}");
}

#[test]
fn the_table_has_no_circle() {
    fn reaches(from: &str, goal: &str) -> bool {
        let next = MAY_USE.iter().find(|(room, _)| *room == from).map_or(&[][..], |(_, allowed)| allowed);
        next.iter().any(|room| *room == goal || reaches(room, goal))
    }
    for (room, _) in MAY_USE {
        assert!(!reaches(room, room), "{room} reaches itself");
    }
}

#[test]
fn the_reader_of_paths_sees_through_every_way_to_write_one() {
    let module: Vec<String> = ["vpp", "session"].map(String::from).to_vec();
    let found = |text: &str| rooms_named(text, &module).into_iter().collect::<Vec<_>>().join(" ");
    assert_eq!(found("use crate::model::Name;"), "model");
    assert_eq!(found("fn f() -> crate :: health::Probe {}"), "health");
    assert_eq!(found("use crate::{agent, index::{self, Index}, crd as c};"), "agent crd index");
    assert_eq!(found("use super::super::k8s::Watch;"), "k8s");
    assert_eq!(found("use super::frame::Frame; use self::super::codec;"), "vpp");
    assert_eq!(found("mod tests { use super::super::super::rpc::X; use super::Session; }"), "rpc vpp");
    assert_eq!(found("mod tests { use super::super::frame; } use super::super::fleet;"), "fleet vpp");
    assert_eq!(found("macro_rules! m { () => { $crate::telemetry::emit() } }"), "telemetry");
    assert_eq!(found("// crate::cli\n/* crate::cli /* */ crate::cli */ let s = \"crate::cli\"; let c = '\"'; "), "");
    assert_eq!(found("let s = r#\"crate::cli \" \"#; let l: &'static str = \"\\\"crate::cli\";"), "");
    assert_eq!(found("use crate::*;"), "*");
    assert_eq!(found("use maglev::dashboard::Broker;"), "dashboard");
    assert!(may_use("vpp", "vpp") && may_use("sandbox", "agent") && !may_use("vpp", "agent") && !may_use("vpp", "*"));
}

/// The module path of a file under `src/`; `None` for the library's root and the binaries.
fn module_of(inside: &Path) -> Option<Vec<String>> {
    let path = inside.with_extension("");
    let module: Vec<String> = path.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    (module[0] != "bin" && module != ["lib"]).then_some(module)
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The rooms that the paths in `text` lead to; `*` for a path that names the library's root itself.
fn rooms_named(text: &str, module: &[String]) -> BTreeSet<String> {
    let tokens = tokens(text);
    let mut rooms = BTreeSet::new();
    // How deep we are in braces, and at which depths an inline module was opened.
    let (mut depth, mut inline) = (0_usize, Vec::new());
    let mut at = 0;
    while at < tokens.len() {
        let is_path_start = at == 0 || tokens[at - 1] != "::";
        let levels = module.len() + inline.len();
        match tokens[at].as_str() {
            "{" => {
                depth += 1;
                if at >= 2 && tokens[at - 2] == "mod" {
                    inline.push(depth);
                }
            }
            "}" => {
                if inline.last() == Some(&depth) {
                    inline.pop();
                }
                depth = depth.saturating_sub(1);
            }
            "crate" | "maglev" if tokens.get(at + 1).is_some_and(|next| next == "::") && is_path_start => {
                rooms.extend(first_names(&tokens[at + 2..]));
            }
            "super" | "self" if is_path_start => {
                let mut ups = 0;
                while matches!(tokens.get(at).map(String::as_str), Some("super" | "self" | "::")) {
                    ups += usize::from(tokens[at] == "super");
                    at += 1;
                }
                if ups > 0 && ups >= levels {
                    rooms.extend(first_names(&tokens[at..]));
                } else if ups > 0 {
                    rooms.insert(module[0].clone());
                }
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    rooms
}

/// What may follow `crate::`: a name, or a group of paths.
fn first_names(tokens: &[String]) -> Vec<String> {
    let Some(first) = tokens.first() else { return Vec::new() };
    if first != "{" {
        return vec![if is_name(first) { first.clone() } else { "*".into() }];
    }
    let (mut names, mut depth) = (Vec::new(), 0_usize);
    for (before, token) in tokens.iter().zip(&tokens[1..]) {
        match before.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        if depth == 1 && matches!(before.as_str(), "{" | ",") && token != "}" {
            names.push(if is_name(token) && token != "self" { token.clone() } else { "*".into() });
        }
    }
    names
}

fn is_name(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Names, `::` and single signs, without comments, strings and characters.
fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let rest = &chars[at..];
        let skipped = comment(rest).or_else(|| raw_string(rest)).or_else(|| string(rest)).or_else(|| character(rest));
        if let Some(length) = skipped {
            at += length;
        } else if rest[0].is_alphanumeric() || rest[0] == '_' {
            let length = rest.iter().take_while(|c| c.is_alphanumeric() || **c == '_').count();
            tokens.push(rest[..length].iter().collect());
            at += length;
        } else if rest.starts_with(&[':', ':']) {
            tokens.push("::".into());
            at += 2;
        } else {
            if !rest[0].is_whitespace() {
                tokens.push(rest[0].to_string());
            }
            at += 1;
        }
    }
    tokens
}

fn comment(rest: &[char]) -> Option<usize> {
    if rest.starts_with(&['/', '/']) {
        return Some(rest.iter().take_while(|c| **c != '\n').count());
    }
    if !rest.starts_with(&['/', '*']) {
        return None;
    }
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        match &rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    Some(at)
}

fn raw_string(rest: &[char]) -> Option<usize> {
    let start = if rest.starts_with(&['b', 'r']) { 2 } else { usize::from(rest.first() == Some(&'r')) };
    if start == 0 {
        return None;
    }
    let hashes = rest[start..].iter().take_while(|c| **c == '#').count();
    if rest.get(start + hashes) != Some(&'"') {
        return None;
    }
    let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let body = start + hashes + 1;
    let length = rest[body..].windows(end.len()).position(|window| window == end)?;
    Some(body + length + end.len())
}

fn string(rest: &[char]) -> Option<usize> {
    if rest.first() != Some(&'"') {
        return None;
    }
    let mut at = 1;
    while at < rest.len() && rest[at] != '"' {
        at += 1 + usize::from(rest[at] == '\\');
    }
    Some(at + 1)
}

/// A character literal, not a lifetime.
fn character(rest: &[char]) -> Option<usize> {
    match rest {
        ['\'', '\\', _, more @ ..] => Some(3 + more.iter().position(|c| *c == '\'')? + 1),
        ['\'', _, '\'', ..] => Some(3),
        _ => None,
    }
}
