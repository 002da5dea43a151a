//! A requested dump.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use tokio::{task::JoinError, time::Instant};
use tokio_util::task::AbortOnDropHandle;

use crate::dataplane::{DataplaneError, VppReading};
use maglev_model::{actual::LbDump, plan::Step};

/// The rest after a dump before one that only verifies, as a multiple of the time that the dump took.
const REST: u32 = 20;
/// The same while a large part of VPP's VIPs is to be verified.
const REST_IN_LARGE_CHANGE: u32 = 2;
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

/// Reads in a task of its own: parsing thousands of servers must not delay a health transition.
pub fn in_own_task<T: Send + 'static>(
    read: impl Future<Output = Result<T, DataplaneError>> + Send + 'static,
) -> BoxFuture<'static, Result<T, DataplaneError>> {
    let read = AbortOnDropHandle::new(tokio::spawn(read));
    let failed = |error: JoinError| Err(DataplaneError::Unanswered(format!("read: {error}")));
    async move { read.await.unwrap_or_else(failed) }.boxed()
}

/// Purpose of a dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DumpReason {
    /// Verifies the written addresses.
    Verify,
    /// Starts a full pass.
    Pass,
}

/// The last dump.
#[derive(Clone, Copy, Debug)]
pub struct FinishedDump {
    pub started: Instant,
    pub finished: Instant,
    pub verifies_large_change: bool,
}

impl FinishedDump {
    /// The time after the dump in which no other dump only verifies: a dump has all servers of VPP, however few have changed.
    /// While a large change is made, and until its end is verified, the rest is shorter.
    pub fn rest(self, is_large_change: bool) -> Duration {
        let is_large_change = is_large_change || self.verifies_large_change;
        let took = self.finished.duration_since(self.started);
        (took * if is_large_change { REST_IN_LARGE_CHANGE } else { REST }).min(LONGEST_REST)
    }
}
