//! `whatif node NODE lost`: the backends that flows of a lost node find on the other nodes.
//!
//! Routers move the flows to other nodes; which ones, only they decide. There, a flow is not tracked, so its backend is that
//! of the new-flow table.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use serde::Serialize;

use crate::{
    coverage::NodeCoverage,
    output::{Cell, Page, Printable, Table},
    style::Style,
    trace::vip_text,
};
use maglev_fleet::{
    NodeState,
    flow_effects::{percent_text, rounded_percent},
};
use maglev_model::{
    Name,
    actual::VppVip,
    change::VipState,
    table_change::{TableChange, TableSpec},
    view::VppView,
};

const LIMITS: [&str; 2] = [
    "The routers choose the nodes to which the flows move. A flow is not tracked there: it gets the backend of the table.",
    "A flow that the lost node has tracked since before a change of weights can have another backend than in the table.",
];

/// The VIPs of the lost node.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LostNode {
    node: Arc<str>,
    /// The nodes that remain.
    #[serde(flatten)]
    coverage: NodeCoverage,
    /// Nodes that report, but are not connected to VPP.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    without_vpp: Vec<Arc<str>>,
    vips: Vec<LostVip>,
    limits: [&'static str; 2],
    #[serde(skip)]
    compared: usize,
}

/// A VIP of the lost node, compared with that of other nodes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LostVip {
    #[serde(skip_serializing_if = "Option::is_none")]
    frontend: Option<String>,
    vip: String,
    /// Nodes on which the share is the same.
    nodes: Vec<Arc<str>>,
    /// The share of flows that find the same backend by the table, in percent; absent if a table is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    same_backend_percent: Option<f64>,
    /// True if the nodes do not have the VIP: its packets are not balanced there.
    missing: bool,
    /// The upper bound of the flows that the lost node tracks; absent if it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    flows_at_most: Option<u64>,
}

/// The comparison of a VIP with that of another node.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Comparison {
    Same(f64),
    Missing,
    Unknown,
}

impl LostNode {
    /// # Errors
    /// There is no such node, or its VIPs are not known.
    pub fn new(name: &str, mut nodes: Vec<NodeState>) -> anyhow::Result<Self> {
        let names: Vec<&str> = nodes.iter().map(|node| &*node.node).collect();
        let Some(at) = nodes.iter().position(|node| &*node.node == name) else {
            bail!("no agent found on node {name}: nodes with an agent are {}", names.join(", "));
        };
        let lost = nodes.remove(at);
        // A node that does not report any more has the VIPs that it reported last.
        let vpp = lost.view.vpp.as_ref().with_context(|| format!("node {name}: the state of its VPP is not known"))?;
        let (reporting, coverage) = NodeCoverage::split(nodes);
        let (with_vpp, without_vpp): (Vec<&NodeState>, Vec<&NodeState>) =
            reporting.iter().partition(|node| node.view.vpp.as_ref().is_some_and(|vpp| vpp.conf.is_some()));
        let others: Vec<(&Arc<str>, &VppView)> =
            with_vpp.iter().filter_map(|node| Some((&node.node, node.view.vpp.as_ref()?))).collect();
        let vips = vpp.vips.iter().flat_map(|(vip, state)| compare(&lost, *vip, state, &others)).collect();
        Ok(Self {
            node: Arc::clone(&lost.node),
            coverage,
            without_vpp: without_vpp.into_iter().map(|node| Arc::clone(&node.node)).collect(),
            vips,
            limits: LIMITS,
            compared: others.len(),
        })
    }

    /// True if the VIPs of every remaining node are known.
    pub fn is_complete(&self) -> bool {
        self.coverage.all_report() && self.without_vpp.is_empty()
    }
}

fn compare(lost: &NodeState, vip: VppVip, state: &VipState, others: &[(&Arc<str>, &VppView)]) -> Vec<LostVip> {
    let mut groups: Vec<(Comparison, Vec<Arc<str>>)> = Vec::new();
    for (node, vpp) in others {
        let comparison = vpp.vips.get(&vip).map_or(Comparison::Missing, |other| same_backend(state, other));
        match groups.iter_mut().find(|(other, _)| *other == comparison) {
            Some((_, nodes)) => nodes.push(Arc::clone(node)),
            None => groups.push((comparison, vec![Arc::clone(node)])),
        }
    }
    let frontend = lost.view.frontends.values().find(|frontend| VppVip::from(frontend.vip) == vip);
    let frontend: Option<&Name> = frontend.map(|frontend| &frontend.name);
    let group = |(comparison, nodes)| LostVip {
        frontend: frontend.map(ToString::to_string),
        vip: vip_text(&vip),
        nodes,
        same_backend_percent: match comparison {
            Comparison::Same(percent) => Some(percent),
            Comparison::Missing | Comparison::Unknown => None,
        },
        missing: comparison == Comparison::Missing,
        flows_at_most: tracked(lost, vip),
    };
    groups.into_iter().map(group).collect()
}

fn same_backend(state: &VipState, other: &VipState) -> Comparison {
    match (TableSpec::reported(state), TableSpec::reported(other)) {
        (Some(old), Some(new)) => {
            Comparison::Same(rounded_percent(100.0 - TableChange::between(Some(&old), Some(&new)).moved_percent()))
        }
        _ => Comparison::Unknown,
    }
}

fn tracked(node: &NodeState, vip: VppVip) -> Option<u64> {
    let counters = node.counters.as_ref()?.stats.counters.as_ref()?;
    let flows = &counters.vips.get(&vip)?.flows;
    Some(flows.values().map(|flows| u64::from(*flows)).sum())
}

impl LostVip {
    fn row(&self, compared: usize) -> [Cell; 5] {
        let frontend = self.frontend.clone().map_or_else(Cell::none, Cell::from);
        let same = match self.same_backend_percent {
            _ if self.missing => Cell::styled("no VIP there", Style::Bad),
            None => Cell::styled("not known", Style::Warn),
            Some(percent) if percent < 100.0 => Cell::styled(percent_text(percent), Style::Warn),
            Some(percent) => percent_text(percent).into(),
        };
        let flows = self.flows_at_most.map_or_else(Cell::none, |flows| format!("at most {flows}").into());
        let all = self.nodes.len() == compared;
        let nodes = if all { format!("{compared}/{compared}") } else { self.nodes.join(", ") };
        [frontend, self.vip.clone().into(), nodes.into(), same, flows]
    }
}

impl Printable for LostNode {
    fn page(&self, _: bool, _: Timestamp) -> Page {
        let mut page = Page::default();
        page.line_with("If ", Style::Strong, &format!("node {} is lost:", self.node));
        page.gap();
        if self.compared == 0 {
            page.styled(
                Style::Bad,
                "No other node has a VPP that is known: packets to its VIPs may not be balanced at all.",
            );
        } else {
            let mut table = Table::new(["FRONTEND", "VIP", "OTHER NODES", "SAME BACKEND", "TRACKED FLOWS LOST"]);
            self.vips.iter().for_each(|vip| table.row(vip.row(self.compared)));
            page.table(&table, "its VPP has no VIPs");
        }
        page.gap();
        self.limits.iter().for_each(|limit| page.styled(Style::Faint, limit));
        for node in &self.without_vpp {
            page.line_with(format_args!("{node}: "), Style::Warn, "not known: the agent is not connected to VPP");
        }
        self.coverage.footnote(&mut page);
        page
    }
}
