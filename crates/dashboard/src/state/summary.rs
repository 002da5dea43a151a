//! The summary, and its sums over all nodes and Frontends.

use serde_json::Value;

use super::{DashboardState, Snapshot};
use crate::{
    document::{ProblemCounts, Summary, Time, Totals},
    patch,
};
use maglev_fleet::survey::{Flag, StatusCounts};

impl Snapshot {
    pub fn summary(&self, now: Time) -> Summary {
        Summary {
            as_of: self.positions(),
            now,
            controller: self.controller_state(),
            kubernetes: self.kubernetes,
            looked_for: (*self.agent_selector).clone(),
            totals: self.totals,
            strip: self.problem_counts,
            differing_percent: self.differing_percent,
            healthy: self.healthy.clone(),
            nodes: self.headers.iter().map(|(node, header)| (node.clone(), header.clone())).collect(),
            rows: self.rows.iter().map(|(name, row)| (name.to_string(), row.clone())).collect(),
            problems: self
                .problems
                .iter()
                .map(|((kind, name), problems)| (format!("{} {name}", kind.as_str()), problems.clone()))
                .collect(),
            transitions: self.transitions.shown(),
        }
    }

    fn controller_state(&self) -> &'static str {
        if self.controller { "present" } else { "absent" }
    }
}

impl DashboardState {
    /// Publishes whole entries, because a page may have the list of another replica.
    pub fn set_transitions(&mut self) {
        if !std::mem::take(&mut self.dirty.transitions) {
            return;
        }
        let shown = self.snapshot.transitions.shown();
        let published = std::mem::take(&mut self.published_transitions);
        for id in published.keys().filter(|id| !shown.contains_key(*id)) {
            self.dirty.set(&["transitions", id], Value::Null);
        }
        for (id, transition) in shown.iter().filter(|(id, transition)| published.get(*id) != Some(transition)) {
            self.dirty.set(&["transitions", id], patch::to_json(&**transition));
        }
        self.published_transitions = shown;
    }

    /// Counts everything again, which takes microseconds for a thousand rows.
    pub fn set_totals(&mut self) {
        let old = self.sums();
        let counts = self.status_counts();
        self.snapshot.totals = Totals::from(&counts);
        self.snapshot.problem_counts = ProblemCounts::from(&counts);
        self.snapshot.healthy = counts.healthy_sentence();
        self.snapshot.differing_percent = self.differing_percent();
        self.snapshot.controller = self.observed > 0;
        if self.snapshot.kubernetes != "none" {
            self.snapshot.kubernetes = if self.snapshot.objects.listed { "watching" } else { "unavailable" };
        }
        if let Some(Value::Object(patch)) = patch::between(Some(&old), Some(&self.sums())) {
            self.dirty.patch.extend(patch);
        }
    }

    fn sums(&self) -> Value {
        let Snapshot { totals, problem_counts, healthy, kubernetes, differing_percent, .. } = &self.snapshot;
        let controller = self.snapshot.controller_state();
        let mut sums = serde_json::json!({
            "totals": totals, "strip": problem_counts, "controller": controller, "kubernetes": kubernetes,
        });
        // An absent value is absent, never null.
        if let Some(sentence) = healthy {
            sums["healthy"] = sentence.as_str().into();
        }
        if let Some(percent) = differing_percent {
            sums["differing_percent"] = (*percent).into();
        }
        sums
    }

    /// The largest share of buckets that nodes disagree about.
    fn differing_percent(&self) -> Option<f64> {
        let disagreements = self.snapshot.rows.values().filter_map(|row| row.disagreement.as_ref());
        disagreements.map(|disagreement| disagreement.percent).filter(|percent| *percent > 0.0).reduce(f64::max)
    }

    fn status_counts(&self) -> StatusCounts {
        let Snapshot { rows, headers, problems, nodes, .. } = &self.snapshot;
        let vips = rows.len();
        let rows = |flag| rows.values().filter(|row| row.flags.has(flag)).count();
        let headers = |flag| headers.values().filter(|header| header.flags.has(flag)).count();
        let reporting = || nodes.values().filter(|node| node.reporting());
        let totals = StatusCounts {
            vips,
            backends: self.backend_counts.len(),
            backends_up: self.backend_counts.up(),
            nodes: nodes.len(),
            reporting: reporting().count(),
            ..StatusCounts::default()
        };
        totals.with_problems(|flag| match flag {
            Flag::Down | Flag::Dropping | Flag::Standby | Flag::Disagree => rows(flag),
            Flag::Silent => headers(flag),
            Flag::Sync => rows(flag) + headers(flag),
            Flag::Rejected => problems.len() + reporting().map(|node| node.view().holds.len()).sum::<usize>(),
            Flag::BackendsDown => self.backend_counts.down(),
        })
    }
}
