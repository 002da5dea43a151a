//! `show backends`. See [`detail`] for `show backend` and [`why`] for `why backend`.

pub mod detail;
pub mod why;

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;

use super::{
    coverage::{NodeCoverage, Ratio, most_frequent},
    output::{Cell, Page, Printable, Table, Time, age},
    style::Style,
};
use maglev_fleet::NodeState;
use maglev_model::{
    Name,
    config::{Backend, Check},
    derived::Origin,
    health::{BackendState, ProbeCode},
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Backends {
    #[serde(flatten)]
    coverage: NodeCoverage,
    backends: Vec<Row>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    name: String,
    address: String,
    /// The Node or Service of a Backend without an object.
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<String>,
    state: &'static str,
    up_on_nodes: Ratio,
    admin_state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    health_check: Option<String>,
    /// The probe code of the last transition.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Time>,
    /// Number of Frontends that use the Backend.
    frontends: usize,
    /// The nodes with a different state, as `STATE on NODE`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    otherwise: Vec<String>,
}

/// The common state of several nodes, or `mixed`.
pub fn common_state(states: impl IntoIterator<Item = BackendState>) -> &'static str {
    let states: BTreeSet<BackendState> = states.into_iter().collect();
    match states.len() {
        0 => BackendState::Unknown.as_str(),
        1 => states.first().map_or("", |state| state.as_str()),
        _ => "mixed",
    }
}

pub fn style(state: &str) -> Style {
    match state {
        "up" => Style::Good,
        "down" => Style::Bad,
        "paused" | "disabled" => Style::Faint,
        _ => Style::Warn,
    }
}

/// The name of the HealthCheck, or in parentheses the reason for its absence; `None` if the Backend refers to none.
pub fn check_name(check: &Check) -> Option<String> {
    match check {
        Check::Probe(check) => Some(check.name.name().to_owned()),
        Check::Missing(problem) | Check::NotSupported(problem) => Some(format!("({})", problem.reason)),
        Check::None => None,
    }
}

impl Backends {
    pub fn new(nodes: Vec<NodeState>) -> Self {
        let (nodes, coverage) = NodeCoverage::split(nodes);
        let names: BTreeSet<&Name> = nodes.iter().flat_map(|node| node.view.backends.keys()).collect();
        Self { coverage, backends: names.into_iter().filter_map(|name| Row::new(name, &nodes)).collect() }
    }
}

impl Row {
    fn new(name: &Name, nodes: &[NodeState]) -> Option<Self> {
        let instances: Vec<_> = nodes.iter().filter_map(|node| Some((node, node.view.backends.get(name)?))).collect();
        let (_, newest) = instances.iter().max_by_key(|(_, backend)| backend.revision.generation)?;
        let states = || instances.iter().map(|(node, backend)| node.view.backend_state(backend));
        let most = most_frequent(states()).map(|(state, _)| state);
        let last = |node: &NodeState, backend: &Backend| node.view.backend_health(backend)?.history.last().copied();
        let lasts =
            || instances.iter().filter_map(|(node, backend)| last(node, backend)).filter(|last| Some(last.to) == most);
        let otherwise = instances.iter().filter_map(|(node, backend)| {
            let state = node.view.backend_state(backend);
            (Some(state) != most).then(|| format!("{} on {}", state, node.node))
        });
        let uses = |frontend: &&std::sync::Arc<maglev_model::config::Frontend>| {
            frontend.pools.iter().flat_map(|pool| &pool.members).any(|member| member.backend == *name)
        };
        let frontends = nodes.iter().map(|node| node.view.frontends.values().filter(uses).count()).max();
        Some(Self {
            name: name.to_string(),
            address: newest.address.to_string(),
            origin: Origin::parse(name).map(|origin| origin.to_string()),
            state: common_state(states()),
            up_on_nodes: Ratio::count(states(), |state| state == BackendState::Up),
            admin_state: newest.admin_state.as_str(),
            health_check: check_name(&newest.check),
            code: lasts().filter_map(|last| last.code).map(ProbeCode::as_str).next(),
            since: lasts().map(|last| last.at).min().map(Time),
            frontends: frontends.unwrap_or(0),
            otherwise: otherwise.collect(),
        })
    }
}

impl Printable for Backends {
    fn page(&self, wide: bool, now: Timestamp) -> Page {
        let mut head = vec!["NAME", "ADDRESS", "STATE", "UP-ON", "ADMIN", "CHECK", "CODE", "SINCE"];
        if wide {
            head.extend(["FRONTENDS", "ORIGIN", "OTHERWISE"]);
        }
        let mut table = Table::new(head);
        for backend in &self.backends {
            let text = |text: Option<String>| text.map_or_else(Cell::none, Cell::from);
            let admin = if backend.admin_state == "Enabled" { Style::Plain } else { Style::Warn };
            let mut row = vec![
                backend.name.clone().into(),
                backend.address.clone().into(),
                Cell::styled(backend.state, style(backend.state)),
                backend.up_on_nodes.cell(),
                Cell::styled(backend.admin_state, admin),
                text(backend.health_check.clone()),
                text(backend.code.map(str::to_owned)),
                text(backend.since.map(|at| age(at.0, now))),
            ];
            if wide {
                let origin = text(backend.origin.clone());
                row.extend([backend.frontends.to_string().into(), origin, backend.otherwise.join(", ").into()]);
            }
            table.row(row);
        }
        let mut page = Page::default();
        page.table(&table, "no Backends");
        self.coverage.footnote(&mut page);
        page
    }
}
