//! The status of a Frontend, from the problems that the index found and the reports of the nodes.

mod active_pool;
mod path_ready;
mod programmed;

use std::{collections::BTreeSet, sync::Arc};

use super::{
    conditions::{ConditionStatus, Conditions, StatusRevision, list_names, to_count, with_reason},
    digest::{Digest, ProgramId},
    node_counts::{NodeCounts, NodeView},
    status::PENDING,
};
use maglev_crd::FrontendStatus;
use maglev_model::{
    Name,
    config::{Frontend, Member, MemberTarget, Standing},
    derived::{DerivedName, Origin},
    event::FrontendState,
    problem::{Problem, Reason},
};

/// Conditions that must be True for Ready.
const POSITIVE: [&str; 3] = ["Accepted", "ResolvedRefs", "Programmed"];
const ORDER: [&str; 9] = [
    "Accepted",
    "ResolvedRefs",
    "Programmed",
    "Available",
    "Ready",
    "PathReady",
    "Conflicted",
    "Degraded",
    "PolicyViolation",
];
/// Reasons for which a spec is not accepted.
const INVALID_SPEC: [Reason; 8] = [
    Reason::Unreadable,
    Reason::Invalid,
    Reason::AddressNotAllowed,
    Reason::QuotaExceeded,
    Reason::AddressUsedByNode,
    Reason::MixedFamilies,
    Reason::EncapFamilyMismatch,
    Reason::EncapUnsupported,
];
const REFERENCES: [Reason; 6] = [
    Reason::BackendNotFound,
    Reason::BackendUnreadable,
    Reason::ServiceNotFound,
    Reason::ServicePortNotFound,
    Reason::EndpointSliceUnreadable,
    Reason::ServicesDisabled,
];
const CONFLICTS: [Reason; 2] = [Reason::AddressOwnedByOtherNamespace, Reason::Conflicted];
const DEGRADING: [Reason; 6] = [
    Reason::BackendNotFound,
    Reason::ServiceNotFound,
    Reason::EndpointSliceUnreadable,
    Reason::DuplicateAddress,
    Reason::WeightsTooLarge,
    Reason::NoBackends,
];

/// Reasons for which a Backend of a Frontend is not probed although its HealthCheck exists.
pub const HEALTH_CHECK_UNUSABLE: [Reason; 4] =
    [Reason::HealthCheckUnreadable, Reason::MissingCapability, Reason::ProbeNotAllowed, Reason::AddressUsedByNode];

/// The inputs of a Frontend's status.
pub struct FrontendInputs<'a> {
    pub(crate) name: &'a Name,
    /// Problems that the index found.
    pub(crate) problems: &'a [Problem],
    /// `None` if even the VIP that the Frontend claims is unreadable.
    pub(crate) resolved: Option<Resolved<'a>>,
    /// Number of Backends that the spec names.
    pub(crate) named_backends: usize,
    /// The nodes that are to serve the Frontend.
    pub(crate) nodes: &'a [NodeView<'a>],
}

/// A resolved Frontend and the identity of what the nodes are to program.
#[derive(Clone, Copy)]
pub struct Resolved<'a> {
    pub(crate) frontend: &'a Arc<Frontend>,
    pub(crate) program: &'a ProgramId,
}

/// The status of a Frontend. `checks` are the problems of its Backends that are not probed; `counts` returns the node
/// counts of one of its Backends.
pub fn frontend<'a>(
    inputs: &FrontendInputs<'a>,
    checks: &[Problem],
    counts: impl Fn(&Name) -> Option<&'a NodeCounts>,
    old: &FrontendStatus,
    revision: StatusRevision,
) -> FrontendStatus {
    let mut conditions = Conditions::new(&old.conditions, revision);
    let mut new = FrontendStatus { observed_generation: Some(revision.generation), ..FrontendStatus::default() };
    conditions.set_true_unless("Accepted", &with_reason(inputs.problems, &INVALID_SPEC), "the spec is valid");
    match with_reason(inputs.problems, &[Reason::Unreadable, Reason::EncapUnsupported]).first() {
        None => {
            let missing = with_reason(inputs.problems, &REFERENCES);
            conditions.set_true_unless("ResolvedRefs", &missing, "every Backend exists");
        }
        Some(problem) => {
            let message = "the spec is not accepted, so its Backends are not known";
            conditions.set("ResolvedRefs", ConditionStatus::Unknown, problem.reason.as_str(), message);
        }
    }
    programmed::set_programmed(inputs, &mut conditions, &mut new, old);
    set_available(inputs, &mut conditions);
    path_ready::set_path_ready(inputs, &mut conditions);
    conditions.set_true_if("Conflicted", &with_reason(inputs.problems, &CONFLICTS));
    conditions.set_true_if("PolicyViolation", &with_reason(inputs.problems, &[Reason::PolicyViolation]));
    set_backends(inputs, &counts, &mut new, old);
    let standby = active_pool::set_active_pool(inputs, &mut new, old);

    let mut degraded: Vec<Problem> = with_reason(inputs.problems, &DEGRADING).into_iter().cloned().collect();
    degraded.extend(weights_unsupported(inputs));
    degraded.extend_from_slice(checks);
    let degraded: Vec<&Problem> = degraded.iter().collect();
    if degraded.is_empty() {
        standby.set_degraded(&mut conditions);
    } else {
        conditions.set_true_if("Degraded", &degraded);
    }
    new.conditions = conditions.finish(&POSITIVE, &ORDER);
    new
}

fn set_available(inputs: &FrontendInputs<'_>, conditions: &mut Conditions<'_>) {
    if let Some(Resolved { frontend, .. }) = inputs.resolved
        && let Standing::Withdrawn(problem) = &frontend.standing
    {
        let message = "the VIP is withdrawn from every node";
        conditions.set("Available", ConditionStatus::False, problem.reason.as_str(), message);
        return;
    }
    let states: Vec<(&str, FrontendState)> =
        inputs.nodes.iter().filter_map(|node| Some((node.name, node.digest?.frontend_state(inputs.name)))).collect();
    if states.is_empty() && inputs.nodes.iter().any(NodeView::awaits_first_report) && conditions.keep("Available") {
        return;
    }
    let nodes_in =
        |wanted| states.iter().filter(|(_, state)| *state == wanted).map(|(node, _)| *node).collect::<Vec<_>>();
    let (down, unknown) = (nodes_in(FrontendState::Down), nodes_in(FrontendState::Unknown));
    if states.is_empty() {
        conditions.set("Available", ConditionStatus::Unknown, "NoReports", "no node reports the Frontend's state");
    } else if !down.is_empty() {
        let nodes = list_names(down.iter().copied());
        let message = format!(
            "no backend takes traffic on {} of {} nodes: {nodes}{}",
            down.len(),
            states.len(),
            drained_nodes(inputs)
        );
        conditions.set("Available", ConditionStatus::False, "NoBackendUp", &message);
    } else if !unknown.is_empty() {
        let message = format!("the Frontend's state is not known yet on {}", list_names(unknown.iter().copied()));
        conditions.set("Available", ConditionStatus::Unknown, PENDING, &message);
    } else {
        let message = format!("every node has a backend to send traffic to{}", drained_nodes(inputs));
        conditions.set("Available", ConditionStatus::True, "Available", &message);
    }
}

/// A clause about the Nodes of the pools that are drained; empty if there is none.
fn drained_nodes(inputs: &FrontendInputs<'_>) -> String {
    let Some(Resolved { frontend, .. }) = inputs.resolved else { return String::new() };
    let cause = |member: &Member| match (&member.target, Origin::parse(&member.backend)) {
        (MemberTarget::Backend(backend), Some(Origin::Node(_))) => backend.pause_cause.clone(),
        _ => None,
    };
    let causes: BTreeSet<Arc<str>> = frontend.pools.iter().flat_map(|pool| &pool.members).filter_map(cause).collect();
    let Some(first) = causes.first() else { return String::new() };
    let others = match causes.len() - 1 {
        0 => String::new(),
        more => format!(", nor to {more} more drained Nodes"),
    };
    format!("; {first}: no new flows to it{others}")
}

/// The problem that unequal weights and ramps have no effect on nodes whose VPP does not support weights.
fn weights_unsupported(inputs: &FrontendInputs<'_>) -> Option<Problem> {
    let frontend = &inputs.resolved?.frontend;
    if !frontend.needs_weights() {
        return None;
    }
    let is_weightless =
        |node: &&NodeView<'_>| node.digest.and_then(Digest::vpp).is_some_and(|vpp| vpp.weightless == Some(true));
    let nodes: Vec<&str> = inputs.nodes.iter().filter(is_weightless).map(|node| node.name).collect();
    if nodes.is_empty() {
        return None;
    }
    let (field, wish, effect) = match frontend.has_unequal_weights() {
        true => ("spec.pools", "has backends with different weights", "get equal shares of the traffic"),
        false => ("spec.rampUp", "is set", "get their whole share at once"),
    };
    let message = format!(
        "Frontend {}: {field} {wish}, but VPP on {} does not support weights: the backends {effect} there",
        inputs.name,
        list_names(nodes.into_iter())
    );
    Some(Problem::new(Reason::WeightsUnsupported, field, message))
}

/// Sets the numbers of Backends that are up and of all Backends.
fn set_backends<'a>(
    inputs: &FrontendInputs<'_>,
    counts: &impl Fn(&Name) -> Option<&'a NodeCounts>,
    new: &mut FrontendStatus,
    old: &FrontendStatus,
) {
    let Some(Resolved { frontend, .. }) = inputs.resolved else { return };
    let members = frontend.pools.iter().flat_map(|pool| &pool.members).map(|member| &member.backend);
    let names: BTreeSet<&Name> = members.collect();
    if names.iter().any(|name| DerivedName::parse(name).is_some_and(|name| name.is_unknown())) {
        // The endpoints of a Service are not known to the controller. The stored numbers are the last that were.
        (new.backends_up, new.backends_total) = (old.backends_up, old.backends_total);
        new.backends_summary.clone_from(&old.backends_summary);
        return;
    }
    let up = if only_inherited(inputs) && old.backends_up.is_some() {
        usize::try_from(old.backends_up.unwrap_or(0)).unwrap_or(0)
    } else {
        names.iter().filter(|name| counts(name).is_some_and(NodeCounts::is_up)).count()
    };
    let total = inputs.named_backends.max(names.len());
    new.backends_up = Some(to_count(up.min(total)));
    new.backends_total = Some(to_count(total));
    new.backends_summary = Some(format!("{}/{total}", up.min(total)));
}

/// True while the reports of all nodes are known only from the stored status.
fn only_inherited(inputs: &FrontendInputs<'_>) -> bool {
    inputs.nodes.iter().all(|node| node.digest.is_none()) && inputs.nodes.iter().any(NodeView::awaits_first_report)
}
