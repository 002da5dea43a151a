//! A requested dump.

use std::time::Duration;

use futures::{FutureExt as _, future::BoxFuture};
use jiff::Timestamp;
use tokio::{task::JoinError, time::Instant};
use tokio_util::task::AbortOnDropHandle;

use super::verification::VERIFY_AFTER;
use crate::dataplane::{DataplaneError, VppReading};
use maglev_model::{actual::ActualConf, plan::Step};

/// The rest after a dump before one that only verifies, as a multiple of the time that the dump took.
const REST: u32 = 20;
/// The same while a large part of VPP's VIPs is to be verified, but at least the delay of the first verification.
const REST_IN_LARGE_CHANGE: u32 = 2;
/// The longest rest.
const LONGEST_REST: Duration = Duration::from_secs(15);

/// A dump whose reply has not been processed.
pub struct PendingDump {
    pub reply: BoxFuture<'static, Result<(ActualConf, VppReading), DataplaneError>>,
    pub number: u64,
    pub reason: DumpReason,
    pub started: Instant,
    /// The same time, for readers of the dump.
    pub requested_at: Timestamp,
    /// Steps sent after the dump request and acknowledged before its reply.
    pub since: Vec<Step>,
}

impl PendingDump {
    /// The time of the dump for its readers, who wait for one that is newer than the last change: `now` if it has all changes.
    pub fn time(&self, now: Timestamp) -> Timestamp {
        if self.since.is_empty() { now } else { self.requested_at }
    }
}

/// Reads in a task of its own: what is decoded for thousands of servers must not delay a health transition.
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
        // Transitions that fall into a dump wait longer than others.
        let rest = if is_large_change { (took * REST_IN_LARGE_CHANGE).max(VERIFY_AFTER) } else { took * REST };
        rest.min(LONGEST_REST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use maglev_model::vip::{Service, VipKey};

    #[tokio::test]
    async fn dump_is_not_newer_than_a_change_that_it_lacks() {
        let now = Timestamp::from_second(20).unwrap();
        let mut dump = PendingDump {
            reply: std::future::pending().boxed(),
            number: 1,
            reason: DumpReason::Verify,
            started: Instant::now(),
            requested_at: Timestamp::from_second(10).unwrap(),
            since: Vec::new(),
        };
        assert_eq!(dump.time(now), now);
        let vip = VipKey { address: "203.0.113.1".parse().unwrap(), service: Service::AllPorts };
        dump.since.push(Step::RemoveVip { vip: vip.into(), encap: None });
        assert_eq!(dump.time(now), dump.requested_at);
    }
}
