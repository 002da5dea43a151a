//! The disruption budget of a Frontend.

use std::time::Duration;

/// A limit on the buckets of a VIP that changes move within a time. A change of the configuration beyond it is held; health
/// changes and drains are not held, but count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DisruptionBudget {
    /// The limit, in percent of all buckets of the VIP: 1–100.
    pub max_moved_percent: u8,
    /// The time over which moved buckets are added up.
    pub window: Duration,
}
