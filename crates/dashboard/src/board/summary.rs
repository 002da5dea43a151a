//! The summary as a whole, and its parts that are sums over everything.

use serde_json::Value;

use super::{Board, Glance};
use crate::{
    document::{Strip, Summary, Time, Totals},
    patch,
};
use maglev_fleet::survey::Flag;

impl Glance {
    pub fn summary(&self, now: Time) -> Summary {
        Summary {
            as_of: self.places(),
            now,
            controller: self.controller_word(),
            kubernetes: self.kubernetes,
            looked_for: (*self.looked_for).clone(),
            totals: self.totals,
            strip: self.strip,
            nodes: self.heads.iter().map(|(node, head)| (node.clone(), head.clone())).collect(),
            rows: self.rows.iter().map(|(name, row)| (name.to_string(), row.clone())).collect(),
            problems: self
                .problems
                .iter()
                .map(|((kind, name), of)| (format!("{} {name}", kind.as_str()), of.clone()))
                .collect(),
            transitions: self.transitions.shown(),
        }
    }

    fn controller_word(&self) -> &'static str {
        if self.controller { "present" } else { "absent" }
    }
}

impl Board {
    /// Entries are told whole, so that a page that has another replica's list is not left with half of one.
    pub fn set_transitions(&mut self) {
        if !std::mem::take(&mut self.dirty.transitions) {
            return;
        }
        let shown = self.glance.transitions.shown();
        let told = std::mem::take(&mut self.told);
        for id in told.keys().filter(|id| !shown.contains_key(*id)) {
            self.dirty.set(&["transitions", id], Value::Null);
        }
        for (id, of) in shown.iter().filter(|(id, of)| told.get(*id) != Some(of)) {
            self.dirty.set(&["transitions", id], patch::json(&**of));
        }
        self.told = shown;
    }

    /// Cheap enough to be counted anew: a thousand rows are some microseconds.
    pub fn set_totals(&mut self) {
        let old = self.sums();
        self.glance.totals = self.totals();
        self.glance.strip = self.strip();
        self.glance.controller = self.observed > 0;
        if self.glance.kubernetes != "none" {
            self.glance.kubernetes = if self.glance.objects.listed { "watching" } else { "unavailable" };
        }
        if let Some(Value::Object(patch)) = patch::between(Some(&old), Some(&self.sums())) {
            self.dirty.patch.extend(patch);
        }
    }

    fn sums(&self) -> Value {
        let Glance { totals, strip, kubernetes, .. } = &self.glance;
        let controller = self.glance.controller_word();
        serde_json::json!({"totals": totals, "strip": strip, "controller": controller, "kubernetes": kubernetes})
    }

    fn totals(&self) -> Totals {
        let nodes = &self.glance.nodes;
        Totals {
            vips: self.glance.rows.len(),
            backends: self.census.len(),
            nodes: nodes.len(),
            reporting: nodes.values().filter(|inputs| inputs.reporting()).count(),
        }
    }

    fn strip(&self) -> Strip {
        let Glance { rows, heads, problems, nodes, .. } = &self.glance;
        let rows = |flag| rows.values().filter(|row| row.flags.has(flag)).count();
        let heads = |flag| heads.values().filter(|head| head.flags.has(flag)).count();
        let holds: usize = nodes.values().filter(|of| of.reporting()).map(|of| of.view().holds.len()).sum();
        Strip {
            down: rows(Flag::Down),
            dropping: rows(Flag::Dropping),
            silent: heads(Flag::Silent),
            standby: rows(Flag::Standby),
            disagree: rows(Flag::Disagree),
            rejected: problems.len() + holds,
            sync: rows(Flag::Sync) + heads(Flag::Sync),
        }
    }
}
