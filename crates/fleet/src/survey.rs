//! Problems over all nodes: the counts of the status strip, and the objects that they count.
//!
//! Pure: reads only the nodes' states. Faults that need two observations (packets being dropped *now*, a disagreement
//! that lasts) are passed in by the caller.

mod counts;
mod disagreement;
mod facts;
mod sticky_tables;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;

pub use self::{
    counts::{StatusCounts, counted},
    disagreement::{NodeTables, TableDifference, differ, disagreeing, tables},
    facts::{DisplayState, Facts, MemberFact},
    sticky_tables::{filling_tables, sticky_table_advice},
};
use super::NodeState;
use maglev_model::{
    Name,
    actual::VppVip,
    config::Kind,
    counters::StickyTable,
    event::{FrontendState, ProgramResult},
    health::{BackendState, ProbeCode},
};

/// Largest number of backends or nodes in the reason of a Frontend.
const MAX_LISTED: usize = 5;

/// A kind of problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flag {
    /// A VIP is down on a reporting node.
    Down,
    /// A VIP drops packets now, because it has no application server.
    Dropping,
    /// A node does not report, or has lost VPP.
    Silent,
    /// A VIP is served by a pool other than the first, or by its last backend, on a reporting node.
    Standby,
    /// A backend is down on a reporting node. Counts backends, not VIPs.
    BackendsDown,
    /// Reporting nodes with VPP differ about a VIP for longer than a change takes.
    Disagree,
    /// An object is rejected, held or in conflict; or removals are held.
    Rejected,
    /// A node failed to program a VIP, or steps of its last full sync.
    Sync,
}

impl Flag {
    /// All flags, the worst first.
    pub const ALL: [Self; 8] = [
        Self::Down,
        Self::Dropping,
        Self::Silent,
        Self::Sync,
        Self::Disagree,
        Self::Rejected,
        Self::Standby,
        Self::BackendsDown,
    ];

    /// Lower-case name, also of its count in the status strip.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Dropping => "dropping",
            Self::Silent => "silent",
            Self::Standby => "standby",
            Self::BackendsDown => "backends_down",
            Self::Disagree => "disagree",
            Self::Rejected => "rejected",
            Self::Sync => "sync",
        }
    }
}

/// Faults that need more than one observation.
pub struct SustainedFaults<'a> {
    /// True if this VIP of this node drops packets now.
    pub dropping: &'a dyn Fn(&str, &VppVip) -> bool,
    /// True if nodes have differed about this Frontend for longer than a change takes.
    pub disagree: &'a dyn Fn(&Name) -> bool,
}

/// Result of a survey.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// All Frontends of all nodes.
    pub frontends: BTreeMap<Name, FrontendSurvey>,
    /// All Backends of the reporting nodes.
    pub backends: BTreeMap<Name, BackendSurvey>,
    /// Flags of every node.
    pub nodes: BTreeMap<Arc<str>, BTreeSet<Flag>>,
    /// Objects with problems, and Frontends that are held.
    pub rejected: BTreeSet<(Kind, Name)>,
    pub holds: usize,
    /// The fullest sticky table of each reporting node on which a table fills. Does not count as a problem.
    pub filling_tables: BTreeMap<Arc<str>, StickyTable>,
    /// Number of reporting nodes.
    pub reporting: usize,
}

/// One Backend, over the reporting nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackendSurvey {
    /// True if up on every reporting node.
    pub up: bool,
    /// Set if down on a reporting node.
    pub down: Option<DownBackend>,
}

/// A backend that is down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DownBackend {
    /// Code of the failed probe, from the first node that has one.
    pub code: Option<ProbeCode>,
}

/// One Frontend, over all nodes.
#[derive(Clone, Debug)]
pub struct FrontendSurvey {
    /// The worst state on the reporting nodes.
    pub state: DisplayState,
    pub flags: BTreeSet<Flag>,
    /// Start of that state.
    pub since: Option<Timestamp>,
    /// True if a pool other than the first serves on a reporting node. [`Flag::Standby`] without it means that only one
    /// backend is left.
    pub on_standby: bool,
    /// Backends; true if up on every reporting node.
    pub backends: BTreeMap<Name, bool>,
    /// Backends that are down on a reporting node.
    pub down: BTreeMap<Name, DownBackend>,
    /// The difference between the new-flow tables of the nodes; only with [`Flag::Disagree`].
    pub tables: Option<TableDifference>,
    /// Facts of each node that has the Frontend.
    pub nodes: BTreeMap<Arc<str>, Facts>,
}

impl Survey {
    pub fn new(nodes: &[NodeState], sustained: &SustainedFaults<'_>) -> Self {
        let names: BTreeSet<&Name> = nodes.iter().flat_map(|node| node.view.frontends.keys()).collect();
        let frontends = names.into_iter().filter_map(|name| Some((name.clone(), frontend(nodes, name, sustained)?)));
        let reporting = || nodes.iter().filter(|node| node.reporting());
        let mut rejected: BTreeSet<_> = reporting().flat_map(|node| node.view.problems.keys().cloned()).collect();
        for node in reporting() {
            let held = node.view.reports.iter().filter(|(_, report)| report.result == ProgramResult::Held);
            rejected.extend(held.map(|(name, _)| (Kind::Frontend, name.clone())));
        }
        Self {
            frontends: frontends.collect(),
            backends: backends(nodes),
            nodes: nodes.iter().map(|node| (Arc::clone(&node.node), node_flags(node))).collect(),
            rejected,
            holds: reporting().map(|node| node.view.holds.len()).sum(),
            filling_tables: filling_tables(nodes),
            reporting: reporting().count(),
        }
    }

    /// Number of objects and nodes with this flag.
    pub fn count(&self, flag: Flag) -> usize {
        let frontends = || self.frontends.values().filter(|frontend| frontend.flags.contains(&flag)).count();
        let nodes = || self.nodes.values().filter(|flags| flags.contains(&flag)).count();
        match flag {
            Flag::Rejected => self.rejected.len() + self.holds,
            Flag::Silent => nodes(),
            Flag::Sync => frontends() + nodes(),
            Flag::BackendsDown => self.backends.values().filter(|backend| backend.down.is_some()).count(),
            Flag::Down | Flag::Dropping | Flag::Standby | Flag::Disagree => frontends(),
        }
    }
}

/// One node's facts about a Frontend, and their weight.
#[derive(Clone, Copy, Debug)]
pub struct NodeReport<'a> {
    pub facts: &'a Facts,
    /// False for stale facts.
    pub reporting: bool,
    /// Set while the VIP drops packets on the node.
    pub dropping: bool,
}

/// The reports of several nodes about one Frontend, combined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrontendSummary {
    /// True if at least one node reports. Otherwise the last known facts are shown, without flags.
    pub reported: bool,
    /// The worst state on the counted nodes.
    pub state: DisplayState,
    pub flags: BTreeSet<Flag>,
    /// Start of that state.
    pub since: Option<Timestamp>,
    /// True if a pool other than the first serves on a reporting node.
    pub on_standby: bool,
    /// Backends; true if up on every counted node.
    pub backends: BTreeMap<Name, bool>,
    /// Backends that are down on a counted node.
    pub down: BTreeMap<Name, DownBackend>,
}

impl FrontendSummary {
    /// Combines reports; `None` without any.
    pub fn from_reports<'a>(reports: &(impl Iterator<Item = NodeReport<'a>> + Clone)) -> Option<Self> {
        let reported = reports.clone().any(|report| report.reporting);
        let counted = || reports.clone().filter(|report| report.reporting || !reported);
        counted().next()?;
        let states = counted().map(|report| report.facts.display_state());
        let state = if reported { DisplayState::worst(states) } else { DisplayState::Unknown };
        let mut flags = BTreeSet::new();
        for NodeReport { facts, dropping, .. } in counted().filter(|_| reported) {
            flags.extend(set_flags([
                (Flag::Down, !facts.withdrawn && facts.state == FrontendState::Down),
                (Flag::Dropping, !facts.withdrawn && dropping),
                (Flag::Standby, facts.standby_for.is_some() || facts.last.is_some()),
                (Flag::BackendsDown, facts.members.iter().any(|member| member.state == BackendState::Down)),
                (Flag::Rejected, facts.problem.is_some() || facts.result == ProgramResult::Held),
                (Flag::Sync, !facts.withdrawn && facts.result == ProgramResult::Failed),
            ]));
        }
        let (mut backends, mut down) = (BTreeMap::new(), BTreeMap::<Name, DownBackend>::new());
        for member in counted().flat_map(|report| &report.facts.members) {
            *backends.entry(member.backend.clone()).or_insert(true) &= member.state == BackendState::Up;
            if member.state == BackendState::Down {
                let backend = down.entry(member.backend.clone()).or_default();
                backend.code = backend.code.or(member.code);
            }
        }
        let since = counted()
            .filter(|report| report.facts.display_state() == state)
            .filter_map(|report| report.facts.since)
            .min();
        let on_standby = reported && counted().any(|report| report.facts.standby_for.is_some());
        Some(Self { reported, state, flags, since, on_standby, backends, down })
    }

    /// Sets the flag if nodes have differed for longer than a change takes.
    pub fn with_disagreement(mut self, disagree: bool) -> Self {
        if disagree && self.reported {
            self.flags.insert(Flag::Disagree);
        }
        self
    }
}

pub fn node_flags(node: &NodeState) -> BTreeSet<Flag> {
    let (view, reporting) = (&node.view, node.reporting());
    let flags = [
        (Flag::Silent, !reporting || view.vpp.is_none()),
        (Flag::Sync, reporting && (view.sync.failed_steps > 0 || view.sync.error.is_some())),
        (Flag::Rejected, reporting && !view.holds.is_empty()),
    ];
    set_flags(flags).collect()
}

/// The flags whose condition is true.
fn set_flags<const N: usize>(flags: [(Flag, bool); N]) -> impl Iterator<Item = Flag> {
    flags.into_iter().filter(|(_, set)| *set).map(|(flag, _)| flag)
}

/// `None` if no node has the Frontend.
fn frontend(nodes: &[NodeState], name: &Name, sustained: &SustainedFaults<'_>) -> Option<FrontendSurvey> {
    let facts = |node: &NodeState| Some((Arc::clone(&node.node), Facts::from_view(&node.view, name)?));
    let facts: BTreeMap<Arc<str>, Facts> = nodes.iter().filter_map(facts).collect();
    let names = |test: fn(&NodeState) -> bool| -> BTreeSet<&str> {
        nodes.iter().filter(|node| test(node)).map(|node| &*node.node).collect()
    };
    let (reporting, comparable) = (names(NodeState::reporting), names(NodeState::comparable));
    let reports = facts.iter().map(|(node, facts)| NodeReport {
        facts,
        reporting: reporting.contains(&**node),
        dropping: (sustained.dropping)(node, &facts.vip.into()),
    });
    let summary = FrontendSummary::from_reports(&reports)?.with_disagreement((sustained.disagree)(name));
    let FrontendSummary { state, flags, since, on_standby, backends, down, .. } = summary;
    let compared = || tables(facts.iter().filter(|(node, _)| comparable.contains(&***node)));
    let tables = if flags.contains(&Flag::Disagree) { TableDifference::between(&compared()) } else { None };
    Some(FrontendSurvey { state, flags, since, on_standby, backends, down, tables, nodes: facts })
}

fn backends(nodes: &[NodeState]) -> BTreeMap<Name, BackendSurvey> {
    let mut backends = BTreeMap::new();
    for view in nodes.iter().filter(|node| node.reporting()).map(|node| &node.view) {
        for (name, backend) in &view.backends {
            let state = view.backend_state(backend);
            let survey = backends.entry(name.clone()).or_insert(BackendSurvey { up: true, down: None });
            survey.up &= state == BackendState::Up;
            if state == BackendState::Down {
                let code = view.backend_health(backend).and_then(|health| health.history.last()?.code);
                let down = survey.down.get_or_insert_default();
                down.code = down.code.or(code);
            }
        }
    }
    backends
}

/// Lists backends that are down: `web-1 L7STS, web-2 L7TOUT`. Empty if there are none.
pub fn list_down(down: &BTreeMap<Name, DownBackend>) -> String {
    let text = |(name, backend): (&Name, &DownBackend)| {
        let code = backend.code.map_or("down", ProbeCode::as_str);
        format!("{} {code}", name.name())
    };
    let listed: Vec<String> = down.iter().take(MAX_LISTED).map(text).collect();
    let more = down.len().saturating_sub(MAX_LISTED);
    let listed = listed.join(", ");
    if more == 0 { listed } else { format!("{listed} and {more} more") }
}
