//! The status of a Frontend: what the index found wrong with it, and what the nodes say.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;

use super::{
    conditions::{Conditions, Truth, among, count, name_some, word},
    digest::{Digest, Program},
    status::PENDING,
    tally::{NodeView, Tally},
};
use maglev_crd::FrontendStatus;
use maglev_model::{
    Name,
    config::{AdminState, Check, Frontend, Standing, Target},
    event::{FrontendState, ProgramResult},
    health::BackendState,
    problem::{Problem, Reason},
    vip::{Family, Weight},
};

const POSITIVE: [&str; 3] = ["Accepted", "ResolvedRefs", "Programmed"];
const ORDER: [&str; 7] = ["Accepted", "ResolvedRefs", "Programmed", "Available", "Ready", "Conflicted", "Degraded"];
/// What makes a spec one that cannot be followed.
const REFUSED: [Reason; 4] = [Reason::Unreadable, Reason::Invalid, Reason::MixedFamilies, Reason::EncapFamilyMismatch];
const REFERENCES: [Reason; 2] = [Reason::BackendNotFound, Reason::BackendUnreadable];
const CONFLICTS: [Reason; 2] = [Reason::AddressOwnedByOtherNamespace, Reason::Conflicted];
const DEGRADING: [Reason; 4] =
    [Reason::BackendNotFound, Reason::DuplicateAddress, Reason::WeightsTooLarge, Reason::NoBackends];

/// What a Frontend's status is folded from.
pub struct Inputs<'a> {
    pub(crate) name: &'a Name,
    /// What the index found wrong with it.
    pub(crate) problems: &'a [Problem],
    /// It, resolved, and as what that is to be programmed; `None` where not even its claim can be read.
    pub(crate) resolved: Option<(&'a Arc<Frontend>, &'a Program)>,
    /// Backends that it names.
    pub(crate) named: usize,
    /// The nodes that are to have it.
    pub(crate) nodes: &'a [NodeView<'a>],
}

/// The status of a Frontend; `tally` is what the nodes say of one of its Backends.
pub fn frontend<'a>(
    of: &Inputs<'a>,
    tally: impl Fn(&Name) -> Option<&'a Tally>,
    old: &FrontendStatus,
    (generation, now): (i64, Timestamp),
) -> FrontendStatus {
    let mut conditions = Conditions::new(&old.conditions, generation, now);
    let mut new = FrontendStatus { observed_generation: Some(generation), ..FrontendStatus::default() };
    conditions.judge("Accepted", &among(of.problems, &REFUSED), "the spec makes sense");
    if among(of.problems, &[Reason::Unreadable]).is_empty() {
        conditions.judge("ResolvedRefs", &among(of.problems, &REFERENCES), "every backend was found");
    } else {
        conditions.set("ResolvedRefs", Truth::Unknown, "Unreadable", "it cannot be read which backends it has");
    }
    programmed(of, &mut conditions, &mut new, old);
    available(of, &mut conditions);
    conditions.admit("Conflicted", &among(of.problems, &CONFLICTS));

    let standby = pools(of, &tally, &mut new, old);
    let mut degraded: Vec<Problem> = among(of.problems, &DEGRADING).into_iter().cloned().collect();
    degraded.extend(weights_unsupported(of));
    let degraded: Vec<&Problem> = degraded.iter().collect();
    match standby.filter(|_| degraded.is_empty()) {
        Some(message) => conditions.set("Degraded", Truth::True, "StandbyPool", &message),
        None => conditions.admit("Degraded", &degraded),
    }
    new.conditions = conditions.ready(&POSITIVE, &ORDER);
    new
}

/// What the nodes answered about this very version.
#[derive(Default)]
struct Answers<'a> {
    programmed: usize,
    waiting: Vec<&'a str>,
    unheard: usize,
    /// Nodes that hold it or failed, with the reason.
    failed: Vec<(&'a str, ProgramResult, &'a str)>,
}

impl<'a> Answers<'a> {
    fn of(of: &Inputs<'a>) -> Self {
        let mut answers = Self::default();
        for node in of.nodes {
            let Some(digest) = node.digest else {
                if node.is_unheard() {
                    answers.unheard += 1;
                } else {
                    answers.waiting.push(node.name);
                }
                continue;
            };
            let answer = of.resolved.and_then(|(_, program)| digest.answer(of.name, program));
            match answer.map(|answer| (answer.result, &*answer.reason)) {
                Some((ProgramResult::Programmed, _)) => answers.programmed += 1,
                Some((result @ (ProgramResult::Held | ProgramResult::Failed), reason)) => {
                    answers.failed.push((node.name, result, reason));
                }
                Some((ProgramResult::Pending, _)) | None => answers.waiting.push(node.name),
            }
        }
        answers
    }
}

fn programmed(of: &Inputs<'_>, conditions: &mut Conditions<'_>, new: &mut FrontendStatus, old: &FrontendStatus) {
    let (answers, desired) = (Answers::of(of), of.nodes.len());
    let mut so_many = answers.programmed;
    if desired == 0 {
        let message = "no node runs maglevd: nobody could program it";
        conditions.set("Programmed", Truth::False, "NoNodes", message);
    } else if let Some((_, _, reason)) = worst(&answers.failed) {
        let told =
            answers.failed.iter().map(|(node, result, reason)| format!("{node}: {} ({reason})", result.as_str()));
        let told: Vec<String> = told.collect();
        let message = format!(
            "on {} of {desired} nodes it is not as it stands here: {}",
            told.len(),
            name_some(told.iter().map(String::as_str))
        );
        conditions.set("Programmed", Truth::False, word(reason), &message);
    } else if answers.waiting.is_empty() && answers.unheard == 0 {
        let message = format!("read back from VPP as it stands here on all of {desired} nodes");
        conditions.set("Programmed", Truth::True, "Programmed", &message);
    } else if answers.waiting.is_empty() && conditions.keep("Programmed") {
        so_many = usize::try_from(old.nodes_programmed.unwrap_or(0)).unwrap_or(0).clamp(so_many, desired);
    } else {
        // Not the first outcome of this generation any more, once there was one.
        let had_one =
            conditions.standing("Programmed").is_some_and(|of| of.status != "Unknown" || of.reason != PENDING);
        let message = format!("{so_many} of {desired} nodes have it so far");
        conditions.set("Programmed", Truth::Unknown, if had_one { "NodesPending" } else { PENDING }, &message);
    }
    new.nodes_programmed = Some(count(so_many));
    new.nodes_desired = Some(count(desired));
    new.nodes_summary = Some(format!("{so_many}/{desired}"));
}

/// What failed counts for more than what is held; then what is more frequent.
fn worst<'a>(failed: &[(&'a str, ProgramResult, &'a str)]) -> Option<(&'a str, ProgramResult, &'a str)> {
    let mut by_reason: BTreeMap<(bool, &str), usize> = BTreeMap::new();
    for (_, result, reason) in failed {
        *by_reason.entry((*result == ProgramResult::Failed, reason)).or_default() += 1;
    }
    let ((is_failed, reason), _) = by_reason.into_iter().max_by_key(|((failed, reason), n)| (*failed, *n, *reason))?;
    failed.iter().find(|of| (of.1 == ProgramResult::Failed, of.2) == (is_failed, reason)).copied()
}

fn available(of: &Inputs<'_>, conditions: &mut Conditions<'_>) {
    if let Some((frontend, _)) = of.resolved
        && let Standing::Withdrawn(problem) = &frontend.standing
    {
        conditions.set("Available", Truth::False, problem.reason.as_str(), "it is withdrawn from every node");
        return;
    }
    let heard: Vec<(&str, FrontendState)> =
        of.nodes.iter().filter_map(|node| Some((node.name, node.digest?.frontend_state(of.name)))).collect();
    let unheard = of.nodes.iter().any(NodeView::is_unheard);
    if heard.is_empty() && unheard && conditions.keep("Available") {
        return;
    }
    let without = |state| heard.iter().filter(|of| of.1 == state).map(|of| of.0).collect::<Vec<_>>();
    let (down, unknown) = (without(FrontendState::Down), without(FrontendState::Unknown));
    if heard.is_empty() {
        conditions.set("Available", Truth::Unknown, "NoReports", "no node reports about it");
    } else if !down.is_empty() {
        let nodes = name_some(down.iter().copied());
        let message = format!("no backend takes traffic on {} of {} nodes: {nodes}", down.len(), heard.len());
        conditions.set("Available", Truth::False, "NoBackendUp", &message);
    } else if !unknown.is_empty() {
        let message = format!("not known yet on {}", name_some(unknown.iter().copied()));
        conditions.set("Available", Truth::Unknown, PENDING, &message);
    } else {
        conditions.set("Available", Truth::True, "Available", "every node has a backend to send traffic to");
    }
}

/// The problem of VPPs without weights.
fn weights_unsupported(of: &Inputs<'_>) -> Option<Problem> {
    let (frontend, _) = of.resolved?;
    if !frontend.has_unequal_weights() {
        return None;
    }
    let weightless =
        |node: &&NodeView<'_>| node.digest.and_then(Digest::vpp).is_some_and(|vpp| vpp.weightless == Some(true));
    let nodes: Vec<&str> = of.nodes.iter().filter(weightless).map(|node| node.name).collect();
    if nodes.is_empty() {
        return None;
    }
    let message = format!(
        "Frontend {}: spec.pools gives its backends shares that differ, but VPP on {} has no weights: they get equal \
         shares there",
        of.name,
        name_some(nodes.into_iter())
    );
    Some(Problem::new(Reason::WeightsUnsupported, "spec.pools", message))
}

/// Which pool takes the traffic and how many backends are up; what there is to say if it is not the first.
fn pools<'a>(
    of: &Inputs<'_>,
    tally: &impl Fn(&Name) -> Option<&'a Tally>,
    new: &mut FrontendStatus,
    old: &FrontendStatus,
) -> Option<String> {
    let heard: Vec<&Digest> = of.nodes.iter().filter_map(|node| node.digest).collect();
    let unheard = of.nodes.iter().any(NodeView::is_unheard);
    let (frontend, _) = of.resolved?;
    let members = frontend.pools.iter().flat_map(|pool| &pool.members).map(|member| &member.backend);
    let names: std::collections::BTreeSet<&Name> = members.collect();
    let up = names.iter().filter(|name| tally(name).is_some_and(Tally::is_up)).count();
    let stands = heard.is_empty() && unheard && old.backends_up.is_some();
    let up = if stands { usize::try_from(old.backends_up.unwrap_or(0)).unwrap_or(0) } else { up };
    let total = of.named.max(names.len());
    new.backends_up = Some(count(up.min(total)));
    new.backends_total = Some(count(total));
    new.backends_summary = Some(format!("{}/{total}", up.min(total)));
    if stands {
        new.active_pool.clone_from(&old.active_pool);
        return None;
    }
    if matches!(frontend.standing, Standing::Withdrawn(_)) {
        return None;
    }
    let first_serves = frontend.pools.first().is_some_and(|pool| {
        let member_up = |name: &Name| tally(name).is_some_and(Tally::is_up);
        pool.members.iter().any(|member| member.weight > Weight::ZERO && member_up(&member.backend))
    });
    // In most cases one backend says it for all nodes.
    let mut active: BTreeMap<usize, usize> = BTreeMap::new();
    if first_serves {
        active.insert(0, heard.len());
    } else {
        for pool in heard.iter().filter_map(|digest| active_pool(frontend, digest)) {
            *active.entry(pool).or_default() += 1;
        }
    }
    let most = active.iter().max_by_key(|(pool, nodes)| (**nodes, std::cmp::Reverse(**pool))).map(|(pool, _)| *pool);
    let name = |pool: usize| frontend.pools.get(pool).map_or("", |pool| &*pool.name);
    new.active_pool = most.map(|pool| name(pool).to_owned());
    let standby: usize = active.iter().filter(|(pool, _)| **pool > 0).map(|(_, nodes)| *nodes).sum();
    (standby > 0).then(|| {
        let on = active.keys().filter(|pool| **pool > 0).map(|pool| name(*pool)).collect::<Vec<_>>().join(", ");
        format!(
            "pool {:?} has no backend to take traffic on {standby} of {} nodes: {on} stands in",
            name(0),
            heard.len()
        )
    })
}

/// The first pool with a backend that is up and has a weight, as far as states alone tell.
fn active_pool(frontend: &Frontend, digest: &Digest) -> Option<usize> {
    let serves = |target: &Target| match target {
        Target::Unreadable { .. } => false,
        Target::Backend(backend) => {
            let kept = || {
                let probed = matches!((backend.admin_state, &backend.check), (AdminState::Enabled, Check::Probe(_)));
                probed && digest.suspect(Family::of(backend.address))
            };
            match digest.backend(backend).0 {
                BackendState::Up => true,
                BackendState::Down => kept(),
                BackendState::Unknown | BackendState::Paused | BackendState::Disabled => false,
            }
        }
    };
    frontend
        .pools
        .iter()
        .position(|pool| pool.members.iter().any(|member| member.weight > Weight::ZERO && serves(&member.target)))
}
