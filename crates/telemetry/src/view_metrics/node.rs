//! The series of the node as a whole: VPP, syncing, what is held and what is wrong.

use std::collections::BTreeMap;

use jiff::Timestamp;
use prometheus::proto::MetricFamily;

use super::family::{Family, Shape};
use maglev_model::{config::Kind, problem::Reason, view::View, vip::Family as IpFamily};

pub const SHAPES: &[Shape] =
    &[CONFIG_PROBLEMS, PATH_SUSPECT, CONNECTED_SECONDS, FOREIGN_VIPS, HOLDS, HELD_REMOVALS, LAST_PASS, FAILED_STEPS];

const CONFIG_PROBLEMS: Shape = Shape::gauge(
    "maglev_config_problems",
    &["kind", "reason"],
    "Problems of objects, by kind of the object and reason; none where there is no such problem.",
);
const PATH_SUSPECT: Shape = Shape::gauge(
    "maglev_probe_path_suspect",
    &["family"],
    "Whether it is the path of the probes that fails, so that weights of backends that are down are kept.",
);
const CONNECTED_SECONDS: Shape =
    Shape::gauge("maglev_vpp_connected_seconds", &[], "How long the session with VPP has lasted; none without one.");
const FOREIGN_VIPS: Shape =
    Shape::gauge("maglev_vpp_foreign_vips", &[], "VIPs of VPP that no Frontend claims and that maglevd did not add.");
const HOLDS: Shape =
    Shape::gauge("maglev_vpp_lbsync_holds", &[], "Holds of removals, because there were many at once.");
const HELD_REMOVALS: Shape =
    Shape::gauge("maglev_vpp_lbsync_held_removals", &[], "VIPs and application servers whose removal is held.");
const LAST_PASS: Shape = Shape::gauge(
    "maglev_vpp_lbsync_last_pass_timestamp_seconds",
    &[],
    "When the last pass over everything ended, in Unix time; none before the first.",
);
const FAILED_STEPS: Shape = Shape::gauge(
    "maglev_vpp_lbsync_last_pass_failed_steps",
    &[],
    "Steps that failed in the last pass over everything.",
);

/// All of them.
pub fn families(view: &View, now: Timestamp) -> Vec<MetricFamily> {
    let suspect = |family: IpFamily| u8::from(view.health.suspect(family)).into();
    let mut path = Family::of(&PATH_SUSPECT);
    for family in [IpFamily::V4, IpFamily::V6] {
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
    let single = single.into_iter().map(|(shape, value)| {
        let mut family = Family::of(shape);
        if let Some(value) = value {
            family.add([], value);
        }
        family
    });
    [path, problems(view)].into_iter().chain(single).map(MetricFamily::from).collect()
}

fn problems(view: &View) -> Family {
    let mut counts: BTreeMap<(Kind, Reason), u32> = BTreeMap::new();
    for ((kind, _), of) in &view.problems {
        for problem in of.problems.iter() {
            *counts.entry((*kind, problem.reason)).or_default() += 1;
        }
    }
    let mut family = Family::of(&CONFIG_PROBLEMS);
    for ((kind, reason), count) in counts {
        family.add([kind.as_str(), reason.as_str()], count.into());
    }
    family
}
