//! The ramp of a Frontend's backends.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{duration::Duration, number::RampSteps};

/// Ramp of the backends that come up: their weight rises in steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RampUp {
    /// Time from the first step to the full weight: 10s to 1h. Required.
    pub duration: Duration<10_000, 3_600_000>,

    /// Number of steps: 2 to 20. Required. Step k has the weight times k / steps, rounded up, so a weight of
    /// at least the number of steps is needed for steps that all differ.
    pub steps: RampSteps,
}

impl From<RampSteps> for u8 {
    fn from(steps: RampSteps) -> Self {
        Self::try_from(steps.get()).expect("the number of steps is from 2 to 20")
    }
}
