//! `show backends`; one Backend is in [`one`], and why it is so in [`why`].

pub mod one;
pub mod why;

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;

use super::{
    across::{Reach, Share, common},
    output::{Answer, Cell, Page, Table, Time, age},
    paint::Tone,
};
use maglev_fleet::NodeState;
use maglev_model::{
    Name,
    config::{AdminState, Backend, Check},
    health::{BackendState, ProbeCode},
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Backends {
    #[serde(flatten)]
    reach: Reach,
    backends: Vec<Row>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    name: String,
    address: String,
    state: &'static str,
    up_on_nodes: Share,
    admin_state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    health_check: Option<String>,
    /// The code of the last transition.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Time>,
    /// Frontends that use it.
    frontends: usize,
    /// Nodes that say otherwise, each with what it says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    otherwise: Vec<String>,
}

/// What the operator wants, as manifests spell it.
pub fn admin_word(state: AdminState) -> &'static str {
    match state {
        AdminState::Enabled => "Enabled",
        AdminState::Paused => "Paused",
        AdminState::Disabled => "Disabled",
    }
}

/// One word for what several nodes say: `mixed` where they disagree.
pub fn fold(states: impl IntoIterator<Item = BackendState>) -> &'static str {
    let states: BTreeSet<BackendState> = states.into_iter().collect();
    match states.len() {
        0 => BackendState::Unknown.as_str(),
        1 => states.first().map_or("", |state| state.as_str()),
        _ => "mixed",
    }
}

/// The tone of a Backend's state.
pub fn tone(state: &str) -> Tone {
    match state {
        "up" => Tone::Good,
        "down" => Tone::Bad,
        "paused" | "disabled" => Tone::Faint,
        _ => Tone::Warn,
    }
}

/// The HealthCheck, if it has one.
pub fn check_name(check: &Check) -> Option<String> {
    match check {
        Check::Probe(check) => Some(check.name.name().to_owned()),
        Check::Missing(problem) | Check::NotSupported(problem) => Some(format!("({})", problem.reason)),
        Check::None => None,
    }
}

impl Backends {
    pub fn of(nodes: Vec<NodeState>) -> Self {
        let (nodes, reach) = Reach::split(nodes);
        let names: BTreeSet<&Name> = nodes.iter().flat_map(|node| node.view.backends.keys()).collect();
        Self { reach, backends: names.into_iter().filter_map(|name| Row::of(name, &nodes)).collect() }
    }
}

impl Row {
    fn of(name: &Name, nodes: &[NodeState]) -> Option<Self> {
        let known: Vec<_> = nodes.iter().filter_map(|node| Some((node, node.view.backends.get(name)?))).collect();
        let (_, newest) = known.iter().max_by_key(|(_, of)| of.revision.generation)?;
        let states = || known.iter().map(|(node, of)| node.view.backend_state(of));
        let most = common(states()).map(|(state, _)| state);
        let last = |node: &NodeState, of: &Backend| node.view.health_of(of)?.history.last().copied();
        let lasts = || known.iter().filter_map(|(node, of)| last(node, of)).filter(|last| Some(last.to) == most);
        let otherwise = known.iter().filter_map(|(node, of)| {
            let state = node.view.backend_state(of);
            (Some(state) != most).then(|| format!("{} on {}", state, node.node))
        });
        let uses = |frontend: &&std::sync::Arc<maglev_model::config::Frontend>| {
            frontend.pools.iter().flat_map(|pool| &pool.members).any(|member| member.backend == *name)
        };
        let frontends = nodes.iter().map(|node| node.view.frontends.values().filter(uses).count()).max();
        Some(Self {
            name: name.to_string(),
            address: newest.address.to_string(),
            state: fold(states()),
            up_on_nodes: Share::count(states(), |state| state == BackendState::Up),
            admin_state: admin_word(newest.admin_state),
            health_check: check_name(&newest.check),
            code: lasts().filter_map(|last| last.code).map(ProbeCode::as_str).next(),
            since: lasts().map(|last| last.at).min().map(Time),
            frontends: frontends.unwrap_or(0),
            otherwise: otherwise.collect(),
        })
    }
}

impl Answer for Backends {
    fn page(&self, wide: bool, now: Timestamp) -> Page {
        let mut head = vec!["NAME", "ADDRESS", "STATE", "UP-ON", "ADMIN", "CHECK", "CODE", "SINCE"];
        if wide {
            head.extend(["FRONTENDS", "OTHERWISE"]);
        }
        let mut table = Table::new(head);
        for of in &self.backends {
            let text = |text: Option<String>| text.map_or_else(Cell::none, Cell::from);
            let admin = if of.admin_state == "Enabled" { Tone::Plain } else { Tone::Warn };
            let mut row = vec![
                of.name.clone().into(),
                of.address.clone().into(),
                Cell::toned(of.state, tone(of.state)),
                of.up_on_nodes.cell(),
                Cell::toned(of.admin_state, admin),
                text(of.health_check.clone()),
                text(of.code.map(str::to_owned)),
                text(of.since.map(|at| age(at.0, now))),
            ];
            if wide {
                row.extend([of.frontends.to_string().into(), of.otherwise.join(", ").into()]);
            }
            table.row(row);
        }
        let mut page = Page::default();
        page.table(&table, "no Backends");
        self.reach.footnote(&mut page);
        page
    }
}
