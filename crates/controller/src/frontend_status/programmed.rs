//! The condition Programmed, and the number of nodes that have programmed the Frontend.

use std::collections::BTreeMap;

use super::{FrontendInputs, Resolved};
use crate::{
    conditions::{ConditionStatus, Conditions, condition_reason, list_names, to_count},
    status::PENDING,
};
use maglev_crd::FrontendStatus;
use maglev_model::{change::SyncHold, event::ProgramResult};

/// The reports of the nodes about the present version of the Frontend.
#[derive(Default)]
struct ProgramReports<'a> {
    programmed: usize,
    /// Nodes without a final report.
    waiting: Vec<&'a str>,
    /// Number of nodes whose reports only an earlier leader had.
    inherited: usize,
    failed: Vec<FailedNode<'a>>,
}

/// A node that holds the Frontend, or failed to program it.
#[derive(Clone, Copy)]
struct FailedNode<'a> {
    node: &'a str,
    result: ProgramResult,
    reason: &'a str,
    /// The hold of a change of the Frontend.
    hold: Option<&'a SyncHold>,
}

impl FailedNode<'_> {
    fn describe(&self) -> String {
        let Self { node, result, reason, hold } = self;
        let hold = hold.and_then(|hold| Some((hold, hold.change.as_ref()?))).map(|(hold, change)| {
            let (moved, until, id) = (change.moved_percent(), hold.until, &hold.id);
            format!(": the change moves {moved:.1} % of the buckets, held until {until:.0}; maglevc accept {id}")
        });
        format!("{node}: {} ({reason}){}", result.as_str(), hold.unwrap_or_default())
    }
}

impl<'a> ProgramReports<'a> {
    fn collect(inputs: &FrontendInputs<'a>) -> Self {
        let mut reports = Self::default();
        for node in inputs.nodes {
            let Some(digest) = node.digest else {
                if node.awaits_first_report() {
                    reports.inherited += 1;
                } else {
                    reports.waiting.push(node.name);
                }
                continue;
            };
            let status = inputs.resolved.and_then(|Resolved { program, .. }| digest.program(inputs.name, program));
            match status.map(|status| (status.result, &*status.reason)) {
                Some((ProgramResult::Programmed, _)) => reports.programmed += 1,
                Some((result @ (ProgramResult::Held | ProgramResult::Failed), reason)) => {
                    let hold = digest.hold_of_change(inputs.name);
                    reports.failed.push(FailedNode { node: node.name, result, reason, hold });
                }
                Some((ProgramResult::Pending, _)) | None => reports.waiting.push(node.name),
            }
        }
        reports
    }
}

pub fn set_programmed(
    inputs: &FrontendInputs<'_>,
    conditions: &mut Conditions<'_>,
    new: &mut FrontendStatus,
    old: &FrontendStatus,
) {
    let (reports, desired) = (ProgramReports::collect(inputs), inputs.nodes.len());
    let mut programmed = reports.programmed;
    if desired == 0 {
        let message = "no node runs maglevd, which would program VPP";
        conditions.set("Programmed", ConditionStatus::False, "NoNodes", message);
    } else if let Some(worst) = worst(&reports.failed) {
        let failures: Vec<String> = reports.failed.iter().map(FailedNode::describe).collect();
        let message = format!(
            "not programmed as specified on {} of {desired} nodes: {}",
            failures.len(),
            list_names(failures.iter().map(String::as_str))
        );
        conditions.set("Programmed", ConditionStatus::False, condition_reason(worst.reason), &message);
    } else if reports.waiting.is_empty() && reports.inherited == 0 {
        let message = format!("VPP on all of {desired} nodes has been read back and matches the spec");
        conditions.set("Programmed", ConditionStatus::True, "Programmed", &message);
    } else if reports.waiting.is_empty() && conditions.keep("Programmed") {
        let stored = usize::try_from(old.nodes_programmed.unwrap_or(0)).unwrap_or(0);
        programmed = stored.clamp(programmed, desired);
    } else {
        // The reason Pending is reserved for generations without an outcome.
        let had_outcome = conditions
            .stored("Programmed")
            .is_some_and(|stored| stored.status != "Unknown" || stored.reason != PENDING);
        let reason = if had_outcome { "NodesPending" } else { PENDING };
        let message = format!("programmed on {programmed} of {desired} nodes so far");
        conditions.set("Programmed", ConditionStatus::Unknown, reason, &message);
    }
    new.nodes_programmed = Some(to_count(programmed));
    new.nodes_desired = Some(to_count(desired));
    new.nodes_summary = Some(format!("{programmed}/{desired}"));
}

/// The failure to name in the reason: Failed before Held, then the most frequent one.
fn worst<'a>(failed: &[FailedNode<'a>]) -> Option<FailedNode<'a>> {
    let rank = |node: &FailedNode<'a>| (node.result == ProgramResult::Failed, node.reason);
    let mut frequencies: BTreeMap<(bool, &str), usize> = BTreeMap::new();
    for node in failed {
        *frequencies.entry(rank(node)).or_default() += 1;
    }
    let (worst, _) =
        frequencies.into_iter().max_by_key(|((is_failed, reason), count)| (*is_failed, *count, *reason))?;
    failed.iter().find(|node| rank(node) == worst).copied()
}
