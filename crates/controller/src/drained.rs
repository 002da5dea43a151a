//! The condition Drained of a Backend, from the drains that all nodes report. Present only while the Backend is paused or
//! disabled, and not part of Ready.

use super::conditions::{ConditionStatus, Conditions};
use maglev_model::drain::DrainSummary;

pub const DRAINED: &str = "Drained";

/// Sets Drained for a Backend that is paused or disabled.
pub fn set_drained(DrainSummary { outcome, text }: &DrainSummary, conditions: &mut Conditions<'_>) {
    let status = match outcome.is_drained() {
        Some(true) => ConditionStatus::True,
        Some(false) => ConditionStatus::False,
        None => ConditionStatus::Unknown,
    };
    conditions.set(DRAINED, status, outcome.reason(), text);
}
