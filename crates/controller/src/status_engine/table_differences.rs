//! The VIPs whose new-flow tables differ between nodes for longer than a change takes to reach all of them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::{Agent, LinkState};
use maglev_model::{
    Name,
    actual::VppVip,
    change::{Change, ConfigDelta},
    config::Config,
    table_fingerprint::TableSplit,
};

/// Tables differ only if they do for this long, as on the dashboard.
const DIFFER_AFTER: Duration = Duration::from_secs(10);

/// A VIP whose tables differ.
#[derive(Clone, Debug)]
struct Difference {
    since: Instant,
    is_lasting: bool,
    /// Nodes whose table is not that of the majority; all nodes without a majority.
    nodes: Vec<Arc<str>>,
}

/// Compares the tables of VIPs that Frontends have. Work is proportional to the VIPs that changed.
#[derive(Default)]
pub struct TableDifferences {
    /// The number of Frontends with each VIP.
    claims: HashMap<VppVip, usize>,
    /// VIPs whose table may have changed since the last update.
    changed: HashSet<VppVip>,
    /// True if any VIP may have changed.
    all_changed: bool,
    differences: BTreeMap<VppVip, Difference>,
    /// The number of VIPs with a lasting difference on each node.
    counts: BTreeMap<Arc<str>, usize>,
}

impl TableDifferences {
    /// The number of VIPs on `node` with a table that has differed for too long.
    pub fn count(&self, node: &str) -> usize {
        self.counts.get(node).copied().unwrap_or(0)
    }

    /// Follows a change of the configuration from `old`.
    pub fn apply_config(&mut self, old: Option<&Config>, delta: &ConfigDelta) {
        let old_vip = |name: &Name| Some(VppVip::from(old?.frontends.get(name)?.vip));
        for (name, frontend) in &delta.frontends {
            if let Some(vip) = old_vip(name) {
                self.changed.insert(vip);
                match self.claims.get_mut(&vip) {
                    Some(count) if *count > 1 => *count -= 1,
                    _ => drop(self.claims.remove(&vip)),
                }
            }
            if let Some(frontend) = frontend {
                let vip = VppVip::from(frontend.vip);
                self.changed.insert(vip);
                *self.claims.entry(vip).or_default() += 1;
            }
        }
    }

    /// Follows a change of an agent's state.
    pub fn apply_change(&mut self, change: &Change) {
        match change {
            Change::Vip(vip, _) | Change::Server(vip, ..) => drop(self.changed.insert(*vip)),
            Change::VppConnected(_) | Change::VppDisconnected | Change::VppState(..) => self.all_changed = true,
            _ => {}
        }
    }

    /// Compares all VIPs with the next update: an agent was connected, disconnected or removed, or sent its whole state.
    pub fn mark_all(&mut self) {
        self.all_changed = true;
    }

    /// Compares the changed VIPs. Returns the nodes whose count has changed.
    pub(super) fn update(&mut self, agents: &BTreeMap<Arc<str>, Agent>, now: Instant) -> Vec<Arc<str>> {
        let mut changed = std::mem::take(&mut self.changed);
        if std::mem::take(&mut self.all_changed) {
            changed.extend(self.claims.keys().copied());
        }
        let is_due = |difference: &Difference| !difference.is_lasting && now >= difference.since + DIFFER_AFTER;
        if changed.is_empty() && !self.differences.values().any(is_due) {
            return Vec::new();
        }
        for vip in changed {
            let nodes = if self.claims.contains_key(&vip) { differing_nodes(agents, &vip) } else { Vec::new() };
            if nodes.is_empty() {
                self.differences.remove(&vip);
                continue;
            }
            let new = Difference { since: now, is_lasting: false, nodes: Vec::new() };
            self.differences.entry(vip).or_insert(new).nodes = nodes;
        }
        let mut counts: BTreeMap<Arc<str>, usize> = BTreeMap::new();
        for difference in self.differences.values_mut() {
            difference.is_lasting = now >= difference.since + DIFFER_AFTER;
            for node in difference.nodes.iter().filter(|_| difference.is_lasting) {
                *counts.entry(Arc::clone(node)).or_default() += 1;
            }
        }
        let old = std::mem::replace(&mut self.counts, counts);
        let nodes: BTreeSet<&Arc<str>> = old.keys().chain(self.counts.keys()).collect();
        nodes.into_iter().filter(|node| old.get(*node) != self.counts.get(*node)).cloned().collect()
    }
}

/// The nodes with another table than most; empty if the tables are equal. Nodes without a connection to their agent or
/// VPP are unknown, and ignored.
fn differing_nodes(agents: &BTreeMap<Arc<str>, Agent>, vip: &VppVip) -> Vec<Arc<str>> {
    let table = |agent: &Agent| {
        let digest = agent.digest.as_ref().filter(|_| agent.link == LinkState::Connected)?;
        digest.table(vip)
    };
    let tables: Vec<_> = agents.iter().filter_map(|(node, agent)| Some((Arc::clone(node), table(agent)?))).collect();
    TableSplit::between(&tables).map(|split| split.nodes).unwrap_or_default()
}
