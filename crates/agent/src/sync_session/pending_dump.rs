//! A requested dump.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use tokio::time::Instant;

use crate::dataplane::{DataplaneError, VppReading};
use maglev_model::{actual::LbDump, plan::Step};

/// The rest after a dump before one that only verifies, as a multiple of the time that the dump took.
const REST: u32 = 20;
/// The longest rest.
const LONGEST_REST: Duration = Duration::from_secs(15);

/// A dump whose reply has not been processed.
pub struct PendingDump {
    pub reply: BoxFuture<'static, Result<(Arc<LbDump>, VppReading), DataplaneError>>,
    pub number: u64,
    pub reason: DumpReason,
    pub started: Instant,
    /// Steps sent after the dump request and acknowledged before its reply.
    pub since: Vec<Step>,
}

/// Purpose of a dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DumpReason {
    /// Verifies the written addresses.
    Verify,
    /// Starts a full pass.
    Pass,
}

/// The time after a dump that took `took` in which no other dump only verifies. A dump has all servers of VPP, however few have
/// changed.
pub fn rest(took: Duration) -> Duration {
    (took * REST).min(LONGEST_REST)
}
