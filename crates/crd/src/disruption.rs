//! The disruption budget of a Frontend.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{duration::Duration, number::Percent};

/// Limit on the share of new flows that changes of the configuration move to other backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Disruption {
    /// Largest share of the buckets of the Maglev table that may move within the window, in percent: 1 to
    /// 100. Required.
    ///
    /// A node holds a change of pools, weights, encap, affinity or table length that would move more, and goes
    /// on with the configuration of before. A change that recreates the VIP moves 100 percent. Changes of
    /// health and of adminState are never held, but what they moved within the window counts.
    pub max_moved_percent: Percent,

    /// Time over which moved buckets are added up: 1s to 1h. Default: 60s.
    #[serde(default = "window")]
    pub window: Duration<1000, 3_600_000>,
}

fn window() -> Duration<1000, 3_600_000> {
    const { Duration::literal(60_000) }
}
