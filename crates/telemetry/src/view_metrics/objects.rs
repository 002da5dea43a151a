//! The series of Backends and Frontends.

use prometheus::proto::MetricFamily;

use super::family::{Family, Shape};
use crate::bus::Transitions;
use maglev_model::{
    actual::VppVip,
    config::AdminState,
    event::{FrontendState, ProgramResult},
    health::BackendState,
    view::View,
};

pub const SHAPES: &[Shape] = &[
    BACKEND_STATE,
    BACKEND_ENABLED,
    BACKEND_TRANSITIONS,
    FRONTEND_STATE,
    FRONTEND_PROGRAMMED,
    WEIGHT,
    EFFECTIVE_WEIGHT,
];

const BACKEND_STATE: Shape = Shape::gauge(
    "maglev_backend_state",
    &["backend", "state"],
    "The state of a Backend on this node: 1 for the one it is in, 0 for the others.",
);
const BACKEND_ENABLED: Shape = Shape::gauge(
    "maglev_backend_enabled",
    &["backend"],
    "Whether a Backend may take traffic: 0 while its adminState is Paused or Disabled.",
);
const BACKEND_TRANSITIONS: Shape = Shape::counter(
    "maglev_backend_transitions_total",
    &["backend", "from", "to"],
    "Changes of a Backend's state on this node.",
);
const FRONTEND_STATE: Shape = Shape::gauge(
    "maglev_frontend_state",
    &["frontend", "state"],
    "The state of a Frontend on this node: 1 for the one it is in, 0 for the others.",
);
const FRONTEND_PROGRAMMED: Shape = Shape::gauge(
    "maglev_frontend_programmed",
    &["frontend", "result"],
    "How far this node is with a Frontend: 1 for the result it last had, 0 for the others.",
);
const WEIGHT: Shape = Shape::gauge(
    "maglev_frontend_pool_backend_weight",
    &["frontend", "pool", "backend"],
    "The weight that a Frontend gives to a Backend of a pool.",
);
const EFFECTIVE_WEIGHT: Shape = Shape::gauge(
    "maglev_frontend_pool_backend_effective_weight",
    &["frontend", "pool", "backend"],
    "The weight that a Backend of a pool has in VPP once that follows: 0 where it takes no new flows.",
);

/// What is known of each Backend.
pub fn backends(view: &View, transitions: &Transitions) -> Vec<MetricFamily> {
    let [mut state, mut enabled, mut moved] = [&BACKEND_STATE, &BACKEND_ENABLED, &BACKEND_TRANSITIONS].map(Family::of);
    let states = by_word(BackendState::ALL.map(|state| (state, state.as_str())));
    for (name, backend) in &view.backends {
        let name = name.as_str();
        state.add_states(
            name,
            states,
            Some(view.health_of(backend).map_or(BackendState::Unknown, |health| health.state)),
        );
        enabled.add([name], f64::from(u8::from(backend.admin_state == AdminState::Enabled)));
        for (from, to, count) in transitions.of(&backend.name) {
            moved.add([name, from.as_str(), to.as_str()], count as f64);
        }
    }
    [state, enabled, moved].map(MetricFamily::from).into()
}

/// What is known of each Frontend.
pub fn frontends(view: &View) -> Vec<MetricFamily> {
    let [mut state, mut programmed] = [&FRONTEND_STATE, &FRONTEND_PROGRAMMED].map(Family::of);
    let [mut weight, mut effective] = [&WEIGHT, &EFFECTIVE_WEIGHT].map(Family::of);
    let states = by_word(FrontendState::ALL.map(|state| (state, state.as_str())));
    let results = by_word(ProgramResult::ALL.map(|result| (result, result.as_str())));
    for (name, frontend) in &view.frontends {
        state.add_states(name.as_str(), states, Some(view.frontend_state(name)));
        programmed.add_states(name.as_str(), results, view.reports.get(name).map(|report| report.result));
        let (weights, vip) = (view.effective(frontend), VppVip::from(frontend.vip));
        let entries = weights.entries(&frontend.pools, |address| view.weight_in_vpp(&vip, address));
        for entry in entries {
            let labels = [name.as_str(), &*entry.pool.name, entry.member.backend.as_str()];
            weight.add(labels, entry.member.weight.get().into());
            if let Some(number) = entry.effective {
                effective.add(labels, number.into());
            }
        }
    }
    [state, programmed, weight, effective].map(MetricFamily::from).into()
}

/// In the order of the series that they make, so that nobody has to sort those.
fn by_word<T: Copy, const N: usize>(mut all: [(T, &'static str); N]) -> [(T, &'static str); N] {
    all.sort_by_key(|(_, word)| *word);
    all
}
