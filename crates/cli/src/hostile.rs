//! Hostile texts in everything that `maglevc` prints: objects of tenants, and the answers of a false agent.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use fastrand::Rng;
use jiff::Timestamp;

mod lines;
mod services;

use super::{
    accept::{Accepted, Released},
    backend::{Backends, detail::BackendOverview, detail::Response, why::Explanation},
    diff::{Diff, DryRuns},
    doctor::Preparation,
    drain::{BackendDrain, Drains},
    events::line::{EventLine, remark},
    fan_out::Responses,
    flags::{HashFunction, Output},
    frontend::{Frontends, detail::FrontendOverview},
    health_check::HealthChecks,
    node::{Build, Nodes, Versions},
    output::{Printable, render},
    run::{error_text, not_found},
    set::Changed,
    status::StatusReport,
    style::{Style, guarded},
    sync::Synced,
    trace::Trace,
    vpp,
    what_if::{LostNode, WhatIfReport},
};
use kube::core::Status;
use maglev_fleet::{
    AgentTarget, AgentVersion, AsOf, CountersRead, Line, LinkState, NodeState,
    operator_change::ChangeOutcome,
    survey::{Survey, SustainedFaults},
};
use maglev_kube::{ChangeRequest, LastWriter, WriteOutcome, accepted_removals::AcceptError};
use maglev_model::{
    Name,
    actual::LbDump,
    change::{HeldChange, Problems, SyncHold, VipState, VppInfo},
    config::AdminState,
    counters::StatsSnapshot,
    event::Level,
    health::{LastProbe, ProbeCode, Probing},
    operator_change::OperatorChange,
    preview::WhatIf,
    printable::is_unprintable,
    trace::Flow,
    view::{Fold as _, View},
    vip::Protocol,
};
use maglev_rpc::client::{BackendDetail, VppDetail};
use maglev_testkit::ChangeGenerator;

/// Number of generated sets of objects and answers.
const SETS: u64 = 1000;
/// Number of generated sets of lines, for which clap is slow.
const LINES: u64 = 100;
/// The start of a line that a text tries to forge.
const FORGED: &str = "forged:";
const FORMATS: [Output; 4] = [Output::Table, Output::Wide, Output::Json, Output::Yaml];

fn hostile_text(rng: &mut Rng) -> String {
    const PARTS: [&str; 24] = [
        "\u{1b}[31m",
        "\u{1b}[2J\u{1b}[H",
        "\u{1b}]0;title\u{7}",
        "\u{1b}",
        "\u{9b}2K",
        "\u{90}q\u{9c}",
        "\u{85}",
        "\r",
        "\n",
        "\nforged: everything is up",
        "\u{2028}forged:",
        "\t",
        "\u{8}",
        "\u{7f}",
        "\0",
        "\u{202e}",
        "\u{2066}",
        "\u{200f}",
        "\u{61c}",
        "\"",
        "\\",
        ": ",
        "a",
        "längst",
    ];
    (0..rng.usize(..5)).map(|_| PARTS[rng.usize(..PARTS.len())]).collect()
}

/// The objects and answers of one set.
struct Generated {
    rng: Rng,
    generator: ChangeGenerator,
    names: [String; 4],
}

impl Generated {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let names = ["a", "b", "c", "d"].map(|letter| format!("{letter}{}", hostile_text(&mut rng)));
        let texts = (0..8).map(|_| hostile_text(&mut rng)).collect();
        let generator = ChangeGenerator::new(seed).with_texts(names.clone(), texts);
        Self { rng, generator, names }
    }

    fn text(&mut self) -> String {
        hostile_text(&mut self.rng)
    }

    fn time(&mut self) -> Timestamp {
        Timestamp::from_second(self.rng.i64(0..2_000_000_000)).expect("the time is in range")
    }

    fn vpp_info(&mut self) -> VppInfo {
        VppInfo { version: self.text(), build_date: self.text(), pid: 7, capabilities: self.text() }
    }

    fn stats(&mut self) -> Arc<StatsSnapshot> {
        let counters = Some(self.generator.counters());
        Arc::new(StatsSnapshot { version: self.text(), build_date: self.text(), pid: 7, counters })
    }

    fn dump(&mut self) -> LbDump {
        LbDump { at: self.time(), conf: self.generator.conf(), actual: self.generator.actual() }
    }

    fn node(&mut self, number: u8) -> NodeState {
        let (mut view, at) = (View::default(), self.time());
        (0..20).for_each(|_| view.apply(&self.generator.change(), at));
        let version = AgentVersion {
            node: self.text(),
            version: self.text(),
            commit: self.text(),
            build_date: self.text(),
            started: at,
            epoch: 1,
            ready: if self.rng.bool() { Ok(()) } else { Err(self.text()) },
        };
        let link = match number {
            2 => LinkState::Unreachable { error: self.text().into(), reason: "NoAnswer", since: at },
            _ => LinkState::Connected,
        };
        let pod = Some(Name::namespaced(&self.text(), &self.text()));
        NodeState {
            node: format!("node-{number}{}", self.text()).into(),
            target: AgentTarget { pod, ..AgentTarget::from(SocketAddr::from(([192, 0, 2, number], 9090))) },
            link,
            version: Some(Arc::new(version)),
            view,
            as_of: Some(AsOf { epoch: 1, seq: 1 }),
            dump: Some(Arc::new(self.dump())),
            counters: Some(Arc::new(CountersRead { at, stats: self.stats() })),
            last_seen: Some(at),
        }
    }

    /// The answers of all nodes to one request; one of them is an error.
    fn answers<T>(
        &mut self,
        nodes: &[NodeState],
        answer: impl Fn(&mut Self) -> T,
    ) -> BTreeMap<Arc<str>, Result<T, String>> {
        let answers = nodes.iter().enumerate().map(|(index, node)| {
            let answer = if index == 1 { Err(self.text()) } else { Ok(answer(self)) };
            (Arc::clone(&node.node), answer)
        });
        answers.collect()
    }

    fn backend_detail(&mut self, name: &Name) -> BackendDetail {
        let last = LastProbe {
            started: self.time(),
            duration: Duration::from_millis(3),
            code: ProbeCode::L7Status,
            detail: self.text().into(),
        };
        BackendDetail {
            name: name.clone(),
            backend: None,
            health: None,
            probing: Some(Probing { counter: Some(2), probes: 9, last: Some(last) }),
            problems: Problems::default(),
            frontends: Vec::new(),
            paths: Vec::new(),
            as_of: AsOf { epoch: 1, seq: 1 },
        }
    }
}

/// The texts of all commands.
fn pages(set: &mut Generated) -> Vec<(&'static str, String)> {
    let nodes: Vec<NodeState> = (0..3).map(|number| set.node(number)).collect();
    let mut pages = Pages(Vec::new());
    pages.add("show nodes", &Nodes::new(&nodes));
    pages.add(
        "show version",
        &Versions::new(&Build { version: "0.1.0".to_owned(), commit: "unknown".to_owned() }, &nodes),
    );
    pages.add("show frontends", &Frontends::new(nodes.clone()));
    pages.add("show backends", &Backends::new(nodes.clone()));
    pages.add("show healthchecks", &HealthChecks::new(nodes.clone()));
    let faults = SustainedFaults { dropping: &|_, _| true, disagree: &|_| true };
    pages.add("status", &StatusReport::new(&nodes, &Survey::new(&nodes, &faults)));
    for name in set.names.clone().map(|name| Name::namespaced("shop", &name)) {
        let detail = set.backend_detail(&name);
        let details = BTreeMap::from([(Arc::clone(&nodes[0].node), detail.clone())]);
        let response = Response { detail, stats: Some(set.stats()) };
        let responses = BTreeMap::from([(Arc::clone(&nodes[0].node), response)]);
        let writer =
            LastWriter { manager: set.text(), at: Some(set.time()), by: Some(set.text()), reason: Some(set.text()) };
        pages.add_some("show backend", BackendOverview::new(&name, nodes.clone(), &responses));
        pages.add_some("why backend", Explanation::new(&name, nodes.clone(), &details, Some(writer)));
        pages.add_some("doctor backend", Preparation::new(&name, nodes.clone(), Responses::default()));
        pages.add_some("show frontend", FrontendOverview::new(&name, nodes.clone()));
        let error = anyhow::anyhow!(set.text()).context(not_found("Backend", &name, vec![name.clone()]));
        pages.0.push(("errors", error_text(&error)));
    }
    let info = |set: &mut Generated| VppDetail { info: set.vpp_info(), connected_since: set.time(), started: None };
    pages.add("show vpp info", &vpp::Infos::new(set.answers(&nodes, info)));
    pages.add("show vpp lb state", &vpp::state::State::new(set.answers(&nodes, Generated::dump)));
    pages.add("show vpp lb counters", &vpp::counters::Counters::new(set.answers(&nodes, Generated::stats)));
    let traced: Vec<NodeState> = nodes.iter().cloned().map(with_tables).collect();
    for [source, destination] in [["198.51.100.7:1", "10.0.0.1:1"], ["[2001:db8::7]:1", "[2001:db8::1]:1"]] {
        let address = |text: &str| text.parse().expect("an address and port");
        let flow = Flow::new(Protocol::Tcp, address(source), address(destination)).expect("one family");
        let dumps = set.answers(&nodes, Generated::dump);
        pages.add("trace", &Trace::new(&flow, HashFunction::Auto, traced.clone(), &dumps));
    }
    for name in set.names.clone().map(|name| Name::namespaced("shop", &name)) {
        for change in [WhatIf::Down(name.clone()), WhatIf::AdminState(name, AdminState::Disabled)] {
            pages.add("whatif backend", &WhatIfReport::new(&change, traced.clone()));
        }
    }
    pages.add_some("whatif node", LostNode::new(&traced[0].node, traced.clone()).ok());
    pages.add("diff", &Diff::new(DryRuns::hostile(set.text(), set.text()), traced.clone()));
    pages.add("sync", &Synced::new(set.answers(&nodes, |_| ())));
    pages.add("accept", &accepted(set));
    pages.add("set", &changed(set));
    services::add(&mut pages, set);
    pages.drain(set, &nodes);
    pages.events(set);
    pages.0
}

/// The node with tables of a length that VPP can have.
fn with_tables(mut node: NodeState) -> NodeState {
    if let Some(vpp) = &mut node.view.vpp {
        let with_table = |state: &VipState| VipState { table_length: Some(256), ..state.clone() };
        vpp.vips = vpp.vips.iter().map(|(vip, state)| (*vip, with_table(state))).collect();
    }
    node
}

/// A held change of a Frontend.
fn hold(set: &mut Generated) -> SyncHold {
    let change = HeldChange { frontend: Name::namespaced("shop", &set.text()), moved_permille: 7 };
    SyncHold { id: set.text().into(), removals: 0, change: Some(change), until: Timestamp::UNIX_EPOCH }
}

/// The results of nodes whose MaglevNodes cannot be read or written.
fn accepted(set: &mut Generated) -> Accepted {
    let refused = |set: &mut Generated| AcceptError::Api {
        step: "patch",
        node: set.text(),
        source: Box::new(kube::Error::Api(Box::new(Status {
            message: set.text(),
            reason: set.text(),
            ..Status::default()
        }))),
    };
    Accepted::new(&set.text())
        .with(&set.text(), Released::new(&hold(set), Ok(())))
        .with(&format!("a{}", set.text()), Released::new(&hold(set), Err(refused(set))))
        .with(&format!("b{}", set.text()), Released::new(&hold(set), Err(AcceptError::NotFound(set.text()))))
        .with(&format!("c{}", set.text()), Released::new(&hold(set), Err(AcceptError::Busy(set.text()))))
}

fn changed(set: &mut Generated) -> Changed {
    let backend = Name::namespaced("shop", &set.text());
    let change = OperatorChange::AdminState { backend, state: AdminState::Paused };
    let request = ChangeRequest { change, by: set.text(), reason: Some(set.text()), force: true };
    let write = WriteOutcome {
        old: set.text(),
        new: set.text(),
        generation: 1,
        written: set.rng.bool(),
        at: std::time::Instant::now(),
        taken_from: vec![set.text()],
        event_failed: Some(set.text()),
    };
    let pending = [(Arc::from(set.text()), set.text())].into();
    Changed::new(request, ChangeOutcome { write, nodes: 3, pending, duration: Duration::from_secs(1) })
}

struct Pages(Vec<(&'static str, String)>);

impl Pages {
    fn add(&mut self, command: &'static str, value: &impl Printable) {
        for format in FORMATS {
            self.0.push((command, render(value, format, Timestamp::UNIX_EPOCH).unwrap()));
        }
    }

    fn add_some(&mut self, command: &'static str, value: Option<impl Printable>) {
        if let Some(value) = value {
            self.add(command, &value);
        }
    }

    fn drain(&mut self, set: &mut Generated, nodes: &[NodeState]) {
        let drain = BackendDrain::new(nodes, &Name::namespaced("shop", &set.text()), 1);
        self.0.push(("drain backend", drain.progress(Duration::from_secs(1)).to_string()));
        self.add("drain backend", &Drains::for_test(vec![drain], set.rng.bool()));
    }

    fn events(&mut self, set: &mut Generated) {
        let (node, time) = (set.text(), set.time());
        let attributes = (0..3).map(|_| (set.text().into(), set.text())).collect();
        let (name, level) = (set.text().into(), Level::Warn);
        let line = Line { seq: Some(1), time, level, name, attributes, change: None };
        for format in FORMATS {
            self.0.push(("watch events", EventLine::new(&node, &line).text(format).unwrap()));
            self.0.push(("watch events", remark(&node, &set.text(), format).unwrap()));
        }
    }
}

/// The text without the sequences of styles.
fn without_styles(text: &str) -> String {
    let styles = [Style::Good, Style::Warn, Style::Bad, Style::Faint, Style::Strong];
    styles.into_iter().fold(text.to_owned(), |text, style| {
        let painted = style.paint("x");
        let (start, end) = painted.split_once('x').unwrap();
        text.replace(start, "").replace(end, "")
    })
}

fn assert_harmless(texts: Vec<(&'static str, String)>, seed: u64) {
    for (command, text) in texts {
        let plain = without_styles(&text);
        let unprintable: Vec<char> = plain.chars().filter(|c| *c != '\n' && is_unprintable(*c)).collect();
        assert!(unprintable.is_empty(), "{command}, set {seed}: {unprintable:?} in {plain:?}");
        assert!(!plain.lines().any(|line| line.starts_with(FORGED)), "{command}, set {seed}: {plain:?}");
        assert_eq!(guarded(&text), text, "{command}, set {seed}: escaped before it is written");
    }
}

#[test]
fn no_output_controls_the_terminal_or_forges_a_line() {
    (0..SETS).for_each(|seed| assert_harmless(pages(&mut Generated::new(seed)), seed));
}

#[test]
fn no_error_help_or_candidate_controls_the_terminal_or_forges_a_line() {
    for seed in 0..LINES {
        let mut set = Generated::new(seed);
        let nodes: Vec<NodeState> = (0..3).map(|number| set.node(number)).collect();
        assert_harmless(lines::texts(&mut set, &nodes), seed);
    }
}
