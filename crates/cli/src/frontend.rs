//! `show frontends`; `show frontend X` is in [`one`].

pub mod one;

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use super::{
    across::{Reach, Share, common},
    output::{Answer, Cell, Page, Table, Time, age},
    paint::Tone,
};
use maglev_fleet::{
    NodeState,
    survey::{Facts, FrontendSurvey, Lasting, Survey, Word},
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
    reach: Reach,
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
    /// Nodes on which it is up, of those that report.
    up_on_nodes: Share,
    programmed_on_nodes: Share,
    /// Backends that are up on every node.
    backends_up: Share,
    #[serde(skip_serializing_if = "Option::is_none")]
    active_pool: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encap: Option<&'static str>,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
}

/// A look that judges nothing that takes time: the caller shows states, not alarms.
pub fn look(nodes: &[NodeState]) -> Survey {
    Survey::new(nodes, &Lasting { dropping: &|_, _| false, disagree: &|_| false })
}

/// The tone of a Frontend's state.
pub fn tone(word: Word) -> Tone {
    match word {
        Word::Up => Tone::Good,
        Word::Down => Tone::Bad,
        Word::Standby | Word::Unknown => Tone::Warn,
        Word::Withdrawn => Tone::Faint,
    }
}

/// Why it is as it is; empty where there is nothing to say.
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
    pub fn of(nodes: Vec<NodeState>) -> Self {
        let (nodes, reach) = Reach::split(nodes);
        let survey = look(&nodes);
        let row = |(name, of): (&Name, &FrontendSurvey)| Row::of(name, of, &nodes);
        Self { reach, frontends: survey.frontends.iter().filter_map(row).collect() }
    }
}

impl Row {
    fn of(name: &Name, survey: &FrontendSurvey, nodes: &[NodeState]) -> Option<Self> {
        let facts = || survey.nodes.values();
        let first = facts().next()?;
        let encaps = nodes.iter().filter_map(|node| node.view.frontends.get(name)?.encap);
        Some(Self {
            name: name.to_string(),
            vip: first.vip.into(),
            state: survey.state.as_str(),
            up_on_nodes: Share::count(facts(), |of| matches!(of.word(), Word::Up | Word::Standby)),
            programmed_on_nodes: Share::count(facts(), |of| of.result == ProgramResult::Programmed),
            backends_up: Share::count(survey.backends.values(), |up| *up),
            active_pool: common(facts().filter_map(|of| of.active_pool.clone())).map(|(pool, _)| pool),
            since: survey.since.map(Time),
            encap: encaps.map(Encap::as_str).next(),
            reason: facts().map(reason).find(|reason| !reason.is_empty()).unwrap_or_default(),
        })
    }

    fn word(&self) -> Word {
        [Word::Down, Word::Unknown, Word::Standby, Word::Up, Word::Withdrawn]
            .into_iter()
            .find(|word| word.as_str() == self.state)
            .unwrap_or(Word::Unknown)
    }
}

impl Answer for Frontends {
    fn page(&self, wide: bool, now: Timestamp) -> Page {
        let mut head =
            vec!["NAME", "VIP", "PROTO", "PORT", "STATE", "UP-ON", "PROGRAMMED", "BACKENDS", "POOL", "SINCE"];
        if wide {
            head.extend(["ENCAP", "REASON"]);
        }
        let mut table = Table::new(head);
        for of in &self.frontends {
            let mut row = vec![of.name.clone().into()];
            row.extend(of.vip.cells());
            row.extend([
                Cell::toned(of.state, tone(of.word())),
                of.up_on_nodes.cell(),
                of.programmed_on_nodes.cell(),
                of.backends_up.cell(),
                of.active_pool.as_ref().map_or_else(Cell::none, |pool| pool.to_string().into()),
                of.since.map_or_else(Cell::none, |at| age(at.0, now).into()),
            ]);
            if wide {
                row.extend([of.encap.map_or_else(Cell::none, Cell::from), of.reason.clone().into()]);
            }
            table.row(row);
        }
        let mut page = Page::default();
        page.table(&table, "no Frontends");
        self.reach.footnote(&mut page);
        page
    }
}
