use super::{Entry, Value, Walk, complete, first, help};
use crate::command::{Command, Watch};
use maglev_model::{config::AdminState, event::Level};

fn words(line: &str) -> Vec<String> {
    shlex::split(line).unwrap()
}

fn command(line: &str) -> Result<Command, String> {
    Walk::command(false, &words(line)).map_err(|wrong| wrong.to_string())
}

fn wrong(line: &str) -> String {
    command(line).unwrap_err()
}

#[test]
fn every_word_may_be_shortened_as_long_as_one_fits() {
    assert_eq!(command("status"), Ok(Command::Status));
    assert_eq!(command("st"), Ok(Command::Status));
    assert_eq!(command("sh no"), Ok(Command::Nodes));
    assert_eq!(command("sh vp l c"), Ok(Command::VppLbCounters));
    assert_eq!(command("show backend backends"), Ok(Command::Backend("backends".into())), "a value is never shortened");
    assert_eq!(command("show backends"), Ok(Command::Backends), "a whole word wins over a longer one");
    let disable = Command::SetAdminState { backend: "shop/a".into(), state: AdminState::Disabled };
    assert_eq!(command("se b shop/a d"), Ok(disable));
}

#[test]
fn what_does_not_fit_is_named_with_what_is_allowed_there() {
    for (line, says) in [
        ("", "a command is missing: one of status, why, show, watch, sync, set, crds, completion"),
        ("show", "`show` goes on: one of version, nodes, frontends, frontend, backends, backend, healthchecks, vpp"),
        ("sh back", "`back` after `show` may be backends or backend"),
        ("s", "`s` may be status or show or sync or set"),
        (
            "show nodse",
            "there is no `nodse` after `show`: one of version, nodes, frontends, frontend, backends, backend, healthchecks, vpp; did you mean nodes?",
        ),
        ("show backend", "`show backend` goes on: BACKEND"),
        ("show backend a/b/c", "`a/b/c` after `show backend` is no BACKEND: it is a name, or namespace/name"),
        ("status now", "nothing follows `status`, but there is `now`"),
        (
            "set f web p primary b a w 101",
            "`101` after `set frontend web pool primary backend a weight` is no WEIGHT: it is a whole number from 0 to 100",
        ),
        ("watch events level loud", "`loud` after `watch events level` is no LEVEL: it is debug, info, warn or error"),
        (
            "watch events num 3 num 4",
            "there is no `num` after `watch events num 3`: one of log, level, backend, frontend",
        ),
        ("watch events num", "`watch events num` goes on: N"),
        ("help", "there is no `help`: one of status, why, show, watch, sync, set, crds, completion"),
    ] {
        assert_eq!(wrong(line), says, "{line}");
    }
}

#[test]
fn options_come_in_any_order_and_once() {
    let watch = |num, log, level, backend, frontend| Ok(Command::Watch(Watch { num, log, level, backend, frontend }));
    assert_eq!(command("watch events"), watch(None, true, Level::Info, false, false));
    assert_eq!(command("watch events backend num 7"), watch(Some(7), false, Level::Info, true, false));
    assert_eq!(command("wa e f log level debug b"), watch(None, true, Level::Debug, true, true));
    assert_eq!(command("sync vpp lb state"), Ok(Command::Sync { accept: None }));
    assert_eq!(command("sync vpp lb state accept h-1"), Ok(Command::Sync { accept: Some("h-1".into()) }));
}

#[test]
fn a_weight_needs_the_frontend_the_pool_and_the_backend() {
    let wanted = Command::SetWeight { frontend: "web".into(), pool: "primary".into(), backend: "a".into(), weight: 0 };
    assert_eq!(command("set frontend web pool primary backend a weight 0"), Ok(wanted));
}

fn children(entry: &Entry) -> &'static [Entry] {
    match entry.next {
        super::Next::Then(list) | super::Next::Options(_, list) => list,
        super::Next::Run(_) | super::Next::Back => &[],
    }
}

/// Calls `see` with every entry and the names that lead to it.
fn every(list: Vec<&'static Entry>, before: &[&'static str], see: &mut dyn FnMut(&[&'static str], &'static Entry)) {
    for entry in list {
        let path: Vec<_> = before.iter().copied().chain([entry.name()]).collect();
        see(&path, entry);
        every(children(entry).iter().collect(), &path, see);
    }
}

#[test]
fn every_word_has_help_and_an_example_that_is_a_command() {
    let mut seen = 0;
    every(first(false), &[], &mut |path, entry| {
        seen += 1;
        assert!(!entry.help.is_empty(), "{path:?}");
        if matches!(entry.token, super::Token::Word(_)) && path.last() != Some(&"backend") {
            assert!(!entry.example.is_empty(), "{path:?} has no example");
        }
        if entry.example.is_empty() {
            return;
        }
        let line = entry.example.trim_start_matches("source <(").trim_end_matches(')');
        let line = line.split(" | ").next().unwrap().strip_prefix("maglevc ").expect("it begins with maglevc");
        let flags = crate::flags::Flags::of_line(&words(line)).unwrap();
        Walk::command(false, &flags.words).unwrap_or_else(|wrong| panic!("{}: {wrong}", entry.example));
    });
    assert!(seen > 40, "the table was walked");
}

#[test]
fn no_two_words_of_one_place_are_alike_and_a_value_stands_alone() {
    let alone = |list: &[&Entry]| {
        let values = list.iter().filter(|entry| matches!(entry.token, super::Token::Value(_))).count();
        let mut names: Vec<_> = list.iter().map(|entry| entry.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), list.len(), "{names:?}");
        assert!(values == 0 || list.len() == 1, "{names:?}");
    };
    alone(&first(true));
    every(first(true), &[], &mut |_, entry| alone(&children(entry).iter().collect::<Vec<_>>()));
}

fn candidates(line: &str) -> Vec<String> {
    let mut before = words(line);
    let partial = if line.ends_with(' ') { String::new() } else { before.pop().unwrap_or_default() };
    let names = |kind: Value, read: &super::Read| match kind {
        Value::Backend => vec!["shop/a".to_owned(), "shop/b".to_owned()],
        Value::Member => vec![format!("member of {} {}", read.text(Value::Frontend), read.text(Value::Pool))],
        _ => Vec::new(),
    };
    let walk = Walk::along(false, &before).unwrap();
    complete::complete(&walk, &partial, &names).into_iter().map(|candidate| candidate.text).collect()
}

#[test]
fn words_and_names_are_completed() {
    assert_eq!(candidates("s"), ["status", "show", "sync", "set"]);
    assert_eq!(candidates("show b"), ["backends", "backend"]);
    assert_eq!(candidates("show backend "), ["shop/a", "shop/b"]);
    assert_eq!(candidates("show backend shop/b"), ["shop/b"]);
    assert_eq!(candidates("set frontend web pool primary backend "), ["member of web primary"]);
    assert_eq!(candidates("watch events level "), ["debug", "info", "warn", "error"]);
    assert_eq!(candidates("watch events log "), ["num", "level", "backend", "frontend"]);
    assert!(candidates("status ").is_empty());
}

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

#[test]
fn a_question_mark_says_what_may_come() {
    let at = |line: &str, partial: &str| plain(&help::inline(&Walk::along(true, &words(line)).unwrap(), partial));
    assert_eq!(
        at("show vpp lb", ""),
        "  state     the VIPs and servers that VPP has, with weights and buckets\n  counters  what VPP has counted for each VIP\n"
    );
    assert_eq!(at("", "ex"), "  exit  leave the shell; so does Ctrl-D\n");
    assert_eq!(at("show backend", "we"), "  BACKEND  the Backend: NAMESPACE/NAME, or NAME in the namespace in use\n");
    assert_eq!(at("status", ""), "  <Enter>  run it\n");
    assert!(at("watch events num 3", "").ends_with("  <Enter>   run it\n"));
    assert_eq!(at("show", "x"), "  nothing begins with `x` here\n");
}

#[test]
fn the_help_of_a_command_teaches_with_an_example() {
    let page = |line: &str| plain(&help::page(&Walk::along(false, &words(line)).unwrap(), "kubectl maglev"));
    let text = page("watch ev");
    assert!(text.starts_with("Events of every node, until Ctrl-C\n\nWithout a choice,"), "{text}");
    assert!(
        text.contains("Usage: kubectl maglev watch events [num N] [log] [level LEVEL] [backend] [frontend]\n"),
        "{text}"
    );
    assert!(text.contains("Example:\n  kubectl maglev watch events num 20 log level debug --node node-a\n"), "{text}");
    let text = page("set backend");
    assert!(text.contains("Usage: kubectl maglev set backend BACKEND enable|pause|disable"), "{text}");
}
