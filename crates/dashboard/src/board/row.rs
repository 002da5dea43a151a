//! A frontend's row: what its nodes say, put together.

use std::sync::Arc;

use super::facts::Facts;
use crate::document::{Row, Time, tenth};
use maglev_fleet::survey::{self, Flag, Folded};
use maglev_model::{
    event::{FrontendState, ProgramResult},
    health::{BackendState, ProbeCode},
};

/// What one node says, and what that counts for.
#[derive(Clone, Copy)]
pub struct Said<'a> {
    pub(crate) node: &'a Arc<str>,
    pub(crate) facts: &'a Facts,
    /// Its state is what is.
    pub(crate) reporting: bool,
    /// Others should say the same.
    pub(crate) comparable: bool,
}

/// Whether nodes that should say the same do not.
pub fn disagree(said: &[Said<'_>]) -> bool {
    survey::differ(said.iter().filter(|said| said.comparable).map(|said| &said.facts.said))
}

/// The row; `None` where no node knows the frontend. `disagree` is for longer than may be.
pub fn row(said: &[Said<'_>], disagree: bool) -> Option<Row> {
    let folded = Folded::of(&said.iter().map(|said| survey::Said {
        facts: &said.facts.said,
        reporting: said.reporting,
        dropping: said.facts.dropping > 0.0,
    }))?;
    let folded = folded.disagreeing(disagree);
    let counted: Vec<_> = said.iter().filter(|said| said.reporting || !folded.reported).collect();
    let sum = |of: fn(&Facts) -> f64| tenth(said.iter().filter(|said| said.reporting).map(|said| of(said.facts)).sum());
    let (rank, reason) = reason(&counted, &folded);
    Some(Row {
        vip: counted.first()?.facts.said.vip.into(),
        state: folded.state.as_str(),
        rank,
        flags: folded.flags.iter().copied().collect(),
        cells: said.iter().map(|said| (Arc::clone(said.node), said.facts.cell())).collect(),
        up: folded.backends.values().filter(|up| **up).count(),
        total: folded.backends.len(),
        rate: sum(|facts| facts.rate),
        dropping: sum(|facts| facts.dropping),
        since: folded.since.map(Time),
        reason,
    })
}

/// The worst thing that can be said, and how bad it is.
fn reason(counted: &[&Said<'_>], folded: &Folded) -> (u8, String) {
    if !folded.reported {
        return (5, "no node reports".to_owned());
    }
    let find = |test: &dyn Fn(&survey::Facts) -> bool| counted.iter().find(|said| test(&said.facts.said)).copied();
    if let Some(said) = find(&|facts| !facts.withdrawn && facts.state == FrontendState::Down) {
        return (7, why_down(&said.facts.said));
    }
    if folded.flags.contains(&Flag::Dropping) {
        return (6, "packets are dropped: no server".to_owned());
    }
    if let Some(said) = find(&|facts| !facts.withdrawn && facts.result == ProgramResult::Failed) {
        return (4, format!("{}: {}", said.node, or(&said.facts.said.result_reason, "failed")));
    }
    if folded.flags.contains(&Flag::Disagree) {
        return (3, "nodes disagree".to_owned());
    }
    if let Some(problem) = counted.iter().find_map(|said| said.facts.said.problem.as_ref()) {
        return (3, format!("{}: {}", problem.reason, problem.message));
    }
    if let Some(said) = find(&|facts| facts.result == ProgramResult::Held) {
        return (3, format!("held: {}", or(&said.facts.said.result_reason, "left as VPP has it")));
    }
    if let Some(pool) = counted.iter().find_map(|said| said.facts.said.standby_for.as_ref()) {
        return (2, format!("pool {pool} down"));
    }
    if let Some(last) = counted.iter().find_map(|said| said.facts.said.last.as_ref()) {
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

fn why_down(facts: &survey::Facts) -> String {
    let mut codes = facts.members.iter().filter(|member| member.state == BackendState::Down).map(|member| member.code);
    let same_code = codes.next().flatten().filter(|first| codes.all(|code| code == Some(*first)));
    let all = |state| facts.members.iter().all(|member| member.state == state);
    match &facts.problem {
        Some(problem) if facts.members.is_empty() => format!("{}: {}", problem.reason, problem.message),
        None if facts.members.is_empty() => "no backends".to_owned(),
        _ if all(BackendState::Down) => format!("all backends {}", same_code.map_or("down", ProbeCode::as_str)),
        _ if all(BackendState::Disabled) => "all backends disabled".to_owned(),
        _ if all(BackendState::Paused) => "all backends paused".to_owned(),
        _ => "no backend takes traffic".to_owned(),
    }
}
