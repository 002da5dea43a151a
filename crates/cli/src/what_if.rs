//! `whatif backend`: the effect of a change of one Backend, which is not made.

mod lost_node;
#[cfg(test)]
pub mod tests;

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;

pub use self::lost_node::LostNode;
use super::{
    coverage::NodeCoverage,
    output::{Page, Printable},
    preview::Effects,
    style::Style,
};
use maglev_fleet::{NodeState, flow_effects::what_if};
use maglev_model::{Name, config::AdminState, preview::WhatIf, probe_mode::ProbeMode};

/// The effect of the change.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WhatIfReport {
    /// The change, as in "Backend shop/web-1 is down".
    assumption: String,
    #[serde(flatten)]
    effects: Effects,
    /// Reasons for which the effect is none or another one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

impl WhatIfReport {
    pub fn new(change: &WhatIf, nodes: Vec<NodeState>) -> Self {
        let (nodes, coverage) = NodeCoverage::split(nodes);
        let mut notes: BTreeSet<String> = nodes.iter().filter_map(|node| not_probed(change, node)).collect();
        let previews = nodes.into_iter().map(|node| {
            let (preview, assumed) = what_if(change, &node);
            notes.extend(assumed.iter().map(assumed_up));
            (node, preview)
        });
        let effects = Effects::new(coverage, &previews.collect::<Vec<_>>());
        Self { assumption: change.to_string(), effects, notes: notes.into_iter().collect() }
    }

    /// True if the effect on every node is known.
    pub fn is_complete(&self) -> bool {
        self.effects.is_complete()
    }
}

/// The note on a Backend that no probe has decided on yet.
pub fn assumed_up(backend: &Name) -> String {
    format!("Backend {backend} is taken for up: it gets its weight once its first probes have succeeded")
}

/// The note on a Backend whose state is not that of its probes.
fn not_probed(change: &WhatIf, node: &NodeState) -> Option<String> {
    let (WhatIf::Up(name) | WhatIf::Down(name)) = change else { return None };
    let backend = node.view.backends.get(name)?;
    let reason = match (backend.probe_mode(), backend.admin_state) {
        (ProbeMode::Probed(_), _) => return None,
        (ProbeMode::Suspended(_), AdminState::Paused) => "its adminState is Paused",
        (ProbeMode::Suspended(_), _) => "its adminState is Disabled",
        (ProbeMode::AlwaysUp, _) => "it has no HealthCheck, and is always up",
        (ProbeMode::CheckMissing, _) => "its HealthCheck is missing or invalid",
        (ProbeMode::CheckNotSupported, _) => "the node cannot send its probes",
    };
    Some(format!("Backend {name} is not probed: {reason}"))
}

impl Printable for WhatIfReport {
    fn page(&self, _: bool, _: Timestamp) -> Page {
        let mut page = Page::default();
        page.line_with("If ", Style::Strong, &format!("{}:", self.assumption));
        page.gap();
        self.effects.print(&mut page, "No VIP changes.");
        self.notes.iter().for_each(|note| page.styled(Style::Warn, note));
        page
    }
}
