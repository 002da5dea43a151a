//! The statuses of Backends, HealthChecks, LoadBalancerConfigs and AddressPolicies.

use super::{
    conditions::{ConditionStatus, Conditions, StatusRevision, list_names, to_count, to_time, with_reason},
    drained::{DRAINED, set_drained},
    node_counts::NodeCounts,
};
use maglev_crd::{AddressPolicyStatus, BackendState, BackendStatus, HealthCheckStatus, LoadBalancerConfigStatus};
use maglev_index::PolicyCounts;
use maglev_model::{
    drain::DrainSummary,
    health,
    problem::{Problem, Reason},
};

/// Reasons for which a spec is not accepted.
const INVALID_SPEC: [Reason; 5] = [
    Reason::Unreadable,
    Reason::Invalid,
    Reason::AddressUsedByFrontend,
    Reason::AddressNotAllowed,
    Reason::QuotaExceeded,
];
/// Reasons for which this cluster or a node cannot run a HealthCheck.
const UNSUPPORTED: [Reason; 9] = [
    Reason::CertificateNotFound,
    Reason::CertificateForbidden,
    Reason::CertificateUnreadable,
    Reason::CertificateUnknown,
    Reason::SecretNotFound,
    Reason::SecretForbidden,
    Reason::SecretUnreadable,
    Reason::SecretUnknown,
    Reason::MissingCapability,
];

pub fn health_check(problems: &[Problem], old: &HealthCheckStatus, revision: StatusRevision) -> HealthCheckStatus {
    let mut conditions = Conditions::new(&old.conditions, revision);
    let refused = with_reason(problems, &[&INVALID_SPEC[..], &UNSUPPORTED, &[Reason::LiteralSecret]].concat());
    conditions.set_true_unless("Accepted", &refused, "the spec is valid");
    HealthCheckStatus {
        observed_generation: Some(revision.generation),
        conditions: conditions.finish(&["Accepted"], &["Accepted", "Ready"]),
    }
}

/// The status of a Backend. `counts` is `None` if its spec is unreadable, `drain` unless it is paused or disabled.
pub fn backend(
    problems: &[Problem],
    counts: Option<&NodeCounts>,
    drain: Option<&DrainSummary>,
    old: &BackendStatus,
    revision: StatusRevision,
) -> BackendStatus {
    let mut conditions = Conditions::new(&old.conditions, revision);
    conditions.set_true_unless("Accepted", &with_reason(problems, &INVALID_SPEC), "the spec is valid");
    let reference_reasons = [
        Reason::HealthCheckNotFound,
        Reason::HealthCheckUnreadable,
        Reason::ProbeNotAllowed,
        Reason::AddressUsedByNode,
    ];
    let references = with_reason(problems, &[&reference_reasons[..], &UNSUPPORTED].concat());
    if with_reason(problems, &[Reason::Unreadable]).is_empty() {
        conditions.set_true_unless("ResolvedRefs", &references, "every referenced object exists");
    } else {
        let message = "the spec is unreadable, so its references are not known";
        conditions.set("ResolvedRefs", ConditionStatus::Unknown, "Unreadable", message);
    }
    if let Some(drain) = drain {
        set_drained(drain, &mut conditions);
    }
    conditions.set_true_if("PolicyViolation", &with_reason(problems, &[Reason::PolicyViolation]));
    let order = ["Accepted", "ResolvedRefs", "Ready", DRAINED, "PolicyViolation"];
    let conditions = conditions.finish(&["Accepted", "ResolvedRefs"], &order);
    let new = BackendStatus { observed_generation: Some(revision.generation), conditions, ..BackendStatus::default() };
    let only_inherited = |counts: &&NodeCounts| counts.reporting == 0 && counts.inherited > 0 && old.state.is_some();
    let Some(counts) = counts.filter(|counts| !only_inherited(counts)) else {
        // The stored state may be outdated, but nothing newer is known.
        let BackendStatus { state, since, nodes_up, nodes_down, nodes_unknown, nodes_reporting, .. } = old.clone();
        return BackendStatus { state, since, nodes_up, nodes_down, nodes_unknown, nodes_reporting, ..new };
    };
    let state = common_state(counts);
    BackendStatus {
        state: Some(state),
        since: old.since.clone().filter(|_| old.state == Some(state)).or_else(|| Some(to_time(revision.now))),
        nodes_up: Some(to_count(counts.in_state(health::BackendState::Up))),
        nodes_down: Some(to_count(counts.in_state(health::BackendState::Down))),
        nodes_unknown: Some(to_count(counts.in_state(health::BackendState::Unknown))),
        nodes_reporting: Some(to_count(counts.reporting)),
        ..new
    }
}

/// The state over all nodes. A node that reports Unknown does not make it Mixed.
fn common_state(counts: &NodeCounts) -> BackendState {
    let mut states = counts.known_states();
    match (states.next(), states.next()) {
        (None, _) => BackendState::Unknown,
        (Some(_), Some(_)) => BackendState::Mixed,
        (Some(health::BackendState::Up), None) => BackendState::Up,
        (Some(health::BackendState::Down), None) => BackendState::Down,
        (Some(health::BackendState::Paused), None) => BackendState::Paused,
        (Some(health::BackendState::Disabled), None) => BackendState::Disabled,
        (Some(health::BackendState::Unknown), None) => BackendState::Unknown,
    }
}

/// The nodes that one LoadBalancerConfig selects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection<'a> {
    /// Number of nodes that use it.
    pub(crate) used_by: usize,
    /// Selected nodes that use an older LoadBalancerConfig.
    pub(crate) conflicts: Vec<SelectionConflict<'a>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectionConflict<'a> {
    pub(crate) node: &'a str,
    /// The LoadBalancerConfig that the node uses.
    pub(crate) used: &'a str,
}

pub fn load_balancer_config(
    name: &str,
    problems: &[Problem],
    selection: &Selection<'_>,
    old: &LoadBalancerConfigStatus,
    revision: StatusRevision,
) -> LoadBalancerConfigStatus {
    let mut conditions = Conditions::new(&old.conditions, revision);
    conditions.set_true_unless("Accepted", &with_reason(problems, &INVALID_SPEC), "the spec is valid");
    if let Some(SelectionConflict { used, .. }) = selection.conflicts.first() {
        let nodes = list_names(selection.conflicts.iter().map(|conflict| conflict.node));
        let message = format!(
            "LoadBalancerConfig {name}: spec.nodeSelector selects {nodes}, which uses the older LoadBalancerConfig \
             {used}; a node uses exactly one"
        );
        conditions.set("Conflicted", ConditionStatus::True, Reason::Conflicted.as_str(), &message);
    }
    LoadBalancerConfigStatus {
        observed_generation: Some(revision.generation),
        conditions: conditions.finish(&["Accepted"], &["Accepted", "Ready", "Conflicted"]),
        nodes: Some(to_count(selection.used_by)),
    }
}

pub fn address_policy(
    name: &str,
    problems: &[Problem],
    counts: PolicyCounts,
    old: &AddressPolicyStatus,
    revision: StatusRevision,
) -> AddressPolicyStatus {
    let mut conditions = Conditions::new(&old.conditions, revision);
    conditions.set_true_unless("Accepted", &with_reason(problems, &INVALID_SPEC), "the spec is valid");
    if counts.violations > 0 {
        let message = format!(
            "AddressPolicy {name}: {} Frontends and Backends of the selected namespaces are not allowed or exceed a limit; \
             their conditions name the reason (maglevc explain policy NAMESPACE)",
            counts.violations
        );
        conditions.set("Violated", ConditionStatus::True, "Violated", &message);
    }
    AddressPolicyStatus {
        observed_generation: Some(revision.generation),
        conditions: conditions.finish(&["Accepted"], &["Accepted", "Ready", "Violated"]),
        namespaces: Some(to_count(counts.namespaces)),
        frontends: Some(to_count(counts.frontends)),
        backends: Some(to_count(counts.backends)),
        violations: Some(to_count(counts.violations)),
        allocated: counts.addresses.map(|addresses| to_count(addresses.allocated)),
        available: counts.addresses.map(|addresses| i32::try_from(addresses.available).unwrap_or(i32::MAX)),
    }
}
