//! The row of a Frontend: the reports of its nodes, folded.

use std::sync::Arc;

use crate::{
    document::{Counters, Disagreement, Row, Time, round_rate},
    inputs::Inputs,
};
use maglev_fleet::survey::{self, Flag, FrontendSummary, NodeTables, TableDifference};
use maglev_model::{
    Name,
    actual::VppVip,
    event::{FrontendState, ProgramResult},
    health::{BackendState, ProbeCode},
};

/// The contribution of one node to a Frontend's row.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    pub(crate) survey: survey::Facts,
    /// Packets per second.
    pub(crate) rate: f64,
    /// Dropped packets per second.
    pub(crate) dropping: f64,
}

impl Facts {
    /// `None` if the node does not know the Frontend.
    pub fn new(inputs: &Inputs, name: &Name) -> Option<Self> {
        let survey = survey::Facts::from_view(inputs.view(), name)?;
        let counters = inputs.traffic.as_ref().and_then(|traffic| traffic.vips.get(&VppVip::from(survey.vip)));
        let counters = counters.filter(|_| !survey.withdrawn);
        Some(Self {
            survey,
            rate: counters.map_or(0.0, Counters::rate),
            dropping: counters.map_or(0.0, Counters::dropping),
        })
    }

    /// The text of the cell: the state, and the result of programming unless it is Programmed.
    pub fn cell(&self) -> String {
        let state = self.survey.display_state().as_str();
        match (self.survey.withdrawn, self.survey.result) {
            (true, _) | (_, ProgramResult::Programmed) => state.to_owned(),
            (false, other) => format!("{state} {}", other.as_str()),
        }
    }
}

/// The facts of one node, and the node's state.
#[derive(Clone, Copy)]
pub struct NodeReport<'a> {
    pub(crate) node: &'a Arc<str>,
    pub(crate) facts: &'a Facts,
    /// True if the node's state is current.
    pub(crate) reporting: bool,
    /// True if other nodes should report the same.
    pub(crate) comparable: bool,
}

/// True if comparable nodes differ.
pub fn differ(reports: &[NodeReport<'_>]) -> bool {
    survey::differ(reports.iter().filter(|report| report.comparable).map(|report| &report.facts.survey))
}

/// The tables of comparable nodes.
pub fn tables(reports: &[NodeReport<'_>]) -> NodeTables {
    let comparable = reports.iter().filter(|report| report.comparable);
    survey::tables(comparable.map(|report| (report.node, &report.facts.survey)))
}

/// `None` if no node knows the Frontend. `disagreement` is set if nodes have differed for too long.
pub fn row(reports: &[NodeReport<'_>], disagreement: Option<(Disagreement, Option<&TableDifference>)>) -> Option<Row> {
    let folded = FrontendSummary::from_reports(&reports.iter().map(|report| survey::NodeReport {
        facts: &report.facts.survey,
        reporting: report.reporting,
        dropping: report.facts.dropping > 0.0,
    }))?;
    let folded = folded.with_disagreement(disagreement.is_some());
    let counted: Vec<_> = reports.iter().filter(|report| report.reporting || !folded.reported).collect();
    let sum = |rate: fn(&Facts) -> f64| {
        round_rate(reports.iter().filter(|report| report.reporting).map(|report| rate(report.facts)).sum())
    };
    let (disagreement, tables) = disagreement.unzip();
    let (rank, reason) = reason(&counted, &folded, tables.flatten());
    Some(Row {
        vip: counted.first()?.facts.survey.vip.into(),
        state: folded.state.as_str(),
        rank,
        flags: folded.flags.iter().copied().collect(),
        cells: reports.iter().map(|report| (Arc::clone(report.node), report.facts.cell())).collect(),
        up: folded.backends.values().filter(|up| **up).count(),
        total: folded.backends.len(),
        rate: sum(|facts| facts.rate),
        dropping: sum(|facts| facts.dropping),
        since: folded.since.map(Time),
        disagreement,
        reason,
    })
}

/// The most severe condition of the Frontend: its severity and text.
fn reason(counted: &[&NodeReport<'_>], folded: &FrontendSummary, tables: Option<&TableDifference>) -> (u8, String) {
    if !folded.reported {
        return (5, "no node reports".to_owned());
    }
    let find =
        |test: &dyn Fn(&survey::Facts) -> bool| counted.iter().find(|report| test(&report.facts.survey)).copied();
    if let Some(report) = find(&|facts| !facts.withdrawn && facts.state == FrontendState::Down) {
        return (7, why_down(&report.facts.survey));
    }
    if folded.flags.contains(&Flag::Dropping) {
        return (6, "packets are dropped: no server configured".to_owned());
    }
    if let Some(report) = find(&|facts| !facts.withdrawn && facts.result == ProgramResult::Failed) {
        return (4, format!("{}: {}", report.node, text_or(&report.facts.survey.result_reason, "failed")));
    }
    if folded.flags.contains(&Flag::Disagree) {
        return (3, tables.map_or("nodes disagree".to_owned(), |tables| format!("nodes disagree: {tables}")));
    }
    if let Some(problem) = counted.iter().find_map(|report| report.facts.survey.problem.as_ref()) {
        return (3, format!("{}: {}", problem.reason, problem.message));
    }
    if let Some(report) = find(&|facts| facts.result == ProgramResult::Held) {
        return (3, format!("held: {}", text_or(&report.facts.survey.result_reason, "VPP is left unchanged")));
    }
    if let Some(pool) = counted.iter().find_map(|report| report.facts.survey.standby_for.as_ref()) {
        return (2, with_down(format!("pool {pool} down"), folded));
    }
    if let Some(last) = counted.iter().find_map(|report| report.facts.survey.last.as_ref()) {
        return (2, with_down(format!("last backend {}", last.name()), folded));
    }
    if folded.flags.contains(&Flag::BackendsDown) {
        return (2, survey::list_down(&folded.down));
    }
    if find(&|facts| !facts.withdrawn && facts.state == FrontendState::Unknown).is_some() {
        return (1, "waiting for the first probes".to_owned());
    }
    (0, String::new())
}

/// Adds the backends that are down.
fn with_down(reason: String, folded: &FrontendSummary) -> String {
    if folded.down.is_empty() { reason } else { format!("{reason}: {}", survey::list_down(&folded.down)) }
}

fn text_or<'a>(text: &'a str, otherwise: &'a str) -> &'a str {
    if text.is_empty() { otherwise } else { text }
}

fn why_down(facts: &survey::Facts) -> String {
    let mut codes = facts.members.iter().filter(|member| member.state == BackendState::Down).map(|member| member.code);
    let same_code = codes.next().flatten().filter(|first| codes.all(|code| code == Some(*first)));
    let all = |state| facts.members.iter().all(|member| member.state == state);
    match &facts.problem {
        Some(problem) if facts.members.is_empty() => format!("{}: {}", problem.reason, problem.message),
        None if facts.members.is_empty() => "no backends".to_owned(),
        _ if all(BackendState::Down) => format!("all backends {}", same_code.map_or("down", ProbeCode::as_str)),
        _ if all(BackendState::Disabled) => "all backends disabled".to_owned(),
        _ if all(BackendState::Paused) => "all backends paused".to_owned(),
        _ => "no backend takes traffic".to_owned(),
    }
}
