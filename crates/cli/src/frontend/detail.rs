//! `show frontend X`: pools with weights, and the state on each node.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use jiff::Timestamp;
use serde::Serialize;

use super::{Vip, reason, style, survey};
use crate::{
    backend,
    coverage::{NodeCoverage, Ratio, most_frequent},
    output::{Cell, Page, Printable, Table, Time, age},
    style::Style,
    weights::{MemberWeight, member_weights},
};
use maglev_fleet::{NodeState, survey::DisplayState};
use maglev_model::{Name, config::Frontend, event::ProgramResult, health::BackendState, vip::Encap};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FrontendOverview {
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
    coverage: NodeCoverage,
    pools: Vec<Pool>,
    /// Application servers in VPP that no pool names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unclaimed_servers: Vec<UnclaimedServer>,
    per_node: Vec<PerNode>,
    #[serde(skip)]
    display_state: Option<DisplayState>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Pool {
    name: Arc<str>,
    active_on_nodes: Ratio,
    backends: Vec<Member>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Member {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    state: &'static str,
    up_on_nodes: Ratio,
    weight: u8,
    /// The most frequent effective weight.
    effective: u8,
    effective_on_nodes: Ratio,
    /// The most frequent weight in VPP; absent if no node reports one.
    #[serde(skip_serializing_if = "Option::is_none")]
    in_vpp: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    buckets: Option<u32>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UnclaimedServer {
    address: String,
    /// The most frequent weight in VPP.
    in_vpp: u8,
    on_nodes: Ratio,
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
    display_state: Option<DisplayState>,
}

impl FrontendOverview {
    /// `None` if no reporting node has the Frontend.
    pub fn new(name: &Name, nodes: Vec<NodeState>) -> Option<Self> {
        let (nodes, coverage) = NodeCoverage::split(nodes);
        let survey = survey(&nodes).frontends.remove(name)?;
        let newest = |node: &&NodeState| node.view.frontends.get(name).map(|frontend| frontend.revision.generation);
        let frontend = nodes.iter().max_by_key(newest)?.view.frontends.get(name)?;
        let per_node = survey.nodes.iter().map(|(node, facts)| {
            let report = nodes.iter().find(|state| state.node == *node).and_then(|state| state.view.reports.get(name));
            PerNode {
                node: Arc::clone(node),
                state: facts.display_state().as_str(),
                result: facts.result.as_str(),
                programmed_generation: report
                    .filter(|report| report.result == ProgramResult::Programmed)
                    .map(|report| report.generation),
                active_pool: facts.active_pool.clone(),
                since: facts.since.map(Time),
                reason: reason(facts),
                display_state: Some(facts.display_state()),
            }
        });
        Some(Self {
            name: name.to_string(),
            vip: frontend.vip.into(),
            state: survey.state.as_str(),
            encap: frontend.encap.map(Encap::as_str),
            session_affinity: if frontend.sticky { "ClientIP" } else { "None" },
            on_backend_down: frontend.on_backend_down.as_str(),
            table_length: frontend.table_length.get(),
            generation: frontend.revision.generation,
            coverage,
            pools: pools(frontend, &nodes),
            unclaimed_servers: unclaimed_servers(name, &nodes),
            per_node: per_node.collect(),
            display_state: Some(survey.state),
        })
    }
}

fn pools(frontend: &Frontend, nodes: &[NodeState]) -> Vec<Pool> {
    let mut weights: BTreeMap<(usize, Name), Vec<MemberWeight>> = BTreeMap::new();
    for member in nodes.iter().flat_map(|node| member_weights(node, &frontend.name)) {
        weights.entry((member.pool_index, member.backend.clone())).or_default().push(member);
    }
    let pool = |(index, pool): (usize, &maglev_model::config::Pool)| {
        let members = pool.members.iter().filter_map(|member| {
            let members = weights.get(&(index, member.backend.clone()))?;
            let (effective, effective_on_nodes) = most_frequent(members.iter().map(|member| member.effective))?;
            Some(Member {
                name: member.backend.to_string(),
                address: member.target.address().map(|address| address.to_string()),
                state: backend::common_state(members.iter().map(|member| member.state)),
                up_on_nodes: Ratio::count(members, |member| member.state == BackendState::Up),
                weight: member.weight.get(),
                effective,
                effective_on_nodes,
                in_vpp: most_frequent(members.iter().filter_map(|member| member.in_vpp)).map(|(weight, _)| weight),
                buckets: most_frequent(members.iter().filter_map(|member| member.buckets)).map(|(buckets, _)| buckets),
            })
        });
        Pool {
            name: Arc::clone(&pool.name),
            active_on_nodes: Ratio::count(nodes, |node| {
                let frontend = node.view.frontends.get(&frontend.name);
                frontend.is_some_and(|frontend| node.view.effective_weights(frontend).active_pool == Some(index))
            }),
            backends: members.collect(),
        }
    };
    frontend.pools.iter().enumerate().map(pool).collect()
}

fn unclaimed_servers(name: &Name, nodes: &[NodeState]) -> Vec<UnclaimedServer> {
    let mut weights: BTreeMap<IpAddr, Vec<u8>> = BTreeMap::new();
    for view in nodes.iter().map(|node| &node.view) {
        let servers = view.frontends.get(name).map(|frontend| view.unclaimed_servers(frontend)).unwrap_or_default();
        for (address, weight) in &servers {
            weights.entry(*address).or_default().push(*weight);
        }
    }
    let server = |(address, weights): (IpAddr, Vec<u8>)| UnclaimedServer {
        address: address.to_string(),
        in_vpp: most_frequent(weights.iter().copied()).map_or(0, |(weight, _)| weight),
        on_nodes: Ratio { count: weights.len(), total: nodes.len() },
    };
    weights.into_iter().map(server).collect()
}

impl Printable for FrontendOverview {
    fn page(&self, wide: bool, now: Timestamp) -> Page {
        let mut page = Page::default();
        let port = if self.vip.port == 0 { "all ports".to_owned() } else { self.vip.port.to_string() };
        page.fields([
            ("Frontend", self.name.clone().into()),
            ("VIP", format!("{} {} {port}", self.vip.address, self.vip.protocol).into()),
            ("State", Cell::styled(self.state, self.display_state.map_or(Style::Plain, style))),
            ("Encap", self.encap.map_or_else(|| "as in VPP".into(), Cell::from)),
            ("Session affinity", self.session_affinity.into()),
            ("On backend down", self.on_backend_down.into()),
            ("Table length", self.table_length.to_string().into()),
            ("Generation", self.generation.to_string().into()),
        ]);
        page.heading("Pools, in order of priority");
        page.table(&self.members(), "no backends");
        if !self.unclaimed_servers.is_empty() {
            page.heading("Servers in VPP that no pool names");
            page.table(&self.unclaimed(), "");
        }
        page.heading("Nodes");
        page.table(&self.nodes(wide, now), "none");
        self.coverage.footnote(&mut page);
        page
    }
}

impl FrontendOverview {
    fn members(&self) -> Table {
        let head =
            ["POOL", "ACTIVE-ON", "BACKEND", "ADDRESS", "STATE", "UP-ON", "WEIGHT", "EFFECTIVE", "ON", "BUCKETS"];
        let mut table = Table::new(head);
        for pool in &self.pools {
            let mut first = [Cell::from(pool.name.to_string()), pool.active_on_nodes.to_string().into()];
            for member in &pool.backends {
                let [name, active] = std::mem::take(&mut first);
                let text = |text: Option<String>| text.map_or_else(Cell::none, Cell::from);
                table.row([
                    name,
                    active,
                    member.name.clone().into(),
                    text(member.address.clone()),
                    Cell::styled(member.state, backend::style(member.state)),
                    member.up_on_nodes.cell(),
                    member.weight.to_string().into(),
                    member.effective.to_string().into(),
                    member.effective_on_nodes.cell(),
                    text(member.buckets.map(|buckets| buckets.to_string())),
                ]);
            }
        }
        table
    }

    fn unclaimed(&self) -> Table {
        let mut table = Table::new(["SERVER", "WEIGHT", "ON"]);
        for server in &self.unclaimed_servers {
            table.row([server.address.clone().into(), server.in_vpp.to_string().into(), server.on_nodes.cell()]);
        }
        table
    }

    fn nodes(&self, wide: bool, now: Timestamp) -> Table {
        let mut head = vec!["NODE", "STATE", "RESULT", "GENERATION", "POOL", "SINCE"];
        let reasons = wide || self.per_node.iter().any(|node| !node.reason.is_empty());
        head.extend(reasons.then_some("REASON"));
        let mut table = Table::new(head);
        for node in &self.per_node {
            let text = |text: Option<String>| text.map_or_else(Cell::none, Cell::from);
            let result = if node.result == ProgramResult::Programmed.as_str() { Style::Plain } else { Style::Warn };
            let mut row = vec![
                node.node.to_string().into(),
                Cell::styled(node.state, node.display_state.map_or(Style::Plain, style)),
                Cell::styled(node.result, result),
                text(node.programmed_generation.map(|generation| generation.to_string())),
                text(node.active_pool.as_ref().map(ToString::to_string)),
                text(node.since.map(|at| age(at.0, now))),
            ];
            row.extend(reasons.then(|| node.reason.clone().into()));
            table.row(row);
        }
        table
    }
}
