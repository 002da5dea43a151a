//! The effect on one VIP, which several nodes share.

use std::{net::IpAddr, sync::Arc};

use serde::Serialize;

use super::{nodes_cell, percent_text, text::rounded};
use crate::{output::Cell, style::Style, trace::vip_text};
use maglev_fleet::NodeState;
use maglev_model::{
    actual::VppVip,
    plan::{FlowChange, VipChange},
    preview::{Obstacle, VipPreview},
    table_change::TableChange,
    vip::VipKey,
};

/// Servers that a row lists; the others are counted.
const LISTED: usize = 3;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VipEffect {
    #[serde(skip_serializing_if = "Option::is_none")]
    frontend: Option<String>,
    vip: String,
    nodes: Vec<Arc<str>>,
    /// `Added`, `Updated`, `Recreated`, `Removed` or `None`.
    change: &'static str,
    /// The property for which the VIP is recreated.
    #[serde(skip_serializing_if = "Option::is_none")]
    recreated_for: Option<String>,
    /// Absent if the length of a table is not known, or nothing changes in VPP.
    #[serde(flatten)]
    table: Option<TableEffect>,
    /// The servers whose tracked flows are lost; those of all others are kept.
    flushed: Vec<FlushedServer>,
    /// Absent if VPP follows the Frontend.
    #[serde(flatten)]
    problem: Option<ProblemText>,
}

/// The change of the new-flow table. Shares are in percent of all buckets.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TableEffect {
    buckets: u32,
    moved_percent: f64,
    collateral_percent: f64,
    /// The share that has no backend afterwards: its packets are dropped.
    unserved_percent: f64,
    /// By share, largest first.
    moved_from: Vec<MovedFrom>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MovedFrom {
    #[serde(flatten)]
    server: Server,
    percent: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FlushedServer {
    #[serde(flatten)]
    server: Server,
    /// The upper bound of VPP's tracked flows, summed over the nodes; absent if it is not known on one of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    flows_at_most: Option<u64>,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Server {
    #[serde(skip_serializing_if = "Option::is_none")]
    backend: Option<String>,
    address: IpAddr,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProblemText {
    /// `Held` or `Withdrawn`.
    state: &'static str,
    reason: &'static str,
    message: String,
}

impl VipEffect {
    pub fn new(preview: &VipPreview, nodes: &[&NodeState]) -> Self {
        let change = preview.change.as_ref();
        Self {
            frontend: preview.frontend.as_ref().map(ToString::to_string),
            vip: vip_text(&preview.vip.into()),
            nodes: nodes.iter().map(|node| Arc::clone(&node.node)).collect(),
            change: change.map_or("None", |change| change_word(change.vip)),
            recreated_for: change.and_then(|change| match change.vip {
                VipChange::Recreated(mismatch) => Some(mismatch.to_string()),
                _ => None,
            }),
            table: change.and_then(|change| change.table.as_ref()).map(|table| TableEffect::new(preview, table)),
            flushed: change.map(|change| flushed(preview, change, nodes)).unwrap_or_default(),
            problem: preview.obstacle.as_ref().map(ProblemText::from),
        }
    }

    /// The cells of the row; `known` is the number of nodes whose effect is known.
    pub fn row(&self, known: usize) -> [Cell; 6] {
        let frontend = self.frontend.clone().map_or_else(Cell::none, Cell::from);
        [
            frontend,
            self.vip.clone().into(),
            nodes_cell(&self.nodes, known),
            self.change_cell(),
            self.new_flows(),
            self.tracked_flows(),
        ]
    }

    /// The reason for which VPP does not follow the Frontend.
    pub fn problem(&self) -> Option<String> {
        let ProblemText { state, message, .. } = self.problem.as_ref()?;
        Some(format!("{}: {}: {message}", self.frontend.as_deref().unwrap_or(&self.vip), state.to_lowercase()))
    }

    fn change_cell(&self) -> Cell {
        match (&self.problem, self.change) {
            (Some(problem), "None") => Cell::styled(problem.state.to_lowercase(), Style::Warn),
            (Some(problem), change) => {
                Cell::styled(format!("{}, {}", change.to_lowercase(), problem.state.to_lowercase()), Style::Warn)
            }
            (None, change @ ("Removed" | "Recreated")) => {
                let reason = self.recreated_for.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
                Cell::styled(change.to_lowercase() + &reason, Style::Bad)
            }
            (None, change) => change.to_lowercase().into(),
        }
    }

    fn new_flows(&self) -> Cell {
        match (&self.table, self.change) {
            (_, "None" | "Added") => Cell::none(),
            (None, _) => Cell::styled("not known: the length of VPP's table could not be read", Style::Warn),
            (Some(table), _) => {
                let style = if table.unserved_percent > 0.0 { Style::Bad } else { Style::Plain };
                Cell::styled(table.text(), style)
            }
        }
    }

    fn tracked_flows(&self) -> Cell {
        let all = matches!(self.change, "Removed" | "Recreated");
        match (self.change, &self.flushed[..]) {
            ("None" | "Added", _) => Cell::none(),
            (_, []) if !all => "kept".into(),
            (_, flushed) => {
                let total = flushed.iter().try_fold(0, |total: u64, server| Some(total + server.flows_at_most?));
                let at_most = total.map_or_else(|| "number not known".to_owned(), |total| format!("at most {total}"));
                let servers =
                    if all { "all".to_owned() } else { listed(flushed.iter().map(|flushed| flushed.server.name())) };
                let rest = if all { "" } else { "; others kept" };
                Cell::styled(format!("{servers} lost ({at_most}){rest}"), Style::Warn)
            }
        }
    }
}

fn change_word(change: VipChange) -> &'static str {
    match change {
        VipChange::Added => "Added",
        VipChange::Updated => "Updated",
        VipChange::Recreated(_) => "Recreated",
        VipChange::Removed => "Removed",
    }
}

fn flushed(preview: &VipPreview, change: &FlowChange, nodes: &[&NodeState]) -> Vec<FlushedServer> {
    let flushed = change.flushed.iter().map(|address| {
        let flows = |node: &&NodeState| flows_at_most(node, preview.vip, *address);
        let flows_at_most = nodes.iter().try_fold(0, |total, node| Some(total + flows(node)?));
        FlushedServer { server: Server::new(preview, *address), flows_at_most }
    });
    flushed.collect()
}

/// The upper bound of the tracked flows of a server on a node; `None` if it is not known.
pub fn flows_at_most(node: &NodeState, vip: VipKey, address: IpAddr) -> Option<u64> {
    let counters = node.counters.as_ref()?.stats.counters.as_ref()?;
    counters.vips.get(&VppVip::from(vip))?.flows.get(&address).map(|flows| u64::from(*flows))
}

/// The first names, and the number of the others.
fn listed(names: impl ExactSizeIterator<Item = String>) -> String {
    let others = names.len().saturating_sub(LISTED);
    let mut parts: Vec<String> = names.take(LISTED).collect();
    if others > 0 {
        parts.push(format!("{others} more"));
    }
    parts.join(", ")
}

impl Server {
    fn new(preview: &VipPreview, address: IpAddr) -> Self {
        Self { backend: preview.backends.get(&address).map(ToString::to_string), address }
    }

    /// The name of the Backend without its namespace, which is that of the Frontend.
    fn name(&self) -> String {
        let name = self.backend.as_deref().map(|name| name.split_once('/').map_or(name, |(_, name)| name));
        name.map_or_else(|| self.address.to_string(), str::to_owned)
    }
}

impl TableEffect {
    fn new(preview: &VipPreview, table: &TableChange) -> Self {
        let percent = |buckets| rounded(table.percent(buckets));
        let mut from: Vec<_> = table.from.iter().collect();
        from.sort_by_key(|(address, buckets)| (std::cmp::Reverse(**buckets), **address));
        let moved = |(address, buckets): (&IpAddr, &u32)| MovedFrom {
            server: Server::new(preview, *address),
            percent: percent(*buckets),
        };
        Self {
            buckets: table.buckets,
            moved_percent: percent(table.moved()),
            collateral_percent: percent(table.collateral),
            unserved_percent: percent(table.unserved),
            moved_from: from.into_iter().map(moved).collect(),
        }
    }

    /// Such as `moved 12.4 % (from web-3 12.1 %, web-1 0.3 %; collateral 0.3 %)`.
    fn text(&self) -> String {
        if self.moved_from.is_empty() {
            return "moved 0 %".to_owned();
        }
        let from = self.moved_from.iter().map(|from| format!("{} {}", from.server.name(), percent_text(from.percent)));
        let mut text = format!("moved {} (from {}", percent_text(self.moved_percent), listed(from));
        for (share, what) in
            [(self.collateral_percent, "collateral"), (self.unserved_percent, "left without a backend")]
        {
            if share > 0.0 {
                text.push_str(&format!("; {what} {}", percent_text(share)));
            }
        }
        text + ")"
    }
}

impl From<&Obstacle> for ProblemText {
    fn from(obstacle: &Obstacle) -> Self {
        let (state, problem) = match obstacle {
            Obstacle::Held(problem) => ("Held", problem),
            Obstacle::Withdrawn(problem) => ("Withdrawn", problem),
        };
        Self { state, reason: problem.reason.as_str(), message: problem.message.clone() }
    }
}
