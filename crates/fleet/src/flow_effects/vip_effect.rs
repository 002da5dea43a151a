//! The effect on one VIP, which several nodes share.

use std::{net::IpAddr, sync::Arc};

use serde::Serialize;

use super::{percent_text, rounded_percent};
use crate::NodeState;
use maglev_model::{
    actual::VppVip,
    plan::{FlowChange, VipChange},
    preview::{BudgetExcess, Obstacle, VipPreview},
    table_change::TableChange,
    vip::VipKey,
};

/// Servers that a row lists; the others are counted.
const LISTED: usize = 3;

/// Need of a text for attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// An expected effect.
    Normal,
    /// Flows are lost, or the change is not made at once.
    Warning,
    /// All flows of a VIP are lost, or new flows have no backend.
    Error,
}

/// The effect on one VIP, and the nodes on which it is the same.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VipEffect {
    /// The Frontend; `None` if no Frontend claims the VIP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frontend: Option<String>,
    /// Address, protocol and port.
    pub vip: String,
    /// The nodes.
    pub nodes: Vec<Arc<str>>,
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
    /// The disruption budget that the change exceeds by itself: the agents would hold it. Absent if it is within the budget.
    #[serde(skip_serializing_if = "Option::is_none")]
    exceeded_budget: Option<ExceededBudget>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExceededBudget {
    max_moved_percent: u8,
    moved_percent: f64,
    hold_seconds: u64,
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
            vip: preview.vip.to_string(),
            nodes: nodes.iter().map(|node| Arc::clone(&node.node)).collect(),
            change: change.map_or("None", |change| change_word(change.vip)),
            recreated_for: change.and_then(|change| match change.vip {
                VipChange::Recreated(mismatch) => Some(mismatch.to_string()),
                _ => None,
            }),
            table: change.and_then(|change| change.table.as_ref()).map(|table| TableEffect::new(preview, table)),
            flushed: change.map(|change| flushed(preview, change, nodes)).unwrap_or_default(),
            problem: preview.obstacle.as_ref().map(ProblemText::from),
            exceeded_budget: preview.exceeded_budget.map(ExceededBudget::from),
        }
    }

    /// The reasons for which VPP does not follow the Frontend at once.
    pub fn problems(&self) -> Vec<String> {
        let name = self.frontend.as_deref().unwrap_or(&self.vip);
        let problem = self.problem.as_ref();
        let problem =
            problem.map(|ProblemText { state, message, .. }| format!("{name}: {}: {message}", state.to_lowercase()));
        let excess = self.exceeded_budget.as_ref().map(|excess| {
            let ExceededBudget { max_moved_percent, moved_percent, hold_seconds } = excess;
            format!(
                "{name}: would be held for {hold_seconds} s, or until `maglevc accept HOLD-ID`: the change moves {}, and \
                 the disruption budget is {max_moved_percent} %",
                percent_text(*moved_percent)
            )
        });
        problem.into_iter().chain(excess).collect()
    }

    /// The change in VPP, such as `updated` or `recreated (encap)`.
    pub fn change(&self) -> (String, Severity) {
        let change = self.change.to_lowercase();
        let held = self.exceeded_budget.as_ref().map(|_| "held".to_owned());
        let state = self.problem.as_ref().map(|problem| problem.state.to_lowercase()).or(held);
        match (state, self.change) {
            (Some(state), "None") => (state, Severity::Warning),
            (Some(state), _) => (format!("{change}, {state}"), Severity::Warning),
            (None, "Removed" | "Recreated") => {
                let reason = self.recreated_for.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
                (change + &reason, Severity::Error)
            }
            (None, _) => (change, Severity::Normal),
        }
    }

    /// The share of new flows that moves; `None` if there is no VIP before, or none changes.
    pub fn new_flows(&self) -> Option<(String, Severity)> {
        match (&self.table, self.change) {
            (_, "None" | "Added") => None,
            (None, _) => Some(("not known: the length of VPP's table could not be read".to_owned(), Severity::Warning)),
            (Some(table), _) => {
                let severity = if table.unserved_percent > 0.0 { Severity::Error } else { Severity::Normal };
                Some((table.text(), severity))
            }
        }
    }

    /// The effect on tracked flows; `None` if there is no VIP before, or none changes.
    pub fn tracked_flows(&self) -> Option<(String, Severity)> {
        let all = matches!(self.change, "Removed" | "Recreated");
        match (self.change, &self.flushed[..]) {
            ("None" | "Added", _) => None,
            (_, []) if !all => Some(("kept".into(), Severity::Normal)),
            (_, flushed) => {
                let total = flushed.iter().try_fold(0, |total: u64, server| Some(total + server.flows_at_most?));
                let servers =
                    || if all { "all".to_owned() } else { listed(flushed.iter().map(|flushed| flushed.server.name())) };
                if total == Some(0) && !flushed.is_empty() {
                    let text = if all { "none".to_owned() } else { format!("kept; {} has none", servers()) };
                    return Some((text, Severity::Normal));
                }
                let at_most = total.map_or_else(|| "number not known".to_owned(), |total| format!("at most {total}"));
                let servers = servers();
                let rest = if all { "" } else { "; others kept" };
                Some((format!("{servers} lost ({at_most}){rest}"), Severity::Warning))
            }
        }
    }

    /// The effect in one sentence. The nodes are named unless they are all `known` ones.
    pub fn sentence(&self, known: usize) -> String {
        let frontend = self.frontend.as_ref().map(|frontend| format!("{frontend}, ")).unwrap_or_default();
        let nodes = if self.nodes.len() == known { String::new() } else { format!(" on {}", self.nodes.join(", ")) };
        let mut parts = vec![self.change().0];
        parts.extend(self.new_flows().map(|(text, _)| format!("new flows {text}")));
        parts.extend(self.tracked_flows().map(|(text, _)| format!("tracked flows {text}")));
        let problems: String = self.problems().iter().map(|problem| format!(". {problem}")).collect();
        format!("{frontend}{}{nodes}: {}{problems}", self.vip, parts.join("; "))
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
fn flows_at_most(node: &NodeState, vip: VipKey, address: IpAddr) -> Option<u64> {
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
        let percent = |buckets| rounded_percent(table.percent(buckets));
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

impl From<BudgetExcess> for ExceededBudget {
    fn from(BudgetExcess { max_moved_percent, moved_permille, hold }: BudgetExcess) -> Self {
        Self { max_moved_percent, moved_percent: f64::from(moved_permille) / 10.0, hold_seconds: hold.as_secs() }
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
