//! The statuses of Backends, HealthChecks and LoadBalancerConfigs.

use jiff::Timestamp;

use super::{
    conditions::{Conditions, Truth, among, count, name_some, time},
    tally::Tally,
};
use maglev_crd::{BackendState, BackendStatus, HealthCheckStatus, LoadBalancerConfigStatus};
use maglev_model::{
    health,
    problem::{Problem, Reason},
};

/// What makes a spec one that cannot be followed.
const REFUSED: [Reason; 2] = [Reason::Unreadable, Reason::Invalid];
/// What this cluster cannot do about a HealthCheck.
const UNSUPPORTED: [Reason; 5] = [
    Reason::CertificateNotFound,
    Reason::CertificateForbidden,
    Reason::CertificateUnreadable,
    Reason::CertificateUnknown,
    Reason::MissingCapability,
];

/// The status of a HealthCheck with these problems.
pub fn health_check(
    problems: &[Problem],
    old: &HealthCheckStatus,
    (generation, now): (i64, Timestamp),
) -> HealthCheckStatus {
    let mut conditions = Conditions::new(&old.conditions, generation, now);
    conditions.judge("Accepted", &among(problems, &[&REFUSED[..], &UNSUPPORTED].concat()), "the spec makes sense");
    HealthCheckStatus {
        observed_generation: Some(generation),
        conditions: conditions.ready(&["Accepted"], &["Accepted", "Ready"]),
    }
}

/// The status of a Backend with these problems. `tally` is `None` where it cannot be read.
pub fn backend(
    problems: &[Problem],
    tally: Option<&Tally>,
    old: &BackendStatus,
    (generation, now): (i64, Timestamp),
) -> BackendStatus {
    let mut conditions = Conditions::new(&old.conditions, generation, now);
    conditions.judge("Accepted", &among(problems, &REFUSED), "the spec makes sense");
    let references = [Reason::HealthCheckNotFound, Reason::HealthCheckUnreadable];
    let references = among(problems, &[&references[..], &UNSUPPORTED].concat());
    if among(problems, &[Reason::Unreadable]).is_empty() {
        conditions.judge("ResolvedRefs", &references, "what it refers to was found");
    } else {
        conditions.set("ResolvedRefs", Truth::Unknown, "Unreadable", "it cannot be read what it refers to");
    }
    let conditions = conditions.ready(&["Accepted", "ResolvedRefs"], &["Accepted", "ResolvedRefs", "Ready"]);
    let new = BackendStatus { observed_generation: Some(generation), conditions, ..BackendStatus::default() };
    let Some(tally) = tally else {
        // What is stored may be of another time, but nothing better is known of a Backend that cannot be read.
        let BackendStatus { state, since, nodes_up, nodes_down, nodes_unknown, nodes_reporting, .. } = old.clone();
        return BackendStatus { state, since, nodes_up, nodes_down, nodes_unknown, nodes_reporting, ..new };
    };
    if tally.heard == 0 && tally.unheard > 0 && old.state.is_some() {
        let BackendStatus { state, since, nodes_up, nodes_down, nodes_unknown, nodes_reporting, .. } = old.clone();
        return BackendStatus { state, since, nodes_up, nodes_down, nodes_unknown, nodes_reporting, ..new };
    }
    let state = state(tally);
    BackendStatus {
        state: Some(state),
        since: old.since.clone().filter(|_| old.state == Some(state)).or_else(|| Some(time(now))),
        nodes_up: Some(count(tally.count(health::BackendState::Up))),
        nodes_down: Some(count(tally.count(health::BackendState::Down))),
        nodes_unknown: Some(count(tally.count(health::BackendState::Unknown))),
        nodes_reporting: Some(count(tally.heard)),
        ..new
    }
}

/// What the nodes say together. A node that does not know disagrees with nobody.
fn state(tally: &Tally) -> BackendState {
    let mut known = tally.known();
    match (known.next(), known.next()) {
        (None, _) => BackendState::Unknown,
        (Some(_), Some(_)) => BackendState::Mixed,
        (Some(health::BackendState::Up), None) => BackendState::Up,
        (Some(health::BackendState::Down), None) => BackendState::Down,
        (Some(health::BackendState::Paused), None) => BackendState::Paused,
        (Some(health::BackendState::Disabled), None) => BackendState::Disabled,
        (Some(health::BackendState::Unknown), None) => BackendState::Unknown,
    }
}

/// Which nodes use a LoadBalancerConfig, and which do not although it selects them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection<'a> {
    /// Nodes that use it.
    pub(crate) used_by: usize,
    /// Nodes that use an older one, with that one's name.
    pub(crate) lost: Vec<(&'a str, &'a str)>,
}

/// The status of the LoadBalancerConfig `name`.
pub fn load_balancer_config(
    (name, problems): (&str, &[Problem]),
    selection: &Selection<'_>,
    old: &LoadBalancerConfigStatus,
    (generation, now): (i64, Timestamp),
) -> LoadBalancerConfigStatus {
    let mut conditions = Conditions::new(&old.conditions, generation, now);
    conditions.judge("Accepted", &among(problems, &REFUSED), "the spec makes sense");
    if let Some((_, winner)) = selection.lost.first() {
        let nodes = name_some(selection.lost.iter().map(|(node, _)| *node));
        let message = format!(
            "LoadBalancerConfig {name}: spec.nodeSelector selects {nodes}, which uses the older LoadBalancerConfig \
             {winner}; a node uses exactly one"
        );
        conditions.set("Conflicted", Truth::True, Reason::Conflicted.as_str(), &message);
    }
    LoadBalancerConfigStatus {
        observed_generation: Some(generation),
        conditions: conditions.ready(&["Accepted"], &["Accepted", "Ready", "Conflicted"]),
        nodes: Some(count(selection.used_by)),
    }
}
