//! A frontend's row: what its nodes say, put together.

use std::{collections::BTreeMap, sync::Arc};

use super::facts::{Facts, MemberFact};
use crate::{
    dashboard::document::{Flag, Flags, Row, Time, tenth},
    model::{
        Name,
        event::{FrontendState, ProgramResult},
        health::{BackendState, ProbeCode},
    },
};

/// What one node says, and what that counts for.
#[derive(Clone, Copy)]
pub(super) struct Said<'a> {
    pub(super) node: &'a Arc<str>,
    pub(super) facts: &'a Facts,
    /// Its state is what is.
    pub(super) reporting: bool,
    /// Others should say the same.
    pub(super) comparable: bool,
}

/// Whether nodes that should say the same do not.
pub(super) fn disagree(said: &[Said<'_>]) -> bool {
    let mut members =
        said.iter().filter(|said| said.comparable && !said.facts.withdrawn).map(|said| &said.facts.members);
    let same =
        |a: &MemberFact, b: &MemberFact| (&a.backend, a.state, a.effective) == (&b.backend, b.state, b.effective);
    members.next().is_some_and(|first| {
        members.any(|other| other.len() != first.len() || !first.iter().zip(other).all(|(a, b)| same(a, b)))
    })
}

/// The row; `None` where no node knows the frontend. `disagree` is for longer than may be.
pub(super) fn row(said: &[Said<'_>], disagree: bool) -> Option<Row> {
    // Without a reporting node, what was last seen is better than nothing; the cells say how old it is.
    let any = said.iter().any(|said| said.reporting);
    let counted: Vec<_> = said.iter().filter(|said| said.reporting || !any).copied().collect();
    let first = counted.first()?;
    let flags = flags(said, disagree);
    let state = if any { state(&counted) } else { "unknown" };
    let sum = |of: fn(&Facts) -> f64| tenth(said.iter().filter(|said| said.reporting).map(|said| of(said.facts)).sum());
    let since = counted.iter().filter(|said| said.facts.word() == state).filter_map(|said| said.facts.since).min();
    let (rank, reason) = reason(&counted, flags, any);
    Some(Row {
        vip: first.facts.vip.into(),
        state,
        rank,
        flags,
        cells: said.iter().map(|said| (Arc::clone(said.node), said.facts.cell())).collect(),
        up: up_everywhere(&counted),
        total: backends(&counted).len(),
        rate: sum(|facts| facts.rate),
        dropping: sum(|facts| facts.dropping),
        since: since.map(Time),
        reason,
    })
}

fn state(counted: &[Said<'_>]) -> &'static str {
    let words = ["down", "unknown", "standby", "up"];
    let said = |word| counted.iter().any(|said| said.facts.word() == word);
    words.into_iter().find(|word| said(*word)).unwrap_or("unknown")
}

fn flags(said: &[Said<'_>], disagree: bool) -> Flags {
    let reporting = |test: fn(&Facts) -> bool| said.iter().any(|said| said.reporting && test(said.facts));
    let mut flags = Flags::default();
    flags.set(Flag::Down, reporting(|facts| !facts.withdrawn && facts.state == FrontendState::Down));
    flags.set(Flag::Dropping, reporting(|facts| facts.dropping > 0.0));
    flags.set(Flag::Standby, reporting(|facts| facts.standby_for.is_some() || facts.last.is_some()));
    flags.set(Flag::Disagree, disagree);
    let rejected = |facts: &Facts| facts.problem.is_some() || facts.result == ProgramResult::Held;
    flags.set(Flag::Rejected, reporting(rejected));
    flags.set(Flag::Sync, reporting(|facts| !facts.withdrawn && facts.result == ProgramResult::Failed));
    flags
}

fn backends<'a>(counted: &[Said<'a>]) -> BTreeMap<&'a Name, bool> {
    let mut backends = BTreeMap::new();
    for member in counted.iter().flat_map(|said| &said.facts.members) {
        *backends.entry(&member.backend).or_insert(true) &= member.state == BackendState::Up;
    }
    backends
}

fn up_everywhere(counted: &[Said<'_>]) -> usize {
    backends(counted).values().filter(|up| **up).count()
}

/// The worst thing that can be said, and how bad it is.
fn reason(counted: &[Said<'_>], flags: Flags, any: bool) -> (u8, String) {
    if !any {
        return (5, "no node reports".to_owned());
    }
    let find = |test: &dyn Fn(&Facts) -> bool| counted.iter().find(|said| test(said.facts)).copied();
    if let Some(said) = find(&|facts| !facts.withdrawn && facts.state == FrontendState::Down) {
        return (7, why_down(said.facts));
    }
    if flags.has(Flag::Dropping) {
        return (6, "packets are dropped: no server".to_owned());
    }
    if let Some(said) = find(&|facts| !facts.withdrawn && facts.result == ProgramResult::Failed) {
        return (4, format!("{}: {}", said.node, or(&said.facts.result_reason, "failed")));
    }
    if flags.has(Flag::Disagree) {
        return (3, "nodes disagree".to_owned());
    }
    if let Some(problem) = counted.iter().find_map(|said| said.facts.problem.as_ref()) {
        return (3, format!("{}: {}", problem.reason, problem.message));
    }
    if let Some(said) = find(&|facts| facts.result == ProgramResult::Held) {
        return (3, format!("held: {}", or(&said.facts.result_reason, "left as VPP has it")));
    }
    if let Some(pool) = counted.iter().find_map(|said| said.facts.standby_for.as_ref()) {
        return (2, format!("pool {pool} down"));
    }
    if let Some(last) = counted.iter().find_map(|said| said.facts.last.as_ref()) {
        return (2, format!("last backend {}", last.name()));
    }
    if find(&|facts| !facts.withdrawn && facts.state == FrontendState::Unknown).is_some() {
        return (1, "waiting for the first probes".to_owned());
    }
    (0, String::new())
}

fn or<'a>(text: &'a str, otherwise: &'a str) -> &'a str {
    if text.is_empty() { otherwise } else { text }
}

fn why_down(facts: &Facts) -> String {
    let mut codes = facts.members.iter().filter(|member| member.state == BackendState::Down).map(|member| member.code);
    let same_code = codes.next().flatten().filter(|first| codes.all(|code| code == Some(*first)));
    let all = |state| facts.members.iter().all(|member| member.state == state);
    match &facts.problem {
        _ if facts.members.is_empty() => match &facts.problem {
            Some(problem) => format!("{}: {}", problem.reason, problem.message),
            None => "no backends".to_owned(),
        },
        _ if all(BackendState::Down) => format!("all backends {}", same_code.map_or("down", ProbeCode::as_str)),
        _ if all(BackendState::Disabled) => "all backends disabled".to_owned(),
        _ if all(BackendState::Paused) => "all backends paused".to_owned(),
        _ => "no backend takes traffic".to_owned(),
    }
}
