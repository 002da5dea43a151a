//! Compares `docs/events.md`, and the log lines that documents print, with `model::event`.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use maglev_model::{
    Name,
    actual::{ActualConf, VppVip},
    change::{HeldChange, Report, SyncHold, VipState, VppInfo},
    config::Kind,
    drain::{Drain, DrainLosses, DrainState, OnDeadline},
    event::{Event, FrontendState, HoldEnd, Level, ProgramResult, Scope, ServerRef, SyncCounts, SyncFlows, VipRef},
    fingerprint::Fingerprint,
    health::{BackendHealth, BackendState, ProbeCode},
    path::{PathHealth, PathKey, PathState},
    problem::Reason,
    vip::Family,
};
use regex::Regex;

use super::{PAGES, assert_none, read, sources};

/// One event of each kind with all attributes set, and a second one where the level varies. In the order of the page.
fn samples() -> Vec<Event> {
    let text = || "text".to_owned();
    let name = || Name::namespaced("default", "web");
    let address = "203.0.113.10".parse().unwrap();
    let prefix = VppVip { address, length: 32, protocol: 6, port: 80 };
    let vip = || VipRef { frontend: Some(name()), vip: prefix };
    let server = || ServerRef { vip: vip(), backend: Some(name()), address };
    let (scope, duration) = (Scope::All, Duration::ZERO);
    let flows = SyncFlows { buckets_moved: Some(12.5), flushed: Some(3) };
    let changed = SyncCounts { vip_added: 1, ..SyncCounts::default() };
    let (kind, code, generation) = (Kind::Frontend, ProbeCode::L4Ok, 1);
    let conf = ActualConf {
        ipv4_source: Ipv4Addr::LOCALHOST,
        ipv6_source: Ipv6Addr::LOCALHOST,
        sticky_buckets_per_core: 1024,
        flow_timeout: 40,
    };
    let change = HeldChange { frontend: name(), moved_permille: 341 };
    let (hold, until) = (Arc::<str>::from("1"), Timestamp::UNIX_EPOCH);
    let (uid, fingerprint) = ("u".into(), Fingerprint { version: Fingerprint::VERSION, hash: [0; 32] });
    let report = Report { uid, generation, fingerprint, result: ProgramResult::Programmed, reason: "text".into() };
    let health = BackendHealth {
        address,
        state: BackendState::Down,
        ever_known: true,
        in_doubt: false,
        history: Arc::default(),
    };
    vec![
        Event::VppConnect { info: Arc::new(VppInfo::default()), api: text(), stats: text() },
        Event::VppConnectFailed { error: text(), warn: false },
        Event::VppConnectFailed { error: text(), warn: true },
        Event::VppDisconnect { reason: text() },
        Event::VppLbState { conf, actual: Arc::default() },
        Event::VppLbConfSet { conf },
        Event::SyncStart { scope },
        Event::SyncDone { scope, counts: SyncCounts::default(), failed: 0, duration, flows },
        Event::SyncDone { scope, counts: changed, failed: 0, duration, flows },
        Event::VipAdded { vip: vip(), state: VipState::default() },
        Event::VipRemoved { vip: vip(), encap: "gre4" },
        Event::VipRecreate { vip: vip(), encap: "gre4", reason: text(), state: None },
        Event::AsAdded { server: server(), weight: 10, flush: true },
        Event::AsRemoved { server: server(), weight: 10, flush: true },
        Event::AsWeightUpdated { server: server(), from: 10, to: 0, flush: true },
        Event::SyncError { vip: Some(vip()), step: "add-vip", error: text() },
        Event::SyncHeld { hold: SyncHold { id: Arc::clone(&hold), removals: 6, change: None, until } },
        Event::SyncHeld { hold: SyncHold { id: Arc::clone(&hold), removals: 0, change: Some(change), until } },
        Event::SyncReleased { hold, by: HoldEnd::Accepted },
        Event::ForeignVip { vip: prefix },
        Event::ProbePathSuspect { family: Family::V4, active: true },
        Event::BackendTransition { name: name(), from: BackendState::Up, code: Some(code), health },
        Event::DrainTransition {
            name: name(),
            from: Some(DrainState::FlowsLeft),
            drain: Drain {
                generation,
                state: DrainState::Quiet,
                since: Timestamp::UNIX_EPOCH,
                flows: Some(7),
                bits_per_second: None,
                idle: None,
                is_shared: false,
                is_overdue: false,
                losses: DrainLosses::default(),
            },
        },
        Event::DrainDeadline { name: name(), action: OnDeadline::Flush, vips: 1 },
        Event::PathTransition {
            path: PathKey { frontend: name(), backend: name() },
            from: PathState::Ok,
            health: PathHealth {
                address: [192, 0, 2, 1].into(),
                state: PathState::Timeout,
                since: Timestamp::UNIX_EPOCH,
                in_doubt: false,
                detail: "no answer".into(),
            },
        },
        Event::FrontendTransition { name: name(), from: FrontendState::Up, to: FrontendState::Down, code: Some(code) },
        Event::ProbeStart { backend: name(), kind: "HTTP" },
        Event::ProbeDone { backend: name(), kind: "HTTP", code, duration },
        Event::VppApiSend { msg: "lb_vip_dump" },
        Event::VppApiRecv { msg: "lb_vip_details" },
        Event::ConfigApplied { kind, name: name(), generation },
        Event::ConfigListed { kind, count: 1 },
        Event::ConfigRemoved { kind, name: name() },
        Event::ConfigRejected {
            kind,
            name: name(),
            generation,
            field: text(),
            reason: Reason::Invalid,
            message: text(),
        },
        Event::FrontendProgrammed { name: name(), report },
    ]
}

/// A row of the page: name, levels and keys of an event.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    name: String,
    levels: Vec<String>,
    keys: Vec<String>,
}

fn level_name(level: Level) -> String {
    format!("{level:?}").to_lowercase()
}

fn code_rows() -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for event in samples() {
        let mut keys = Vec::new();
        event.fields(&mut |key, _| keys.push(key.to_owned()));
        match rows.last_mut().filter(|row| row.name == event.name() && row.keys == keys) {
            Some(row) => row.levels.push(level_name(event.level())),
            None => rows.push(Row { name: event.name().to_owned(), levels: vec![level_name(event.level())], keys }),
        }
    }
    rows
}

fn page_rows() -> Vec<(Row, String)> {
    let row = Regex::new(r"(?m)^\| `([\w-]+)` \| ([a-z, ]+) \| ([^|]*) \| ([^|]+) \|$").unwrap();
    let page = read("docs/events.md");
    row.captures_iter(&page)
        .map(|captures| {
            let levels = captures[2].split(", ").map(str::to_owned).collect();
            let keys = captures[3].split_whitespace().map(|key| key.trim_matches('`').to_owned()).collect();
            (Row { name: captures[1].to_owned(), levels, keys }, captures[4].to_owned())
        })
        .collect()
}

#[test]
fn event_table_matches_the_code() {
    let page: Vec<Row> = page_rows().into_iter().map(|(row, _)| row).collect();
    assert_eq!(page, code_rows());
}

#[test]
fn event_table_has_every_event() {
    let text = read("crates/model/src/event.rs");
    let body = text.split("pub enum Event {").nth(1).and_then(|rest| rest.split("\n}").next()).unwrap();
    let variants = Regex::new(r"(?m)^    (\w+) \{").unwrap();
    let variants: BTreeSet<&str> =
        variants.captures_iter(body).map(|captures| captures.get(1).unwrap().as_str()).collect();
    let samples: Vec<String> = samples().iter().map(|event| format!("{event:?}")).collect();
    let sampled: BTreeSet<&str> = samples.iter().map(|text| text.split(' ').next().unwrap()).collect();
    assert_eq!(variants, sampled, "add a sample of each new event to `samples`, and a row to the page");
}

#[test]
fn events_marked_not_emitted_yet_are_not_emitted() {
    let sources = sources();
    let emitted = Regex::new(r"Event::(\w+)").unwrap();
    let emitted: BTreeSet<&str> =
        emitted.captures_iter(&sources).map(|captures| captures.get(1).unwrap().as_str()).collect();
    let mut wrong = Vec::new();
    for event in samples() {
        let variant = format!("{event:?}");
        let variant = variant.split(' ').next().unwrap();
        let not_yet =
            page_rows().iter().any(|(row, when)| row.name == event.name() && when.contains("not emitted yet"));
        if not_yet == emitted.contains(variant) {
            let (page, code) = if not_yet { ("not emitted yet", "emits") } else { ("emitted", "does not emit") };
            wrong.push(format!("{}: the page marks it as {page}, but the code {code} it", event.name()));
        }
    }
    assert_none(&wrong);
}

#[test]
fn log_lines_in_documents_match_the_events() {
    let line = Regex::new(r"(?m)^\d{4}-\d\d-\d\dT[\d:.]+Z ([A-Z]+) ([\w-]+)((?: .*)?)$").unwrap();
    let key = Regex::new(r#" ([a-z0-9-]+)=(?:"(?:[^"\\]|\\.)*"|\S+)"#).unwrap();
    let rows = code_rows();
    let mut wrong = Vec::new();
    let mut lines = 0;
    for page in PAGES {
        for found in line.captures_iter(&read(page)) {
            lines += 1;
            let keys: Vec<&str> =
                key.captures_iter(&found[3]).map(|captures| captures.get(1).unwrap().as_str()).collect();
            let is = |row: &Row| {
                let mut rest = row.keys.iter();
                let in_order = keys.iter().all(|key| rest.any(|row_key| row_key == key));
                row.name == found[2] && row.levels.contains(&found[1].to_lowercase()) && in_order && !keys.is_empty()
            };
            if !rows.iter().any(is) {
                wrong.push(format!("{page}: {}", &found[0]));
            }
        }
    }
    assert!(lines >= 3, "the README shows examples of log lines");
    assert_none(&wrong);
}

#[test]
fn event_names_in_documents_exist() {
    let rows = code_rows();
    let mut wrong = Vec::new();
    for (page, named) in
        super::named(r"^((?:vpp-(?:lb|connect|disconnect|foreign|api)|config|frontend|backend|probe)-[a-z-]+)$")
    {
        let is_attribute = rows.iter().any(|row| row.keys.contains(&named));
        if !is_attribute && !rows.iter().any(|row| row.name == named) {
            wrong.push(format!("{page}: there is no event {named}"));
        }
    }
    assert_none(&wrong);
}
