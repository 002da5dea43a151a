//! `status`: the overall state of all nodes.
//!
//! The problems come from [`fleet::survey`](maglev_fleet::survey), which the dashboard uses as well. Two of them need
//! several observations: a VIP drops packets only while all its weights in VPP are 0, in which case two readings of its
//! counters are compared; and nodes may disagree for as long as a change takes to reach all of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use super::{
    output::{Cell, Page, Printable, Table},
    session::wait_for_counters,
    style::Style,
};
use maglev_fleet::{
    CountersRead, FleetHandle, NodeState,
    survey::{
        Flag, FrontendSurvey, StatusCounts, Survey, SustainedFaults, counted, disagreeing, list_down,
        sticky_table_advice,
    },
};
use maglev_model::{Name, actual::VppVip, config::Kind, counters::VipCounters, view::View};

/// Time in which a change reaches all nodes.
const SETTLING: Duration = Duration::from_secs(10);
/// Time limit for two readings of VPP's counters, which are 5 s apart.
const TWO_READINGS: Duration = Duration::from_secs(12);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusReport {
    status: ClusterHealth,
    vips_down: usize,
    vips_dropping: usize,
    nodes_silent: usize,
    sync_errors: usize,
    disagreements: usize,
    rejected: usize,
    standby: usize,
    last_backend: usize,
    /// Application servers in VPP that no pool of the VIP's Frontend names.
    unclaimed_servers: usize,
    backends_down: usize,
    vips: usize,
    backends: usize,
    /// Backends that are up on every node that reports.
    backends_up: usize,
    nodes: usize,
    nodes_reporting: usize,
    /// The sentence for a fleet without problems.
    #[serde(skip)]
    healthy: Option<String>,
    /// The objects and nodes behind the counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    findings: Vec<Finding>,
    /// Sentences about what is no problem yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    advice: Vec<String>,
}

/// The overall state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClusterHealth {
    /// No problem affects a VIP. Backends may be down.
    Fine,
    Problem,
    /// No node reports.
    Unknown,
}

impl ClusterHealth {
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

/// Observes all nodes, or the node `only`, for as long as necessary.
pub async fn check(handle: &FleetHandle, only: Option<&str>) -> StatusReport {
    let nodes = || {
        let mut nodes = handle.nodes();
        nodes.retain(|node| only.is_none_or(|only| &*node.node == only));
        nodes
    };
    wait_for_counters(handle, &nodes).await;
    let first = nodes();
    let (mut dropping, mut lasting) = (BTreeSet::new(), disagreeing(&first));
    if !lasting.is_empty() {
        lasting = still_disagreeing(handle, lasting, &nodes).await;
    }
    if first.iter().any(|node| !without_weight(&node.view).is_empty()) {
        dropping = dropping_vips(handle, &first, &nodes).await;
    }
    let dropping = |node: &str, vip: &VppVip| dropping.contains(&(Arc::from(node), *vip));
    let disagree = |name: &Name| lasting.contains(name);
    let now = nodes();
    StatusReport::new(&now, &Survey::new(&now, &SustainedFaults { dropping: &dropping, disagree: &disagree }))
}

/// The objects of `names` on which nodes disagree during all of [`SETTLING`].
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

/// The VIPs in VPP without an application server that has a weight.
fn without_weight(view: &View) -> BTreeSet<VppVip> {
    let vips = view.vpp.iter().flat_map(|vpp| &vpp.vips);
    vips.filter(|(_, vip_state)| vip_state.servers.values().all(|weight| *weight == 0)).map(|(vip, _)| *vip).collect()
}

/// The VIPs that dropped packets between two readings of the counters.
async fn dropping_vips(
    handle: &FleetHandle,
    first: &[NodeState],
    nodes: &impl Fn() -> Vec<NodeState>,
) -> BTreeSet<(Arc<str>, VppVip)> {
    let (mut updates, until) = (handle.subscribe(), Instant::now() + TWO_READINGS);
    let mut before: BTreeMap<Arc<str>, Arc<CountersRead>> = BTreeMap::new();
    loop {
        let now = nodes();
        let mut dropping = BTreeSet::new();
        let mut waiting = false;
        for node in now.iter().filter(|node| node.reporting() && !without_weight(&node.view).is_empty()) {
            let Some(counters) = &node.counters else {
                waiting |= first.iter().any(|other| other.node == node.node);
                continue;
            };
            let old = before.entry(Arc::clone(&node.node)).or_insert_with(|| Arc::clone(counters));
            match grown(old, counters) {
                Some(vips) => dropping.extend(vips.into_iter().map(|vip| (Arc::clone(&node.node), vip))),
                None => waiting = true,
            }
        }
        if !waiting || !timeout_at(until, updates.next()).await.is_ok_and(|update| update.is_some()) {
            return dropping;
        }
    }
}

/// The VIPs whose counter of packets without a server increased; `None` if both are the same reading.
fn grown(old: &CountersRead, new: &CountersRead) -> Option<Vec<VppVip>> {
    let (old, new) = (old.stats.counters.as_ref()?, new.stats.counters.as_ref()?);
    if old.heartbeat == new.heartbeat {
        return None;
    }
    let no_server = |counters: &VipCounters| counters.packets.map_or(0, |packets| packets.no_server);
    let grown = new
        .vips
        .iter()
        .filter(|(vip, counters)| old.vips.get(vip).is_some_and(|old| no_server(counters) > no_server(old)));
    Some(grown.map(|(vip, _)| *vip).collect())
}

impl StatusReport {
    /// The report without any nodes.
    pub fn unknown() -> Self {
        Self::new(&[], &Survey::default())
    }

    pub fn new(nodes: &[NodeState], survey: &Survey) -> Self {
        let counts = StatusCounts::from(survey);
        let status = match counts {
            _ if counts.reporting == 0 => ClusterHealth::Unknown,
            _ if counts.is_fine() => ClusterHealth::Fine,
            _ => ClusterHealth::Problem,
        };
        Self {
            status,
            vips_down: survey.count(Flag::Down),
            vips_dropping: survey.count(Flag::Dropping),
            nodes_silent: survey.count(Flag::Silent),
            sync_errors: survey.count(Flag::Sync),
            disagreements: survey.count(Flag::Disagree),
            rejected: survey.count(Flag::Rejected),
            standby: survey.frontends.values().filter(|frontend| frontend.on_standby).count(),
            last_backend: survey.frontends.values().filter(|frontend| is_on_last_backend(frontend)).count(),
            unclaimed_servers: survey.frontends.values().map(|frontend| unclaimed_servers(frontend).len()).sum(),
            backends_down: survey.count(Flag::BackendsDown),
            vips: counts.vips,
            backends: counts.backends,
            backends_up: counts.backends_up,
            nodes: counts.nodes,
            nodes_reporting: counts.reporting,
            healthy: counts.healthy_sentence(),
            findings: findings(nodes, survey),
            advice: survey.filling_tables.iter().map(|(node, table)| sticky_table_advice(node, table)).collect(),
        }
    }

    pub fn health(&self) -> ClusterHealth {
        self.status
    }

    fn counts(&self) -> [(&'static str, usize, Style); 10] {
        [
            ("VIPs down", self.vips_down, Style::Bad),
            ("VIPs dropping packets", self.vips_dropping, Style::Bad),
            ("nodes not reporting or without VPP", self.nodes_silent, Style::Bad),
            ("sync errors", self.sync_errors, Style::Bad),
            ("disagreements between nodes", self.disagreements, Style::Warn),
            ("rejected, held or in conflict", self.rejected, Style::Warn),
            ("on standby", self.standby, Style::Warn),
            ("on the last backend", self.last_backend, Style::Warn),
            ("servers in VPP that no Frontend names", self.unclaimed_servers, Style::Warn),
            ("backends down", self.backends_down, Style::Warn),
        ]
    }
}

fn findings(nodes: &[NodeState], survey: &Survey) -> Vec<Finding> {
    let mut findings = Vec::new();
    for flag in Flag::ALL {
        let kind = flag.as_str();
        let frontends = survey.frontends.iter().filter(|(_, survey)| survey.flags.contains(&flag));
        let frontend = |(name, survey): (&Name, &FrontendSurvey)| {
            let reason = match flag {
                Flag::Rejected | Flag::Sync => {
                    survey.nodes.values().map(super::frontend::reason).find(|reason| !reason.is_empty())
                }
                Flag::BackendsDown => Some(list_down(&survey.down)),
                Flag::Disagree => survey.tables.as_ref().map(ToString::to_string),
                Flag::Down | Flag::Dropping | Flag::Silent | Flag::Standby => None,
            };
            format!("Frontend {name}{}", reason.map_or_else(String::new, |reason| format!(": {reason}")))
        };
        findings.extend(frontends.map(|survey| Finding {
            kind: if flag == Flag::Standby && is_on_last_backend(survey.1) { "last-backend" } else { kind },
            what: frontend(survey),
        }));
        let flagged =
            nodes.iter().filter(|node| survey.nodes.get(&node.node).is_some_and(|flags| flags.contains(&flag)));
        findings.extend(
            flagged.map(|node| Finding { kind, what: format!("node {}: {}", node.node, describe(node, flag)) }),
        );
    }
    findings.extend(unused_backends_down(survey));
    let unclaimed = survey.frontends.iter().map(|(name, survey)| (name, unclaimed_servers(survey)));
    findings.extend(unclaimed.filter(|(_, servers)| !servers.is_empty()).map(|(name, servers)| {
        let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
        Finding { kind: "unclaimed", what: format!("Frontend {name}: {}", servers.join(", ")) }
    }));
    let others =
        survey.rejected.iter().filter(|(kind, name)| *kind != Kind::Frontend || !survey.frontends.contains_key(name));
    findings.extend(others.map(|(kind, name)| Finding {
        kind: Flag::Rejected.as_str(),
        what: format!("{} {name}{}", kind.as_str(), problem(nodes, *kind, name)),
    }));
    findings
}

/// The backends that are down and not in any Frontend.
fn unused_backends_down(survey: &Survey) -> impl Iterator<Item = Finding> {
    let used: BTreeSet<&Name> = survey.frontends.values().flat_map(|frontend| frontend.backends.keys()).collect();
    let unused = survey.backends.iter().filter(move |(name, _)| !used.contains(name));
    unused.filter_map(|(name, backend)| {
        let code = backend.down?.code.map_or_else(String::new, |code| format!(": {}", code.as_str()));
        Some(Finding { kind: Flag::BackendsDown.as_str(), what: format!("Backend {name}{code}") })
    })
}

fn is_on_last_backend(survey: &FrontendSurvey) -> bool {
    survey.flags.contains(&Flag::Standby) && !survey.on_standby
}

/// The application servers of the VIP on any node that no pool names.
fn unclaimed_servers(survey: &FrontendSurvey) -> BTreeSet<IpAddr> {
    survey.nodes.values().flat_map(|facts| &facts.unclaimed_servers).copied().collect()
}

fn problem(nodes: &[NodeState], kind: Kind, name: &Name) -> String {
    let object = nodes
        .iter()
        .filter_map(|node| node.view.object_problems(kind, name))
        .flat_map(|object| object.problems.iter())
        .next();
    object.map_or_else(String::new, |problem| format!(": {}: {}", problem.reason, problem.message))
}

fn describe(node: &NodeState, flag: Flag) -> String {
    let sync = &node.view.sync;
    match flag {
        Flag::Silent if !node.reporting() => node.unreachable_reason(),
        Flag::Silent => "the agent is not connected to VPP".to_owned(),
        Flag::Rejected => format!("{} holds on removals", node.view.holds.len()),
        _ => match &sync.error {
            Some(error) => error.to_string(),
            None => format!("{} steps of the last full sync failed", sync.failed_steps),
        },
    }
}

impl Printable for StatusReport {
    fn page(&self, _: bool, _: Timestamp) -> Page {
        let mut page = Page::default();
        let Self { backends, nodes, nodes_reporting, .. } = self;
        let (vips, all) = (counted(self.vips, "VIP"), counted(*nodes, "node"));
        match (self.status, &self.healthy) {
            (ClusterHealth::Unknown, _) if *nodes == 0 => page.styled(Style::Bad, "unknown: no agents found"),
            (ClusterHealth::Unknown, _) => page.styled(Style::Bad, format_args!("unknown: none of {all} reports")),
            (ClusterHealth::Fine, Some(sentence)) => page.styled(Style::Good, sentence),
            (ClusterHealth::Fine | ClusterHealth::Problem, _) => {
                for (what, count, style) in self.counts() {
                    let style = if count > 0 { style } else { Style::Faint };
                    page.styled(style, format_args!("{count:>4}  {what}"));
                }
                let backends = counted(*backends, "backend");
                page.line(format_args!("of {vips}, {backends}; {nodes_reporting} of {all} report"));
            }
        }
        if !self.findings.is_empty() {
            page.gap();
            let mut table = Table::new(["PROBLEM", "WHERE"]);
            for finding in &self.findings {
                table.row([Cell::from(finding.kind), finding.what.clone().into()]);
            }
            page.table(&table, "");
        }
        if !self.advice.is_empty() {
            page.gap();
        }
        for advice in &self.advice {
            page.styled(Style::Warn, format_args!("advice: {advice}"));
        }
        page
    }
}
