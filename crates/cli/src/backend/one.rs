//! `show backend X`: its health on each node, its weights, and its last transitions.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use serde::Serialize;

use super::{admin_word, check_name, fold, tone};
use crate::{
    across::{Reach, Share, common},
    output::{Answer, Cell, Page, Table, Time, age},
    paint::Tone,
    weights::{Weighed, weighed},
};
use maglev_fleet::NodeState;
use maglev_model::{
    Name,
    config::Kind,
    health::{ProbeCode, Transition},
};
use maglev_rpc::client::BackendDetail;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct One {
    name: String,
    address: String,
    state: &'static str,
    admin_state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    health_check: Option<String>,
    generation: i64,
    #[serde(flatten)]
    reach: Reach,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<String>,
    per_node: Vec<PerNode>,
    weights: Vec<Place>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PerNode {
    node: Arc<str>,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Time>,
    #[serde(flatten)]
    probing: Probing,
    transitions: Vec<Change>,
}

/// How probing goes, as far as it was told.
#[derive(Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Probing {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_ms: Option<f64>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) last_detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) counter: Option<u16>,
    pub(crate) probes: u64,
}

impl Probing {
    pub fn of(detail: Option<&BackendDetail>) -> Self {
        let Some(probing) = detail.and_then(|detail| detail.probing.as_ref()) else { return Self::default() };
        let last = probing.last.as_ref();
        Self {
            last_code: last.map(|last| last.code.as_str()),
            last_at: last.map(|last| Time(last.started)),
            last_ms: last.map(|last| (last.duration.as_secs_f64() * 10_000.0).round() / 10.0),
            last_detail: last.map(|last| last.detail.to_string()).unwrap_or_default(),
            counter: probing.counter,
            probes: probing.probes,
        }
    }
}

#[derive(Clone, Serialize)]
struct Change {
    from: &'static str,
    to: &'static str,
    at: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
}

impl From<&Transition> for Change {
    fn from(of: &Transition) -> Self {
        Self { from: of.from.as_str(), to: of.to.as_str(), at: Time(of.at), code: of.code.map(ProbeCode::as_str) }
    }
}

/// A place in a pool.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Place {
    frontend: String,
    pool: Arc<str>,
    weight: u8,
    effective: u8,
    effective_on_nodes: Share,
}

impl One {
    /// `None` where no node that reports knows it. `details` are what the agents said when asked for it.
    pub fn of(name: &Name, nodes: Vec<NodeState>, details: &BTreeMap<Arc<str>, BackendDetail>) -> Option<Self> {
        let (nodes, reach) = Reach::split(nodes);
        let known: Vec<_> = nodes.iter().filter_map(|node| Some((node, node.view.backends.get(name)?))).collect();
        let (_, newest) = known.iter().max_by_key(|(_, of)| of.revision.generation)?;
        let mut problems: Vec<String> = nodes
            .iter()
            .filter_map(|node| node.view.problems_of(Kind::Backend, name))
            .flat_map(|of| of.problems.iter().map(|problem| format!("{}: {}", problem.reason, problem.message)))
            .collect();
        problems.sort();
        problems.dedup();
        let per_node = known.iter().map(|(node, of)| {
            let history = node.view.health_of(of).map(|health| Arc::clone(&health.history)).unwrap_or_default();
            PerNode {
                node: Arc::clone(&node.node),
                state: node.view.backend_state(of).as_str(),
                since: history.last().map(|last| Time(last.at)),
                probing: Probing::of(details.get(&node.node)),
                transitions: history.iter().map(Change::from).collect(),
            }
        });
        Some(Self {
            name: name.to_string(),
            address: newest.address.to_string(),
            state: fold(known.iter().map(|(node, of)| node.view.backend_state(of))),
            admin_state: admin_word(newest.admin_state),
            health_check: check_name(&newest.check),
            generation: newest.revision.generation,
            problems,
            per_node: per_node.collect(),
            weights: places(name, &nodes),
            reach,
        })
    }
}

/// Where it stands in pools, on one node.
pub fn places_on(node: &NodeState, name: &Name) -> Vec<Weighed> {
    let all = node.view.frontends.keys().flat_map(|frontend| weighed(node, frontend));
    all.filter(|of| of.backend == *name).collect()
}

fn places(name: &Name, nodes: &[NodeState]) -> Vec<Place> {
    let mut said: BTreeMap<(Name, usize, Arc<str>), Vec<Weighed>> = BTreeMap::new();
    for of in nodes.iter().flat_map(|node| places_on(node, name)) {
        said.entry((of.frontend.clone(), of.pool_index, Arc::clone(&of.pool))).or_default().push(of);
    }
    let place = |((frontend, _, pool), said): ((Name, usize, Arc<str>), Vec<Weighed>)| {
        let (effective, effective_on_nodes) = common(said.iter().map(|of| of.effective))?;
        let (weight, _) = common(said.iter().map(|of| of.weight))?;
        Some(Place { frontend: frontend.to_string(), pool, weight, effective, effective_on_nodes })
    };
    said.into_iter().filter_map(place).collect()
}

impl Answer for One {
    fn page(&self, wide: bool, now: Timestamp) -> Page {
        let mut page = Page::default();
        page.fields([
            ("Backend", self.name.clone().into()),
            ("Address", self.address.clone().into()),
            ("State", Cell::toned(self.state, tone(self.state))),
            ("Admin state", self.admin_state.into()),
            ("HealthCheck", self.health_check.clone().map_or_else(|| "none: always up".into(), Cell::from)),
            ("Generation", self.generation.to_string().into()),
        ]);
        for problem in &self.problems {
            page.line(Tone::Warn.paint(problem));
        }
        page.heading("Nodes");
        page.table(&self.nodes(wide, now), "none");
        page.heading("Pools");
        let mut table = Table::new(["FRONTEND", "POOL", "WEIGHT", "EFFECTIVE", "ON"]);
        for of in &self.weights {
            table.row([
                of.frontend.clone().into(),
                of.pool.to_string().into(),
                of.weight.to_string().into(),
                of.effective.to_string().into(),
                of.effective_on_nodes.cell(),
            ]);
        }
        page.table(&table, "in no pool");
        page.heading("Last transitions");
        page.table(&self.transitions(now), "none");
        self.reach.footnote(&mut page);
        page
    }
}

impl One {
    fn nodes(&self, wide: bool, now: Timestamp) -> Table {
        let mut head = vec!["NODE", "STATE", "LAST-PROBE", "AGO", "TOOK", "COUNTER", "SINCE"];
        if wide {
            head.extend(["PROBES", "DETAIL"]);
        }
        let mut table = Table::new(head);
        let text = |text: Option<String>| text.map_or_else(Cell::none, Cell::from);
        for of in &self.per_node {
            let probing = &of.probing;
            let mut row = vec![
                of.node.to_string().into(),
                Cell::toned(of.state, tone(of.state)),
                text(probing.last_code.map(str::to_owned)),
                text(probing.last_at.map(|at| age(at.0, now))),
                text(probing.last_ms.map(|ms| format!("{ms:.1}ms"))),
                text(probing.counter.map(|counter| counter.to_string())),
                text(of.since.map(|at| age(at.0, now))),
            ];
            if wide {
                row.extend([probing.probes.to_string().into(), probing.last_detail.clone().into()]);
            }
            table.row(row);
        }
        table
    }

    /// Newest first, over all nodes.
    fn transitions(&self, now: Timestamp) -> Table {
        let mut all: Vec<_> =
            self.per_node.iter().flat_map(|of| of.transitions.iter().map(move |change| (change, &of.node))).collect();
        all.sort_by_key(|(change, node)| (std::cmp::Reverse(change.at), *node));
        let mut table = Table::new(["AGO", "NODE", "FROM", "TO", "CODE"]);
        for (change, node) in all.into_iter().take(SHOWN) {
            let code = change.code.map_or_else(Cell::none, Cell::from);
            let to = Cell::toned(change.to, tone(change.to));
            table.row([age(change.at.0, now).into(), node.to_string().into(), change.from.into(), to, code]);
        }
        table
    }
}

/// So many transitions are shown.
const SHOWN: usize = 20;
