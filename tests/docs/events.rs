//! `docs/events.md` and the lines of log that pages print, against `model::event`.

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
    change::{RemovalHold, Report, VipState, VppInfo},
    config::Kind,
    event::{Event, FrontendState, Level, ProgramResult, Scope, ServerRef, SyncCounts, VipRef},
    fingerprint::Fingerprint,
    health::{BackendHealth, BackendState, ProbeCode},
    problem::Reason,
    vip::Family,
};
use regex::Regex;

use super::{PAGES, nothing, read, sources};

/// One event of each kind with everything known, and a second one where the level varies. The order is the page's.
fn samples() -> Vec<Event> {
    let text = || "text".to_owned();
    let name = || Name::namespaced("default", "web");
    let address = "203.0.113.10".parse().unwrap();
    let prefix = VppVip { address, length: 32, protocol: 6, port: 80 };
    let vip = || VipRef { frontend: Some(name()), vip: prefix };
    let server = || ServerRef { vip: vip(), backend: Some(name()), address };
    let (scope, duration) = (Scope::All, Duration::ZERO);
    let changed = SyncCounts { vip_added: 1, ..SyncCounts::default() };
    let (kind, code, generation) = (Kind::Frontend, ProbeCode::L4Ok, 1);
    let conf = ActualConf {
        ipv4_source: Ipv4Addr::LOCALHOST,
        ipv6_source: Ipv6Addr::LOCALHOST,
        sticky_buckets_per_core: 1024,
        flow_timeout: 40,
    };
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
        Event::SyncDone { scope, counts: SyncCounts::default(), failed: 0, duration },
        Event::SyncDone { scope, counts: changed, failed: 0, duration },
        Event::VipAdded { vip: vip(), state: VipState::default() },
        Event::VipRemoved { vip: vip(), encap: "gre4" },
        Event::VipRecreate { vip: vip(), encap: "gre4", reason: text(), state: None },
        Event::AsAdded { server: server(), weight: 10, flush: true },
        Event::AsRemoved { server: server(), weight: 10, flush: true },
        Event::AsWeightUpdated { server: server(), from: 10, to: 0, flush: true },
        Event::SyncError { vip: Some(vip()), step: "add-vip", error: text() },
        Event::SyncHeld { hold: RemovalHold { id: Arc::clone(&hold), removals: 6, until } },
        Event::SyncReleased { hold },
        Event::ForeignVip { vip: prefix },
        Event::ProbePathSuspect { family: Family::V4, active: true },
        Event::BackendTransition { name: name(), from: BackendState::Up, code: Some(code), health },
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

/// A row of the page: an event's name, its levels and its keys.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    name: String,
    levels: Vec<String>,
    keys: Vec<String>,
}

fn level(of: Level) -> String {
    format!("{of:?}").to_lowercase()
}

fn rows_of_the_code() -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for event in samples() {
        let mut keys = Vec::new();
        event.fields(&mut |key, _| keys.push(key.to_owned()));
        match rows.last_mut().filter(|row| row.name == event.name() && row.keys == keys) {
            Some(row) => row.levels.push(level(event.level())),
            None => rows.push(Row { name: event.name().to_owned(), levels: vec![level(event.level())], keys }),
        }
    }
    rows
}

fn rows_of_the_page() -> Vec<(Row, String)> {
    let row = Regex::new(r"(?m)^\| `([\w-]+)` \| ([a-z, ]+) \| ([^|]*) \| ([^|]+) \|$").unwrap();
    let page = read("docs/events.md");
    row.captures_iter(&page)
        .map(|of| {
            let levels = of[2].split(", ").map(str::to_owned).collect();
            let keys = of[3].split_whitespace().map(|key| key.trim_matches('`').to_owned()).collect();
            (Row { name: of[1].to_owned(), levels, keys }, of[4].to_owned())
        })
        .collect()
}

#[test]
fn the_table_of_events_is_what_the_code_says() {
    let page: Vec<Row> = rows_of_the_page().into_iter().map(|(row, _)| row).collect();
    assert_eq!(page, rows_of_the_code());
}

#[test]
fn every_event_of_the_code_is_in_the_table() {
    let text = read("src/model/event.rs");
    let body = text.split("pub enum Event {").nth(1).and_then(|rest| rest.split("\n}").next()).unwrap();
    let variants = Regex::new(r"(?m)^    (\w+) \{").unwrap();
    let variants: BTreeSet<&str> = variants.captures_iter(body).map(|of| of.get(1).unwrap().as_str()).collect();
    let samples: Vec<String> = samples().iter().map(|event| format!("{event:?}")).collect();
    let sampled: BTreeSet<&str> = samples.iter().map(|text| text.split(' ').next().unwrap()).collect();
    assert_eq!(variants, sampled, "give `samples` one of each, and the page a row");
}

#[test]
fn what_the_table_calls_not_emitted_yet_is_just_what_no_room_emits() {
    let sources = sources();
    let emitted = Regex::new(r"Event::(\w+)").unwrap();
    let told: BTreeSet<&str> = emitted.captures_iter(&sources).map(|of| of.get(1).unwrap().as_str()).collect();
    let mut wrong = Vec::new();
    for event in samples() {
        let variant = format!("{event:?}");
        let variant = variant.split(' ').next().unwrap();
        let not_yet =
            rows_of_the_page().iter().any(|(row, when)| row.name == event.name() && when.contains("not emitted yet"));
        if not_yet == told.contains(variant) {
            let (says, is) = if not_yet { ("not emitted yet", "is") } else { ("emitted", "is not") };
            wrong.push(format!("{}: the page has it as {says}, and it {is} emitted", event.name()));
        }
    }
    nothing(&wrong);
}

#[test]
fn lines_of_log_on_a_page_are_ones_that_the_program_prints() {
    let line = Regex::new(r"(?m)^\d{4}-\d\d-\d\dT[\d:.]+Z ([A-Z]+) ([\w-]+)((?: .*)?)$").unwrap();
    let key = Regex::new(r#" ([a-z0-9-]+)=(?:"(?:[^"\\]|\\.)*"|\S+)"#).unwrap();
    let rows = rows_of_the_code();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for page in PAGES {
        for found in line.captures_iter(&read(page)) {
            seen += 1;
            let keys: Vec<&str> = key.captures_iter(&found[3]).map(|of| of.get(1).unwrap().as_str()).collect();
            let is = |row: &Row| {
                let mut rest = row.keys.iter();
                let in_order = keys.iter().all(|key| rest.any(|known| known == key));
                row.name == found[2] && row.levels.contains(&found[1].to_lowercase()) && in_order && !keys.is_empty()
            };
            if !rows.iter().any(is) {
                wrong.push(format!("{page}: {}", &found[0]));
            }
        }
    }
    assert!(seen >= 3, "the README shows what the log looks like");
    nothing(&wrong);
}

#[test]
fn every_event_named_anywhere_is_one() {
    let rows = rows_of_the_code();
    let mut wrong = Vec::new();
    for (page, named) in
        super::named(r"^((?:vpp-(?:lb|connect|disconnect|foreign|api)|config|frontend|backend|probe)-[a-z-]+)$")
    {
        let is_attribute = rows.iter().any(|row| row.keys.contains(&named));
        if !is_attribute && !rows.iter().any(|row| row.name == named) {
            wrong.push(format!("{page}: there is no event {named}"));
        }
    }
    nothing(&wrong);
}
