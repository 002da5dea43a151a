use super::{GrammarEntry, LineParser, Value, complete, first, help};
use crate::command::{BackendChange, Command, Watch};
use maglev_model::{config::AdminState, event::Level, trace::Flow, vip::Protocol};

fn words(line: &str) -> Vec<String> {
    shlex::split(line).unwrap()
}

fn command(line: &str) -> Result<Command, String> {
    LineParser::command(false, &words(line)).map_err(|error| error.to_string())
}

fn parse_error(line: &str) -> String {
    command(line).unwrap_err()
}

#[test]
fn unambiguous_abbreviations_are_accepted() {
    assert_eq!(command("status"), Ok(Command::Status));
    assert_eq!(command("st"), Ok(Command::Status));
    assert_eq!(command("sh no"), Ok(Command::Nodes));
    assert_eq!(command("sh vp l c"), Ok(Command::VppLbCounters));
    assert_eq!(
        command("show backend backends"),
        Ok(Command::Backend("backends".into())),
        "values cannot be abbreviated"
    );
    assert_eq!(command("show backends"), Ok(Command::Backends), "an exact word takes precedence over longer words");
    let disable = Command::SetAdminState { backend: "shop/a".into(), state: AdminState::Disabled };
    assert_eq!(command("se b shop/a d"), Ok(disable));
    assert_eq!(command("dr b shop/a"), Ok(Command::DrainBackend("shop/a".into())));
    assert_eq!(command("drain node node-a"), Ok(Command::DrainNode("node-a".into())));
    assert_eq!(command("undrain node node-a"), Ok(Command::UndrainNode("node-a".into())));
    let enable = Command::SetAdminState { backend: "shop/a".into(), state: AdminState::Enabled };
    assert_eq!(command("und b shop/a"), Ok(enable));
}

#[test]
fn parse_errors_name_the_text_and_the_alternatives() {
    for (line, message) in [
        (
            "",
            "missing command: expected one of status, why, explain, doctor, trace, whatif, diff, show, watch, sync, accept, set, drain, undrain, crds, completion",
        ),
        (
            "show",
            "incomplete command `show`: expected one of version, nodes, frontends, frontend, backends, backend, policies, policy, addresses, healthchecks, vpp",
        ),
        ("sh back", "ambiguous word `back` after `show`: backends or backend"),
        ("s", "ambiguous word `s`: status or show or sync or set"),
        (
            "show nodse",
            "unknown word `nodse` after `show`: expected one of version, nodes, frontends, frontend, backends, backend, policies, policy, addresses, healthchecks, vpp; did you mean nodes?",
        ),
        ("show backend", "incomplete command `show backend`: expected BACKEND"),
        ("show backend a/b/c", "invalid BACKEND `a/b/c` after `show backend`: expected a name, or namespace/name"),
        ("status now", "unexpected word `now`: `status` is complete"),
        (
            "set f web p primary b a w 101",
            "invalid WEIGHT `101` after `set frontend web pool primary backend a weight`: expected a whole number from 0 to 100",
        ),
        (
            "watch events level loud",
            "invalid LEVEL `loud` after `watch events level`: expected debug, info, warn or error",
        ),
        (
            "watch events num 3 num 4",
            "unknown word `num` after `watch events num 3`: expected one of log, level, backend, frontend",
        ),
        ("trace icmp", "invalid PROTO `icmp` after `trace`: expected tcp or udp"),
        (
            "trace tcp 198.51.100.7",
            "invalid SOURCE `198.51.100.7` after `trace tcp`: expected an address and a port from 1 to 65535, such as 198.51.100.7:40312 or [2001:db8::7]:40312",
        ),
        (
            "trace udp 198.51.100.7:40312 203.0.113.10:0",
            "invalid DESTINATION `203.0.113.10:0` after `trace udp 198.51.100.7:40312`: expected an address and a port from 1 to 65535, such as 198.51.100.7:40312 or [2001:db8::7]:40312",
        ),
        (
            "trace udp 198.51.100.7:40312 [2001:db8::1]:53",
            "invalid DESTINATION `[2001:db8::1]:53` after `trace udp 198.51.100.7:40312`: expected an IPv4 address, like that of SOURCE",
        ),
        (
            "trace udp [2001:db8::7]:40312 203.0.113.10:53",
            "invalid DESTINATION `203.0.113.10:53` after `trace udp [2001:db8::7]:40312`: expected an IPv6 address, like that of SOURCE",
        ),
        ("trace tcp 198.51.100.7:40312", "incomplete command `trace tcp 198.51.100.7:40312`: expected DESTINATION"),
        ("watch events num", "incomplete command `watch events num`: expected N"),
        (
            "help",
            "unknown word `help`: expected one of status, why, explain, doctor, trace, whatif, diff, show, watch, sync, accept, set, drain, undrain, crds, completion",
        ),
    ] {
        assert_eq!(parse_error(line), message, "{line}");
    }
}

#[test]
fn options_are_accepted_in_any_order_and_once() {
    let watch = |num, log, level, backend, frontend| Ok(Command::Watch(Watch { num, log, level, backend, frontend }));
    assert_eq!(command("watch events"), watch(None, true, Level::Info, false, false));
    assert_eq!(command("watch events backend num 7"), watch(Some(7), false, Level::Info, true, false));
    assert_eq!(command("wa e f log level debug b"), watch(None, true, Level::Debug, true, true));
    assert_eq!(command("sync vpp lb state"), Ok(Command::Sync));
    assert_eq!(command("acc 1f9b2c3d"), Ok(Command::Accept("1f9b2c3d".into())));
}

#[test]
fn former_command_is_refused_with_its_replacement() {
    let error = parse_error("sync vpp lb state accept-removals 1f9b2c3d");
    assert!(error.ends_with("does not exist any more: use `maglevc accept HOLD-ID`"), "{error}");
}

#[test]
fn set_weight_takes_frontend_pool_and_backend() {
    let expected =
        Command::SetWeight { frontend: "web".into(), pool: "primary".into(), backend: "a".into(), weight: 0 };
    assert_eq!(command("set frontend web pool primary backend a weight 0"), Ok(expected));
}

#[test]
fn whatif_takes_a_backend_with_a_change_or_a_lost_node() {
    let what_if = |line: &str| match command(line) {
        Ok(Command::WhatIfBackend { backend, change }) => (backend, change),
        other => panic!("{line}: {other:?}"),
    };
    for (word, change) in [
        ("up", BackendChange::Up),
        ("down", BackendChange::Down),
        ("pause", BackendChange::AdminState(AdminState::Paused)),
        ("disable", BackendChange::AdminState(AdminState::Disabled)),
        ("enable", BackendChange::AdminState(AdminState::Enabled)),
        ("weight 50", BackendChange::Weight { weight: 50, frontend: None }),
        ("weight 0 in web", BackendChange::Weight { weight: 0, frontend: Some("web".into()) }),
    ] {
        assert_eq!(what_if(&format!("whatif backend shop/a {word}")), ("shop/a".into(), change), "{word}");
    }
    assert_eq!(command("whati node node-a lost"), Ok(Command::WhatIfNodeLost("node-a".into())));
    assert_eq!(command("diff"), Ok(Command::Diff));
    assert_eq!(
        parse_error("whatif backend a weight 101"),
        "invalid WEIGHT `101` after `whatif backend a weight`: expected a whole number from 0 to 100"
    );
    assert_eq!(parse_error("whatif node a"), "incomplete command `whatif node a`: expected lost");
}

#[test]
fn trace_takes_a_flow() {
    for (line, protocol, source, destination) in [
        ("trace tcp 198.51.100.7:40312 203.0.113.10:80", Protocol::Tcp, "198.51.100.7:40312", "203.0.113.10:80"),
        ("tr udp [2001:db8::7]:1 [2001:db8::10]:53", Protocol::Udp, "[2001:db8::7]:1", "[2001:db8::10]:53"),
    ] {
        let flow = Flow::new(protocol, source.parse().unwrap(), destination.parse().unwrap()).unwrap();
        assert_eq!(command(line), Ok(Command::Trace(flow)));
    }
}

fn children(entry: &GrammarEntry) -> &'static [GrammarEntry] {
    match entry.next {
        super::Next::Then(list) | super::Next::Options(_, list) => list,
        super::Next::Run(_) | super::Next::Back => &[],
    }
}

/// Calls `visit` with every entry and the names on its path.
fn visit_all(
    list: Vec<&'static GrammarEntry>,
    before: &[&'static str],
    visit: &mut dyn FnMut(&[&'static str], &'static GrammarEntry),
) {
    for entry in list {
        let path: Vec<_> = before.iter().copied().chain([entry.name()]).collect();
        visit(&path, entry);
        visit_all(children(entry).iter().collect(), &path, visit);
    }
}

#[test]
fn every_word_has_help_and_a_valid_example() {
    let mut visited = 0;
    visit_all(first(false), &[], &mut |path, entry| {
        visited += 1;
        assert!(!entry.help.is_empty(), "{path:?}");
        if matches!(entry.token, super::Token::Word(_)) && path.last() != Some(&"backend") {
            assert!(!entry.example.is_empty(), "{path:?} has no example");
        }
        if entry.example.is_empty() {
            return;
        }
        let line = entry.example.trim_start_matches("source <(").trim_end_matches(')');
        let line = line.split(" | ").next().unwrap().strip_prefix("maglevc ").expect("examples begin with maglevc");
        let flags = crate::flags::Flags::from_line(&words(line)).unwrap();
        LineParser::command(false, &flags.words).unwrap_or_else(|error| panic!("{}: {error}", entry.example));
    });
    assert!(visited > 40, "the whole table was visited");
}

#[test]
fn alternatives_are_distinct_and_values_have_none() {
    let check = |list: &[&GrammarEntry]| {
        let values = list.iter().filter(|entry| matches!(entry.token, super::Token::Value(_))).count();
        let mut names: Vec<_> = list.iter().map(|entry| entry.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), list.len(), "{names:?}");
        assert!(values == 0 || list.len() == 1, "{names:?}");
    };
    check(&first(true));
    visit_all(first(true), &[], &mut |_, entry| check(&children(entry).iter().collect::<Vec<_>>()));
}

fn candidates(line: &str) -> Vec<String> {
    let mut before = words(line);
    let partial = if line.ends_with(' ') { String::new() } else { before.pop().unwrap_or_default() };
    let names = |kind: Value, line: &super::ParsedLine| match kind {
        Value::Backend => vec!["shop/a".to_owned(), "shop/b".to_owned()],
        Value::Member => vec![format!("member of {} {}", line.text(Value::Frontend), line.text(Value::Pool))],
        _ => Vec::new(),
    };
    let parser = LineParser::parse(false, &before).unwrap();
    complete::complete(&parser, &partial, &names).into_iter().map(|candidate| candidate.text).collect()
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
    assert_eq!(candidates("trace "), ["tcp", "udp"]);
    assert!(candidates("trace tcp ").is_empty(), "clients are not known");
    assert!(candidates("status ").is_empty());
}

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

#[test]
fn question_mark_lists_the_alternatives() {
    let at = |line: &str, partial: &str| plain(&help::inline(&LineParser::parse(true, &words(line)).unwrap(), partial));
    assert_eq!(
        at("show vpp lb", ""),
        "  state     VIPs and application servers in VPP, with weights and buckets\n  counters  counters of VPP for each VIP and application server, and its sticky tables\n"
    );
    let both = "  explain  explain what a namespace may use\n  exit     leave the shell, like Ctrl-D\n";
    assert_eq!(at("", "ex"), both);
    assert_eq!(
        at("show backend", "we"),
        "  BACKEND  the Backend, as NAMESPACE/NAME, or as NAME in the current namespace\n"
    );
    assert_eq!(at("status", ""), "  <Enter>  run the command\n");
    assert!(at("watch events num 3", "").ends_with("  <Enter>   run the command\n"));
    assert_eq!(at("show", "x"), "  no match for `x`\n");
}

#[test]
fn help_of_a_command_has_usage_and_example() {
    let page = |line: &str| plain(&help::page(&LineParser::parse(false, &words(line)).unwrap(), "kubectl maglev"));
    let text = page("watch ev");
    assert!(text.starts_with("Events of all nodes, until Ctrl-C\n\nBy default,"), "{text}");
    assert!(
        text.contains("Usage: kubectl maglev watch events [num N] [log] [level LEVEL] [backend] [frontend]\n"),
        "{text}"
    );
    assert!(text.contains("Example:\n  kubectl maglev watch events num 20 log level debug --node node-a\n"), "{text}");
    let text = page("set backend");
    assert!(text.contains("Usage: kubectl maglev set backend BACKEND enable|pause|disable"), "{text}");
}
