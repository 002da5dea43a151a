//! The series of the node as a whole: VPP, syncing, holds and problems.

use std::collections::BTreeMap;

use jiff::Timestamp;
use prometheus::proto::MetricFamily;

use super::family_builder::{FamilyBuilder, MetricSpec};
use maglev_model::{config::Kind, problem::Reason, view::View, vip::Family};

pub const SPECS: &[MetricSpec] =
    &[CONFIG_PROBLEMS, PATH_SUSPECT, CONNECTED_SECONDS, FOREIGN_VIPS, HOLDS, HELD_REMOVALS, LAST_PASS, FAILED_STEPS];

const CONFIG_PROBLEMS: MetricSpec = MetricSpec::gauge(
    "maglev_config_problems",
    &["kind", "reason"],
    "Current problems of objects, by kind and reason; absent if there are none.",
);
const PATH_SUSPECT: MetricSpec = MetricSpec::gauge(
    "maglev_probe_path_suspect",
    &["family"],
    "1 while every probe of a family fails at the same time: the probe path is suspected, and weights are kept.",
);
const CONNECTED_SECONDS: MetricSpec =
    MetricSpec::gauge("maglev_vpp_connected_seconds", &[], "Age of the session with VPP; absent without a session.");
const FOREIGN_VIPS: MetricSpec = MetricSpec::gauge(
    "maglev_vpp_foreign_vips",
    &[],
    "VIPs in VPP that belong to no Frontend and were not added by maglevd.",
);
const HOLDS: MetricSpec = MetricSpec::gauge(
    "maglev_vpp_lbsync_holds",
    &[],
    "Holds of mass removals, and of changes beyond the disruption budget of a Frontend.",
);
const HELD_REMOVALS: MetricSpec =
    MetricSpec::gauge("maglev_vpp_lbsync_held_removals", &[], "VIPs and application servers whose removal is held.");
const LAST_PASS: MetricSpec = MetricSpec::gauge(
    "maglev_vpp_lbsync_last_pass_timestamp_seconds",
    &[],
    "Unix time at the end of the last full sync; absent before the first.",
);
const FAILED_STEPS: MetricSpec =
    MetricSpec::gauge("maglev_vpp_lbsync_last_pass_failed_steps", &[], "Failed steps of the last full sync.");

pub fn families(view: &View, now: Timestamp) -> Vec<MetricFamily> {
    let suspect = |family: Family| u8::from(view.health.suspect(family)).into();
    let mut path = FamilyBuilder::new(&PATH_SUSPECT);
    for family in [Family::V4, Family::V6] {
        path.add([family.as_str()], suspect(family));
    }
    let vpp = view.vpp.as_ref();
    let held: u64 = view.holds.values().map(|hold| u64::from(hold.removals)).sum();
    let last_pass = view.sync.last_pass;
    let single = [
        (&CONNECTED_SECONDS, vpp.map(|vpp| now.duration_since(vpp.since).as_secs_f64().max(0.0))),
        (&FOREIGN_VIPS, vpp.map(|vpp| vpp.foreign.len() as f64)),
        (&HOLDS, Some(view.holds.len() as f64)),
        (&HELD_REMOVALS, Some(held as f64)),
        (&LAST_PASS, last_pass.map(|at| at.as_duration().as_secs_f64())),
        (&FAILED_STEPS, last_pass.map(|_| view.sync.failed_steps.into())),
    ];
    let single = single.into_iter().map(|(spec, value)| {
        let mut family = FamilyBuilder::new(spec);
        if let Some(value) = value {
            family.add([], value);
        }
        family
    });
    [path, problems(view)].into_iter().chain(single).map(MetricFamily::from).collect()
}

fn problems(view: &View) -> FamilyBuilder {
    let mut counts: BTreeMap<(Kind, Reason), u32> = BTreeMap::new();
    for ((kind, _), object) in &view.problems {
        for problem in object.problems.iter() {
            *counts.entry((*kind, problem.reason)).or_default() += 1;
        }
    }
    let mut family = FamilyBuilder::new(&CONFIG_PROBLEMS);
    for ((kind, reason), count) in counts {
        family.add([kind.as_str(), reason.as_str()], count.into());
    }
    if view.claims_unknown {
        family.add([Kind::Frontend.as_str(), "RemovalsSuspended"], 1.0);
    }
    family
}
