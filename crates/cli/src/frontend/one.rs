//! `show frontend X`: its pools with their weights, and what each node says of it.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use serde::Serialize;

use super::{Vip, look, reason, tone};
use crate::{
    across::{Reach, Share, common},
    backend,
    output::{Answer, Cell, Page, Table, Time, age},
    paint::Tone,
    weights::{Weighed, weighed},
};
use maglev_fleet::{NodeState, survey::Word};
use maglev_model::{
    Name,
    config::{Frontend, OnBackendDown},
    event::ProgramResult,
    health::BackendState,
    vip::Encap,
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct One {
    name: String,
    vip: Vip,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    encap: Option<&'static str>,
    session_affinity: &'static str,
    on_backend_down: &'static str,
    table_length: u16,
    generation: i64,
    #[serde(flatten)]
    reach: Reach,
    pools: Vec<Pool>,
    per_node: Vec<PerNode>,
    #[serde(skip)]
    word: Option<Word>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Pool {
    name: Arc<str>,
    active_on_nodes: Share,
    backends: Vec<Member>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Member {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    state: &'static str,
    up_on_nodes: Share,
    weight: u8,
    /// The weight in effect that most nodes have.
    effective: u8,
    effective_on_nodes: Share,
    /// What VPP has on those nodes that know; absent where none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    in_vpp: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    buckets: Option<u32>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PerNode {
    node: Arc<str>,
    state: &'static str,
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    programmed_generation: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    active_pool: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Time>,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    #[serde(skip)]
    word: Option<Word>,
}

impl One {
    /// `None` where no node that reports knows it.
    pub fn of(name: &Name, nodes: Vec<NodeState>) -> Option<Self> {
        let (nodes, reach) = Reach::split(nodes);
        let survey = look(&nodes).frontends.remove(name)?;
        let newest = |node: &&NodeState| node.view.frontends.get(name).map(|of| of.revision.generation);
        let frontend = nodes.iter().max_by_key(newest)?.view.frontends.get(name)?;
        let per_node = survey.nodes.iter().map(|(node, facts)| {
            let report = nodes.iter().find(|of| of.node == *node).and_then(|of| of.view.reports.get(name));
            PerNode {
                node: Arc::clone(node),
                state: facts.word().as_str(),
                result: facts.result.as_str(),
                programmed_generation: report
                    .filter(|report| report.result == ProgramResult::Programmed)
                    .map(|report| report.generation),
                active_pool: facts.active_pool.clone(),
                since: facts.since.map(Time),
                reason: reason(facts),
                word: Some(facts.word()),
            }
        });
        Some(Self {
            name: name.to_string(),
            vip: frontend.vip.into(),
            state: survey.state.as_str(),
            encap: frontend.encap.map(Encap::as_str),
            session_affinity: if frontend.sticky { "ClientIP" } else { "None" },
            on_backend_down: match frontend.on_backend_down {
                OnBackendDown::Flush => "Flush",
                OnBackendDown::Keep => "Keep",
            },
            table_length: frontend.table_length.get(),
            generation: frontend.revision.generation,
            reach,
            pools: pools(frontend, &nodes),
            per_node: per_node.collect(),
            word: Some(survey.state),
        })
    }
}

fn pools(frontend: &Frontend, nodes: &[NodeState]) -> Vec<Pool> {
    let mut weights: BTreeMap<(usize, Name), Vec<Weighed>> = BTreeMap::new();
    for of in nodes.iter().flat_map(|node| weighed(node, &frontend.name)) {
        weights.entry((of.pool_index, of.backend.clone())).or_default().push(of);
    }
    let pool = |(index, pool): (usize, &maglev_model::config::Pool)| {
        let members = pool.members.iter().filter_map(|member| {
            let said = weights.get(&(index, member.backend.clone()))?;
            let (effective, effective_on_nodes) = common(said.iter().map(|of| of.effective))?;
            Some(Member {
                name: member.backend.to_string(),
                address: member.target.address().map(|address| address.to_string()),
                state: backend::fold(said.iter().map(|of| of.state)),
                up_on_nodes: Share::count(said, |of| of.state == BackendState::Up),
                weight: member.weight.get(),
                effective,
                effective_on_nodes,
                in_vpp: common(said.iter().filter_map(|of| of.in_vpp)).map(|(weight, _)| weight),
                buckets: common(said.iter().filter_map(|of| of.buckets)).map(|(buckets, _)| buckets),
            })
        });
        Pool {
            name: Arc::clone(&pool.name),
            active_on_nodes: Share::count(nodes, |node| {
                let of = node.view.frontends.get(&frontend.name);
                of.is_some_and(|of| node.view.effective(of).active_pool == Some(index))
            }),
            backends: members.collect(),
        }
    };
    frontend.pools.iter().enumerate().map(pool).collect()
}

impl Answer for One {
    fn page(&self, wide: bool, now: Timestamp) -> Page {
        let mut page = Page::default();
        let port = if self.vip.port == 0 { "all ports".to_owned() } else { self.vip.port.to_string() };
        page.fields([
            ("Frontend", self.name.clone().into()),
            ("VIP", format!("{} {} {port}", self.vip.address, self.vip.protocol).into()),
            ("State", Cell::toned(self.state, self.word.map_or(Tone::Plain, tone))),
            ("Encap", self.encap.map_or_else(|| "as VPP has it".into(), Cell::from)),
            ("Session affinity", self.session_affinity.into()),
            ("On backend down", self.on_backend_down.into()),
            ("Table length", self.table_length.to_string().into()),
            ("Generation", self.generation.to_string().into()),
        ]);
        page.heading("Pools, in order of priority");
        page.table(&self.members(), "no backends");
        page.heading("Nodes");
        page.table(&self.nodes(wide, now), "none");
        self.reach.footnote(&mut page);
        page
    }
}

impl One {
    fn members(&self) -> Table {
        let head =
            ["POOL", "ACTIVE-ON", "BACKEND", "ADDRESS", "STATE", "UP-ON", "WEIGHT", "EFFECTIVE", "ON", "BUCKETS"];
        let mut table = Table::new(head);
        for pool in &self.pools {
            let mut first = [Cell::from(pool.name.to_string()), pool.active_on_nodes.to_string().into()];
            for of in &pool.backends {
                let [name, active] = std::mem::take(&mut first);
                let text = |text: Option<String>| text.map_or_else(Cell::none, Cell::from);
                table.row([
                    name,
                    active,
                    of.name.clone().into(),
                    text(of.address.clone()),
                    Cell::toned(of.state, backend::tone(of.state)),
                    of.up_on_nodes.cell(),
                    of.weight.to_string().into(),
                    of.effective.to_string().into(),
                    of.effective_on_nodes.cell(),
                    text(of.buckets.map(|buckets| buckets.to_string())),
                ]);
            }
        }
        table
    }

    fn nodes(&self, wide: bool, now: Timestamp) -> Table {
        let mut head = vec!["NODE", "STATE", "RESULT", "GENERATION", "POOL", "SINCE"];
        let reasons = wide || self.per_node.iter().any(|of| !of.reason.is_empty());
        head.extend(reasons.then_some("REASON"));
        let mut table = Table::new(head);
        for of in &self.per_node {
            let text = |text: Option<String>| text.map_or_else(Cell::none, Cell::from);
            let result = if of.result == ProgramResult::Programmed.as_str() { Tone::Plain } else { Tone::Warn };
            let mut row = vec![
                of.node.to_string().into(),
                Cell::toned(of.state, of.word.map_or(Tone::Plain, tone)),
                Cell::toned(of.result, result),
                text(of.programmed_generation.map(|generation| generation.to_string())),
                text(of.active_pool.as_ref().map(ToString::to_string)),
                text(of.since.map(|at| age(at.0, now))),
            ];
            row.extend(reasons.then(|| of.reason.clone().into()));
            table.row(row);
        }
        table
    }
}
