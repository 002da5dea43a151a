//! `show backend X`: health on each node, weights, and last transitions.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use serde::Serialize;

use super::{check_name, common_state, style};
use crate::{
    coverage::{NodeCoverage, Ratio, most_frequent},
    output::{Cell, Page, Printable, Table, Time, age},
    style::Style,
    traffic::{self, ServerTraffic},
    weights::{MemberWeight, member_weights},
};
use maglev_fleet::NodeState;
use maglev_model::{
    Name,
    config::Kind,
    counters::StatsSnapshot,
    derived::Origin,
    health::{ProbeCode, Transition},
};
use maglev_rpc::client::BackendDetail;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendOverview {
    name: String,
    /// The Node or Service of a Backend without an object.
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<String>,
    address: String,
    state: &'static str,
    admin_state: &'static str,
    /// The reason for which a Backend without an object is paused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pause_cause: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    health_check: Option<String>,
    generation: i64,
    #[serde(flatten)]
    coverage: NodeCoverage,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<String>,
    per_node: Vec<PerNode>,
    weights: Vec<PoolMembership>,
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
    /// Absent if VPP does not report any.
    #[serde(skip_serializing_if = "Option::is_none")]
    traffic: Option<ServerTraffic>,
}

/// The response of an agent.
pub struct Response {
    pub(crate) detail: BackendDetail,
    /// `None` if the counters cannot be read.
    pub(crate) stats: Option<Arc<StatsSnapshot>>,
}

/// The state of probing; empty if the agent did not report it.
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
    pub fn new(detail: Option<&BackendDetail>) -> Self {
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
    fn from(transition: &Transition) -> Self {
        Self {
            from: transition.from.as_str(),
            to: transition.to.as_str(),
            at: Time(transition.at),
            code: transition.code.map(ProbeCode::as_str),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PoolMembership {
    frontend: String,
    pool: Arc<str>,
    weight: u8,
    effective: u8,
    effective_on_nodes: Ratio,
}

impl BackendOverview {
    /// `None` if no reporting node has the Backend.
    pub fn new(name: &Name, nodes: Vec<NodeState>, responses: &BTreeMap<Arc<str>, Response>) -> Option<Self> {
        let (nodes, coverage) = NodeCoverage::split(nodes);
        let instances: Vec<_> = nodes.iter().filter_map(|node| Some((node, node.view.backends.get(name)?))).collect();
        let (_, newest) = instances.iter().max_by_key(|(_, backend)| backend.revision.generation)?;
        let mut problems: Vec<String> = nodes
            .iter()
            .filter_map(|node| node.view.object_problems(Kind::Backend, name))
            .flat_map(|object| object.problems.iter().map(|problem| format!("{}: {}", problem.reason, problem.message)))
            .collect();
        problems.sort();
        problems.dedup();
        let per_node = instances.iter().map(|(node, backend)| {
            let history =
                node.view.backend_health(backend).map(|health| Arc::clone(&health.history)).unwrap_or_default();
            let response = responses.get(&node.node);
            let counters = response.and_then(|response| response.stats.as_ref()?.counters.as_ref());
            PerNode {
                node: Arc::clone(&node.node),
                state: node.view.backend_state(backend).as_str(),
                since: history.last().map(|last| Time(last.at)),
                probing: Probing::new(response.map(|response| &response.detail)),
                transitions: history.iter().map(Change::from).collect(),
                traffic: counters.and_then(|counters| ServerTraffic::by_address(counters).remove(&backend.address)),
            }
        });
        Some(Self {
            name: name.to_string(),
            origin: Origin::parse(name).map(|origin| origin.to_string()),
            address: newest.address.to_string(),
            state: common_state(instances.iter().map(|(node, backend)| node.view.backend_state(backend))),
            admin_state: newest.admin_state.as_str(),
            pause_cause: newest.pause_cause.as_ref().map(ToString::to_string),
            health_check: check_name(&newest.check),
            generation: newest.revision.generation,
            problems,
            per_node: per_node.collect(),
            weights: memberships(name, &nodes),
            coverage,
        })
    }
}

/// The pool memberships of a Backend on one node.
pub fn memberships_on(node: &NodeState, name: &Name) -> Vec<MemberWeight> {
    let all = node.view.frontends.keys().flat_map(|frontend| member_weights(node, frontend));
    all.filter(|member| member.backend == *name).collect()
}

fn memberships(name: &Name, nodes: &[NodeState]) -> Vec<PoolMembership> {
    let mut by_pool: BTreeMap<(Name, usize, Arc<str>), Vec<MemberWeight>> = BTreeMap::new();
    for member in nodes.iter().flat_map(|node| memberships_on(node, name)) {
        by_pool.entry((member.frontend.clone(), member.pool_index, Arc::clone(&member.pool))).or_default().push(member);
    }
    let membership = |((frontend, _, pool), members): ((Name, usize, Arc<str>), Vec<MemberWeight>)| {
        let (effective, effective_on_nodes) = most_frequent(members.iter().map(|member| member.effective))?;
        let (weight, _) = most_frequent(members.iter().map(|member| member.weight))?;
        Some(PoolMembership { frontend: frontend.to_string(), pool, weight, effective, effective_on_nodes })
    };
    by_pool.into_iter().filter_map(membership).collect()
}

impl Printable for BackendOverview {
    fn page(&self, wide: bool, now: Timestamp) -> Page {
        let mut page = Page::default();
        // Without an object there is no generation.
        let version = match &self.origin {
            Some(origin) => ("Origin", origin.clone()),
            None => ("Generation", self.generation.to_string()),
        };
        let cause = self.pause_cause.as_ref().map(|cause| format!(": {cause}")).unwrap_or_default();
        let admin_state = format!("{}{cause}", self.admin_state);
        page.fields([
            ("Backend", self.name.clone().into()),
            ("Address", self.address.clone().into()),
            ("State", Cell::styled(self.state, style(self.state))),
            ("Admin state", admin_state.into()),
            ("HealthCheck", self.health_check.clone().map_or_else(|| "none: always up".into(), Cell::from)),
            (version.0, version.1.into()),
        ]);
        for problem in &self.problems {
            page.styled(Style::Warn, problem);
        }
        page.heading("Nodes");
        page.table(&self.nodes(wide, now), "none");
        page.heading("Pools");
        let mut table = Table::new(["FRONTEND", "POOL", "WEIGHT", "EFFECTIVE", "ON"]);
        for membership in &self.weights {
            table.row([
                membership.frontend.clone().into(),
                membership.pool.to_string().into(),
                membership.weight.to_string().into(),
                membership.effective.to_string().into(),
                membership.effective_on_nodes.cell(),
            ]);
        }
        page.table(&table, "in no pool");
        page.heading("Traffic in VPP");
        page.table(&self.traffic(), "not reported by VPP");
        traffic::explain(&mut page, self.per_node.iter().filter_map(|node| node.traffic.as_ref()));
        page.heading("Last transitions");
        page.table(&self.transitions(now), "none");
        self.coverage.footnote(&mut page);
        page
    }
}

impl BackendOverview {
    fn nodes(&self, wide: bool, now: Timestamp) -> Table {
        let mut head = vec!["NODE", "STATE", "LAST-PROBE", "AGO", "TOOK", "COUNTER", "SINCE"];
        if wide {
            head.extend(["PROBES", "DETAIL"]);
        }
        let mut table = Table::new(head);
        let text = |text: Option<String>| text.map_or_else(Cell::none, Cell::from);
        for node_state in &self.per_node {
            let probing = &node_state.probing;
            let mut row = vec![
                node_state.node.to_string().into(),
                Cell::styled(node_state.state, style(node_state.state)),
                text(probing.last_code.map(str::to_owned)),
                text(probing.last_at.map(|at| age(at.0, now))),
                text(probing.last_ms.map(|ms| format!("{ms:.1}ms"))),
                text(probing.counter.map(|counter| counter.to_string())),
                text(node_state.since.map(|at| age(at.0, now))),
            ];
            if wide {
                row.extend([probing.probes.to_string().into(), probing.last_detail.clone().into()]);
            }
            table.row(row);
        }
        table
    }

    fn traffic(&self) -> Table {
        let mut table = Table::new(["NODE"].into_iter().chain(traffic::HEAD).chain(["VIPS"]));
        for (node, traffic) in self.per_node.iter().filter_map(|node| Some((&node.node, node.traffic.as_ref()?))) {
            let cells = [Cell::from(node.to_string())].into_iter().chain(traffic.cells());
            table.row(cells.chain([traffic.vips().to_string().into()]));
        }
        table
    }

    /// Newest first, over all nodes.
    fn transitions(&self, now: Timestamp) -> Table {
        let mut all: Vec<_> = self
            .per_node
            .iter()
            .flat_map(|node_state| node_state.transitions.iter().map(move |change| (change, &node_state.node)))
            .collect();
        all.sort_by_key(|(change, node)| (std::cmp::Reverse(change.at), *node));
        let mut table = Table::new(["AGO", "NODE", "FROM", "TO", "CODE"]);
        for (change, node) in all.into_iter().take(MAX_TRANSITIONS) {
            let code = change.code.map_or_else(Cell::none, Cell::from);
            let to = Cell::styled(change.to, style(change.to));
            table.row([age(change.at.0, now).into(), node.to_string().into(), change.from.into(), to, code]);
        }
        table
    }
}

/// Maximum number of transitions.
const MAX_TRANSITIONS: usize = 20;
