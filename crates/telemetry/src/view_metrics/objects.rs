//! The series of Backends and Frontends.

use prometheus::proto::MetricFamily;

use super::family_builder::{FamilyBuilder, MetricSpec};
use crate::bus::Transitions;
use maglev_model::{
    actual::VppVip,
    config::{AdminState, Frontend, Standing},
    event::{FrontendState, ProgramResult},
    health::BackendState,
    problem::Reason,
    table_fingerprint::TableFingerprint,
    view::View,
};

pub const SPECS: &[MetricSpec] = &[
    BACKEND_STATE,
    BACKEND_ENABLED,
    BACKEND_TRANSITIONS,
    FRONTEND_STATE,
    FRONTEND_PROGRAMMED,
    FRONTEND_NOT_ALLOWED,
    PATH_STATE,
    WEIGHT,
    EFFECTIVE_WEIGHT,
    TABLE_INFO,
];

const BACKEND_STATE: MetricSpec = MetricSpec::gauge(
    "maglev_backend_state",
    &["backend", "state"],
    "State of a Backend on this node: 1 for the current state, 0 for all other states.",
);
const BACKEND_ENABLED: MetricSpec = MetricSpec::gauge(
    "maglev_backend_enabled",
    &["backend"],
    "0 while the adminState of a Backend is Paused or Disabled, else 1.",
);
const BACKEND_TRANSITIONS: MetricSpec = MetricSpec::counter(
    "maglev_backend_transitions_total",
    &["backend", "from", "to"],
    "State changes of a Backend on this node.",
);
const FRONTEND_STATE: MetricSpec = MetricSpec::gauge(
    "maglev_frontend_state",
    &["frontend", "state"],
    "State of a Frontend on this node: 1 for the current state, 0 for all other states.",
);
const FRONTEND_PROGRAMMED: MetricSpec = MetricSpec::gauge(
    "maglev_frontend_programmed",
    &["frontend", "result"],
    "Last result of programming a Frontend into VPP: 1 for that result, 0 for all other results.",
);
const FRONTEND_NOT_ALLOWED: MetricSpec = MetricSpec::gauge(
    "maglev_frontend_not_allowed",
    &["frontend", "reason"],
    "1 while VPP has the VIP of a Frontend that AddressPolicies no longer allow; absent otherwise.",
);
const PATH_STATE: MetricSpec = MetricSpec::gauge(
    "maglev_path_probe_state",
    &["frontend", "backend", "state"],
    "State of the path of a Frontend's packets to a Backend, and of the direct response: 1 for the current state; absent for others.",
);
const WEIGHT: MetricSpec = MetricSpec::gauge(
    "maglev_frontend_pool_backend_weight",
    &["frontend", "pool", "backend"],
    "Weight of a Backend in a pool, from the Frontend's spec.",
);
const EFFECTIVE_WEIGHT: MetricSpec = MetricSpec::gauge(
    "maglev_frontend_pool_backend_effective_weight",
    &["frontend", "pool", "backend"],
    "Desired weight in VPP of a Backend in a pool: 0 outside the active pool and if it takes no new flows.",
);
const TABLE_INFO: MetricSpec = MetricSpec::gauge(
    "maglev_vip_table_info",
    &["frontend", "prefix", "protocol", "port", "weights", "fingerprint"],
    "The new-flow table of a Frontend's VIP as read back from VPP. Nodes with equal fingerprints send new flows to the same backends.",
);

pub fn backends(view: &View, transitions: &Transitions) -> Vec<MetricFamily> {
    let [mut state, mut enabled, mut transitioned] =
        [&BACKEND_STATE, &BACKEND_ENABLED, &BACKEND_TRANSITIONS].map(FamilyBuilder::new);
    let states = sorted_by_name(BackendState::ALL.map(|state| (state, state.as_str())));
    for (name, backend) in &view.backends {
        let name = name.as_str();
        state.add_states(
            name,
            states,
            Some(view.backend_health(backend).map_or(BackendState::Unknown, |health| health.state)),
        );
        enabled.add([name], f64::from(u8::from(backend.admin_state == AdminState::Enabled)));
        for (from, to, count) in transitions.for_backend(&backend.name) {
            transitioned.add([name, from.as_str(), to.as_str()], count as f64);
        }
    }
    [state, enabled, transitioned].map(MetricFamily::from).into()
}

pub fn frontends(view: &View) -> Vec<MetricFamily> {
    let [mut state, mut programmed] = [&FRONTEND_STATE, &FRONTEND_PROGRAMMED].map(FamilyBuilder::new);
    let [mut not_allowed, mut weight, mut effective, mut tables] =
        [&FRONTEND_NOT_ALLOWED, &WEIGHT, &EFFECTIVE_WEIGHT, &TABLE_INFO].map(FamilyBuilder::new);
    let states = sorted_by_name(FrontendState::ALL.map(|state| (state, state.as_str())));
    let results = sorted_by_name(ProgramResult::ALL.map(|result| (result, result.as_str())));
    for (name, frontend) in &view.frontends {
        state.add_states(name.as_str(), states, Some(view.frontend_state(name)));
        programmed.add_states(name.as_str(), results, view.reports.get(name).map(|report| report.result));
        let (weights, vip) = (view.effective_weights(frontend), VppVip::from(frontend.vip));
        if let Standing::Held(problem) = &frontend.standing
            && [Reason::AddressNotAllowed, Reason::QuotaExceeded].contains(&problem.reason)
            && view.vpp.as_ref().is_some_and(|vpp| vpp.vips.contains_key(&vip))
        {
            not_allowed.add([name.as_str(), problem.reason.as_str()], 1.0);
        }
        add_table(&mut tables, view, frontend);
        let entries = weights.entries(&frontend.pools, |address| view.weight_in_vpp(&vip, address));
        for entry in entries {
            let labels = [name.as_str(), &*entry.pool.name, entry.member.backend.as_str()];
            weight.add(labels, entry.member.weight.get().into());
            if let Some(number) = entry.effective {
                effective.add(labels, number.into());
            }
        }
    }
    [state, programmed, not_allowed, weight, effective, tables].map(MetricFamily::from).into()
}

/// Adds the table of the VIP of `frontend`, unless another Frontend has the VIP. Costs a microsecond per Frontend, so that
/// it is computed for each scrape.
fn add_table(family: &mut FamilyBuilder, view: &View, frontend: &Frontend) {
    let vip = VppVip::from(frontend.vip);
    let (Some(vpp), false) = (&view.vpp, matches!(frontend.standing, Standing::Withdrawn(_))) else { return };
    let Some(fingerprint) = vpp.vips.get(&vip).and_then(TableFingerprint::new) else { return };
    let weights = if vpp.weightless { "no" } else { "yes" };
    let (prefix, protocol) = (format!("{}/{}", vip.address, vip.length), vip.protocol_text().to_string());
    let (port, fingerprint) = (vip.port.to_string(), fingerprint.to_string());
    family.add([frontend.name.as_str(), &prefix, &protocol, &port, weights, &fingerprint], 1.0);
}

pub fn paths(view: &View) -> MetricFamily {
    let mut state = FamilyBuilder::new(&PATH_STATE);
    for (key, health) in &view.health.paths {
        state.add([key.frontend.as_str(), key.backend.as_str(), health.state.as_str()], 1.0);
    }
    state.into()
}

/// Sorts states by name, so that their series need no sorting.
fn sorted_by_name<T: Copy, const N: usize>(mut all: [(T, &'static str); N]) -> [(T, &'static str); N] {
    all.sort_by_key(|(_, name)| *name);
    all
}
