//! `status`: is anything wrong?
//!
//! The judgement is [`fleet::survey`](maglev_fleet::survey)'s, which the dashboard's strip shows as well. Here is what
//! needs a second look: a VIP can only drop packets while VPP has no server with a weight for it, and only then the
//! counters are read twice; and nodes that disagree are given the time that a change takes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use super::{
    output::{Answer, Cell, Page, Table},
    paint::Tone,
};
use maglev_fleet::{
    CountersRead, FleetHandle, NodeState,
    survey::{Flag, FrontendSurvey, Lasting, Survey, disagreeing},
};
use maglev_model::{Name, actual::VppVip, config::Kind, counters::VipCounters, health::BackendState, view::View};

/// How long nodes may disagree while a change is on its way to all of them.
const SETTLING: Duration = Duration::from_secs(10);
/// Two readings of VPP's counters are 5 s apart.
const TWO_READINGS: Duration = Duration::from_secs(12);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    status: Verdict,
    vips_down: usize,
    vips_dropping: usize,
    nodes_silent: usize,
    sync_errors: usize,
    disagreements: usize,
    rejected: usize,
    standby: usize,
    vips: usize,
    backends: usize,
    /// Backends that are up on every node that reports.
    backends_up: usize,
    nodes: usize,
    nodes_reporting: usize,
    /// What each count counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    findings: Vec<Finding>,
}

/// In a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing is wrong.
    Fine,
    Problem,
    /// Nobody can tell.
    Unknown,
}

impl Verdict {
    /// The exit status.
    pub fn code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Problem => 1,
            Self::Unknown => 2,
        }
    }
}

#[derive(Serialize)]
struct Finding {
    kind: &'static str,
    what: String,
}

/// Looks as often as it takes, at the nodes that `only` chooses.
pub async fn look(handle: &FleetHandle, only: Option<&str>) -> Status {
    let nodes = || {
        let mut nodes = handle.nodes();
        nodes.retain(|node| only.is_none_or(|only| &*node.node == only));
        nodes
    };
    let first = nodes();
    let (mut dropping, mut lasting) = (BTreeSet::new(), disagreeing(&first));
    if !lasting.is_empty() {
        lasting = still_disagreeing(handle, lasting, &nodes).await;
    }
    if first.iter().any(|node| !emptied(&node.view).is_empty()) {
        dropping = dropped_meanwhile(handle, &first, &nodes).await;
    }
    let dropping = |node: &str, vip: &VppVip| dropping.contains(&(Arc::from(node), *vip));
    let disagree = |name: &Name| lasting.contains(name);
    let now = nodes();
    Status::of(&now, &Survey::new(&now, &Lasting { dropping: &dropping, disagree: &disagree }))
}

/// Who of these disagrees all the time until [`SETTLING`] is over.
async fn still_disagreeing(
    handle: &FleetHandle,
    mut names: BTreeSet<Name>,
    nodes: &impl Fn() -> Vec<NodeState>,
) -> BTreeSet<Name> {
    let (mut updates, until) = (handle.subscribe(), Instant::now() + SETTLING);
    while !names.is_empty() && timeout_at(until, updates.next()).await.is_ok_and(|update| update.is_some()) {
        let now = disagreeing(&nodes());
        names.retain(|name| now.contains(name));
    }
    names
}

/// The VIPs of a VPP for which it has no server with a weight.
fn emptied(view: &View) -> BTreeSet<VppVip> {
    let vips = view.vpp.iter().flat_map(|vpp| &vpp.vips);
    vips.filter(|(_, of)| of.servers.values().all(|weight| *weight == 0)).map(|(vip, _)| *vip).collect()
}

/// The VIPs that dropped packets between two readings of the counters.
async fn dropped_meanwhile(
    handle: &FleetHandle,
    first: &[NodeState],
    nodes: &impl Fn() -> Vec<NodeState>,
) -> BTreeSet<(Arc<str>, VppVip)> {
    let (mut updates, until) = (handle.subscribe(), Instant::now() + TWO_READINGS);
    let mut before: BTreeMap<Arc<str>, Arc<CountersRead>> = BTreeMap::new();
    loop {
        let now = nodes();
        let mut found = BTreeSet::new();
        let mut waiting = false;
        for node in now.iter().filter(|node| node.reporting() && !emptied(&node.view).is_empty()) {
            let Some(counters) = &node.counters else {
                waiting |= first.iter().any(|of| of.node == node.node);
                continue;
            };
            let old = before.entry(Arc::clone(&node.node)).or_insert_with(|| Arc::clone(counters));
            match grown(old, counters) {
                Some(vips) => found.extend(vips.into_iter().map(|vip| (Arc::clone(&node.node), vip))),
                None => waiting = true,
            }
        }
        if !waiting || !timeout_at(until, updates.next()).await.is_ok_and(|update| update.is_some()) {
            return found;
        }
    }
}

/// The VIPs whose packets without a server have grown; `None` while both are the same reading of VPP.
fn grown(old: &CountersRead, new: &CountersRead) -> Option<Vec<VppVip>> {
    let (old, new) = (old.stats.counters.as_ref()?, new.stats.counters.as_ref()?);
    if old.heartbeat == new.heartbeat {
        return None;
    }
    let no_server = |of: &VipCounters| of.packets.map_or(0, |packets| packets.no_server);
    let grown = new.vips.iter().filter(|(vip, of)| old.vips.get(vip).is_some_and(|old| no_server(of) > no_server(old)));
    Some(grown.map(|(vip, _)| *vip).collect())
}

impl Status {
    /// That nothing can be known.
    pub fn unknown() -> Self {
        Self::of(&[], &Survey::default())
    }

    fn of(nodes: &[NodeState], survey: &Survey) -> Self {
        let status = match survey {
            _ if survey.reporting == 0 => Verdict::Unknown,
            _ if survey.is_fine() => Verdict::Fine,
            _ => Verdict::Problem,
        };
        let mut backends: BTreeMap<&Name, bool> = BTreeMap::new();
        for node in nodes.iter().filter(|node| node.reporting()) {
            for (name, backend) in &node.view.backends {
                *backends.entry(name).or_insert(true) &= node.view.backend_state(backend) == BackendState::Up;
            }
        }
        Self {
            status,
            vips_down: survey.count(Flag::Down),
            vips_dropping: survey.count(Flag::Dropping),
            nodes_silent: survey.count(Flag::Silent),
            sync_errors: survey.count(Flag::Sync),
            disagreements: survey.count(Flag::Disagree),
            rejected: survey.count(Flag::Rejected),
            standby: survey.count(Flag::Standby),
            vips: survey.frontends.len(),
            backends: backends.len(),
            backends_up: backends.values().filter(|up| **up).count(),
            nodes: nodes.len(),
            nodes_reporting: survey.reporting,
            findings: findings(nodes, survey),
        }
    }

    /// In a word.
    pub fn verdict(&self) -> Verdict {
        self.status
    }

    fn counts(&self) -> [(&'static str, usize, Tone); 7] {
        [
            ("VIPs down", self.vips_down, Tone::Bad),
            ("VIPs dropping packets", self.vips_dropping, Tone::Bad),
            ("nodes silent or without VPP", self.nodes_silent, Tone::Bad),
            ("sync errors", self.sync_errors, Tone::Bad),
            ("disagreements between nodes", self.disagreements, Tone::Warn),
            ("rejected, held or in conflict", self.rejected, Tone::Warn),
            ("on standby or the last backend", self.standby, Tone::Warn),
        ]
    }
}

fn findings(nodes: &[NodeState], survey: &Survey) -> Vec<Finding> {
    let mut found = Vec::new();
    for flag in Flag::ALL {
        let kind = flag.as_str();
        let frontends = survey.frontends.iter().filter(|(_, of)| of.flags.contains(&flag));
        let frontend = |(name, of): (&Name, &FrontendSurvey)| {
            let reason = of.nodes.values().map(super::frontend::reason).find(|reason| !reason.is_empty());
            let reason = reason.filter(|_| matches!(flag, Flag::Rejected | Flag::Sync));
            format!("Frontend {name}{}", reason.map_or_else(String::new, |reason| format!(": {reason}")))
        };
        found.extend(frontends.map(|of| Finding { kind, what: frontend(of) }));
        let flagged = nodes.iter().filter(|node| survey.nodes.get(&node.node).is_some_and(|of| of.contains(&flag)));
        found.extend(flagged.map(|node| Finding { kind, what: format!("node {}: {}", node.node, about(node, flag)) }));
    }
    let others =
        survey.rejected.iter().filter(|(of, name)| *of != Kind::Frontend || !survey.frontends.contains_key(name));
    found.extend(others.map(|(of, name)| Finding {
        kind: Flag::Rejected.as_str(),
        what: format!("{} {name}{}", of.as_str(), problem(nodes, *of, name)),
    }));
    found
}

fn problem(nodes: &[NodeState], kind: Kind, name: &Name) -> String {
    let of = nodes.iter().filter_map(|node| node.view.problems_of(kind, name)).flat_map(|of| of.problems.iter()).next();
    of.map_or_else(String::new, |problem| format!(": {}: {}", problem.reason, problem.message))
}

fn about(node: &NodeState, flag: Flag) -> String {
    let sync = &node.view.sync;
    match flag {
        Flag::Silent if !node.reporting() => node.silence(),
        Flag::Silent => "its agent is not connected to VPP".to_owned(),
        Flag::Rejected => format!("{} holds of removals", node.view.holds.len()),
        _ => match &sync.error {
            Some(error) => error.to_string(),
            None => format!("{} steps of its last pass failed", sync.failed_steps),
        },
    }
}

/// `1 node`, `2 nodes`.
fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

impl Answer for Status {
    fn page(&self, _: bool, _: Timestamp) -> Page {
        let mut page = Page::default();
        let Self { backends, backends_up, nodes, nodes_reporting, .. } = self;
        let (vips, all) = (counted(self.vips, "VIP"), counted(*nodes, "node"));
        match self.status {
            Verdict::Unknown if *nodes == 0 => page.line(Tone::Bad.paint("unknown: there are no agents to ask")),
            Verdict::Unknown => page.line(Tone::Bad.paint(&format!("unknown: none of {all} reports"))),
            Verdict::Fine if backends == backends_up => {
                let backends = counted(*backends, "backend");
                page.line(Tone::Good.paint(&format!("Everything is up: {vips}, {backends} on {all}")));
            }
            Verdict::Fine => {
                let up = format!("{backends_up} of {} up", counted(*backends, "backend"));
                page.line(Tone::Good.paint(&format!("Nothing is wrong: {vips}, {up}, on {all}")));
            }
            Verdict::Problem => {
                for (what, count, tone) in self.counts() {
                    let tone = if count > 0 { tone } else { Tone::Faint };
                    page.line(tone.paint(&format!("{count:>4}  {what}")));
                }
                let backends = counted(*backends, "backend");
                page.line(format_args!("of {vips}, {backends}; {nodes_reporting} of {all} report"));
            }
        }
        if !self.findings.is_empty() {
            page.gap();
            let mut table = Table::new(["PROBLEM", "WHERE"]);
            for of in &self.findings {
                table.row([Cell::from(of.kind), of.what.clone().into()]);
            }
            page.table(&table, "");
        }
        page
    }
}
