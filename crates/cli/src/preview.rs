//! The effect of a change on the VIPs of all nodes, for `diff` and `whatif`.

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;

use super::{
    coverage::NodeCoverage,
    output::{Cell, Page, Table},
    style::Style,
};
use maglev_fleet::flow_effects::{NodeEffect, Severity, VipEffect, vip_effects};
use maglev_model::preview::{MassRemoval, StickyBuckets};

/// Limits of the answer.
const LIMITS: &str = "Moved is the share of new flows that reach another backend. Kept flows stay while they are tracked: a flow that \
     expires, is not tracked or arrives at another node moves like a new one.";

/// The effect on all nodes.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Effects {
    #[serde(flatten)]
    pub coverage: NodeCoverage,
    /// Nodes that report, but whose effect is not known, each with the reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    unknown: BTreeMap<Arc<str>, String>,
    vips: Vec<VipEffect>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    held_removals: Vec<HeldRemovals>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sticky_tables: Vec<StickyTables>,
    /// Number of nodes whose effect is known.
    #[serde(skip)]
    known: usize,
}

/// Removals that the agents would hold back.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HeldRemovals {
    nodes: Vec<Arc<str>>,
    vips: usize,
    servers: usize,
    hold_seconds: u64,
}

/// The change of the size of sticky tables, which drops all tracked flows.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StickyTables {
    nodes: Vec<Arc<str>>,
    from: u32,
    to: u32,
}

impl Effects {
    pub fn new(coverage: NodeCoverage, previews: &[NodeEffect]) -> Self {
        let mut effects = Self {
            coverage,
            unknown: BTreeMap::new(),
            vips: Vec::new(),
            held_removals: Vec::new(),
            sticky_tables: Vec::new(),
            known: 0,
        };
        let mut held: BTreeMap<MassRemoval, Vec<Arc<str>>> = BTreeMap::new();
        let mut sticky: BTreeMap<StickyBuckets, Vec<Arc<str>>> = BTreeMap::new();
        for (node, preview) in previews {
            let preview = match preview {
                Ok(preview) => preview,
                Err(reason) => {
                    effects.unknown.insert(Arc::clone(&node.node), reason.clone());
                    continue;
                }
            };
            effects.known += 1;
            if let Some(removal) = preview.mass_removal {
                held.entry(removal).or_default().push(Arc::clone(&node.node));
            }
            if let Some(change) = preview.sticky_buckets {
                sticky.entry(change).or_default().push(Arc::clone(&node.node));
            }
        }
        effects.vips = vip_effects(previews);
        effects.held_removals = held.into_iter().map(HeldRemovals::from).collect();
        effects.sticky_tables =
            sticky.into_iter().map(|(StickyBuckets { from, to }, nodes)| StickyTables { nodes, from, to }).collect();
        effects
    }

    /// True if the effect on every node is known.
    pub fn is_complete(&self) -> bool {
        self.coverage.all_report() && self.unknown.is_empty()
    }

    /// True if no VIP changes on any node whose effect is known.
    pub fn is_empty(&self) -> bool {
        self.vips.is_empty() && self.sticky_tables.is_empty()
    }

    /// Prints the effects; `none` if there is no effect.
    pub fn print(&self, page: &mut Page, none: &str) {
        if self.is_empty() {
            page.line(none);
        }
        if !self.vips.is_empty() {
            let mut table = Table::new(["FRONTEND", "VIP", "NODES", "CHANGE", "NEW FLOWS", "TRACKED FLOWS"]);
            self.vips.iter().for_each(|vip| table.row(row(vip, self.known)));
            page.table(&table, "");
        }
        self.problems(page);
        if !self.is_empty() {
            page.gap();
            page.styled(Style::Faint, LIMITS);
        }
        for (node, reason) in &self.unknown {
            page.line_with(format_args!("{node}: "), Style::Warn, &format!("not known: {reason}"));
        }
        self.coverage.footnote(page);
    }

    fn problems(&self, page: &mut Page) {
        let problems: Vec<String> = self.vips.iter().flat_map(VipEffect::problems).collect();
        if problems.len() + self.held_removals.len() + self.sticky_tables.len() > 0 {
            page.gap();
        }
        problems.iter().for_each(|problem| page.styled(Style::Warn, problem));
        for HeldRemovals { nodes, vips, servers, hold_seconds } in &self.held_removals {
            let counts = [(*vips, "VIPs"), (*servers, "servers")];
            let counts: Vec<String> =
                counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
            let text = format!(
                "the removal of {} would be held for {hold_seconds} s, or until `maglevc accept HOLD-ID`",
                counts.join(" and ")
            );
            page.line_with(format_args!("{}: ", nodes.join(", ")), Style::Warn, &text);
        }
        for StickyTables { nodes, from, to } in &self.sticky_tables {
            let text = format!(
                "the sticky tables change from {from} to {to} buckets: all tracked flows of every VIP are lost"
            );
            page.line_with(format_args!("{}: ", nodes.join(", ")), Style::Bad, &text);
        }
    }
}

impl From<(MassRemoval, Vec<Arc<str>>)> for HeldRemovals {
    fn from((MassRemoval { vips, servers, hold }, nodes): (MassRemoval, Vec<Arc<str>>)) -> Self {
        Self { nodes, vips, servers, hold_seconds: hold.as_secs() }
    }
}

/// The cells of the row of an effect; `known` is the number of nodes whose effect is known.
fn row(effect: &VipEffect, known: usize) -> [Cell; 6] {
    let cell = |text: Option<(String, Severity)>| text.map_or_else(Cell::none, cell);
    [
        effect.frontend.clone().map_or_else(Cell::none, Cell::from),
        effect.vip.clone().into(),
        nodes_cell(&effect.nodes, known),
        cell(Some(effect.change())),
        cell(effect.new_flows()),
        cell(effect.tracked_flows()),
    ]
}

fn cell((text, severity): (String, Severity)) -> Cell {
    match severity {
        Severity::Normal => text.into(),
        Severity::Warning => Cell::styled(text, Style::Warn),
        Severity::Error => Cell::styled(text, Style::Bad),
    }
}

/// The cell for the nodes of a row: a ratio if it is all `known` ones, else their names.
fn nodes_cell(nodes: &[Arc<str>], known: usize) -> Cell {
    if nodes.len() == known { format!("{known}/{known}").into() } else { nodes.join(", ").into() }
}
