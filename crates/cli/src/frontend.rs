//! `show frontends`. See [`detail`] for `show frontend`.

pub mod detail;
pub mod why;

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use super::{
    coverage::{NodeCoverage, Ratio, most_frequent},
    output::{Cell, Page, Printable, Table, Time, age},
    style::Style,
};
use maglev_fleet::{
    NodeState,
    survey::{DisplayState, Facts, FrontendSurvey, Survey, SustainedFaults, list_down},
};
use maglev_model::{
    Name,
    event::ProgramResult,
    vip::{Encap, VipKey},
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Frontends {
    #[serde(flatten)]
    coverage: NodeCoverage,
    frontends: Vec<Row>,
}

#[derive(Clone, Serialize)]
pub struct Vip {
    address: String,
    protocol: &'static str,
    /// 0 = all ports.
    port: u16,
}

impl From<VipKey> for Vip {
    fn from(key: VipKey) -> Self {
        Self { address: key.address.to_string(), protocol: key.service.protocol(), port: key.service.port() }
    }
}

impl Vip {
    pub fn cells(&self) -> [Cell; 3] {
        let port = if self.port == 0 { "all".to_owned() } else { self.port.to_string() };
        [self.address.clone().into(), self.protocol.into(), port.into()]
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    name: String,
    vip: Vip,
    state: &'static str,
    /// Out of the reporting nodes.
    up_on_nodes: Ratio,
    programmed_on_nodes: Ratio,
    /// Backends that are up on every node.
    backends_up: Ratio,
    #[serde(skip_serializing_if = "Option::is_none")]
    active_pool: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encap: Option<&'static str>,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
}

/// A survey without the problems that need several observations: the output shows states only.
pub fn survey(nodes: &[NodeState]) -> Survey {
    Survey::new(nodes, &SustainedFaults { dropping: &|_, _| false, disagree: &|_| false })
}

/// The style of a Frontend's state.
pub fn style(state: DisplayState) -> Style {
    match state {
        DisplayState::Up => Style::Good,
        DisplayState::Down => Style::Bad,
        DisplayState::Standby | DisplayState::Unknown => Style::Warn,
        DisplayState::Withdrawn => Style::Faint,
    }
}

/// The reason for the state; empty if there is none.
pub fn reason(facts: &Facts) -> String {
    match (&facts.problem, facts.result) {
        (Some(problem), _) => format!("{}: {}", problem.reason, problem.message),
        (None, ProgramResult::Failed | ProgramResult::Held | ProgramResult::Pending) => {
            let result = facts.result.as_str();
            if facts.result_reason.is_empty() { result.into() } else { format!("{result}: {}", facts.result_reason) }
        }
        (None, ProgramResult::Programmed) => String::new(),
    }
}

impl Frontends {
    pub fn new(nodes: Vec<NodeState>) -> Self {
        let (nodes, coverage) = NodeCoverage::split(nodes);
        let survey = survey(&nodes);
        let row = |(name, survey): (&Name, &FrontendSurvey)| Row::new(name, survey, &nodes);
        Self { coverage, frontends: survey.frontends.iter().filter_map(row).collect() }
    }
}

impl Row {
    fn new(name: &Name, survey: &FrontendSurvey, nodes: &[NodeState]) -> Option<Self> {
        let facts = || survey.nodes.values();
        let first = facts().next()?;
        let encaps = nodes.iter().filter_map(|node| node.view.frontends.get(name)?.encap);
        Some(Self {
            name: name.to_string(),
            vip: first.vip.into(),
            state: survey.state.as_str(),
            up_on_nodes: Ratio::count(facts(), |facts| {
                matches!(facts.display_state(), DisplayState::Up | DisplayState::Standby)
            }),
            programmed_on_nodes: Ratio::count(facts(), |facts| facts.result == ProgramResult::Programmed),
            backends_up: Ratio::count(survey.backends.values(), |up| *up),
            active_pool: most_frequent(facts().filter_map(|facts| facts.active_pool.clone())).map(|(pool, _)| pool),
            since: survey.since.map(Time),
            encap: encaps.map(Encap::as_str).next(),
            reason: facts().map(reason).find(|reason| !reason.is_empty()).unwrap_or_else(|| list_down(&survey.down)),
        })
    }

    fn display_state(&self) -> DisplayState {
        [DisplayState::Down, DisplayState::Unknown, DisplayState::Standby, DisplayState::Up, DisplayState::Withdrawn]
            .into_iter()
            .find(|state| state.as_str() == self.state)
            .unwrap_or(DisplayState::Unknown)
    }
}

impl Printable for Frontends {
    fn page(&self, wide: bool, now: Timestamp) -> Page {
        let mut head =
            vec!["NAME", "VIP", "PROTO", "PORT", "STATE", "UP-ON", "PROGRAMMED", "BACKENDS", "POOL", "SINCE"];
        if wide {
            head.extend(["ENCAP", "REASON"]);
        }
        let mut table = Table::new(head);
        for frontend in &self.frontends {
            let mut row = vec![frontend.name.clone().into()];
            row.extend(frontend.vip.cells());
            row.extend([
                Cell::styled(frontend.state, style(frontend.display_state())),
                frontend.up_on_nodes.cell(),
                frontend.programmed_on_nodes.cell(),
                frontend.backends_up.cell(),
                frontend.active_pool.as_ref().map_or_else(Cell::none, |pool| pool.to_string().into()),
                frontend.since.map_or_else(Cell::none, |at| age(at.0, now).into()),
            ]);
            if wide {
                row.extend([frontend.encap.map_or_else(Cell::none, Cell::from), frontend.reason.clone().into()]);
            }
            table.row(row);
        }
        let mut page = Page::default();
        page.table(&table, "no Frontends");
        self.coverage.footnote(&mut page);
        page
    }
}
