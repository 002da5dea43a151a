//! Taking everything that is ours out of a node's VPP, where no agent runs any more.
//!
//! `maglevd withdraw` calls it. It needs no API server: what is ours says the file beside the API
//! socket. A person asked for it by name, so nothing is held.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use futures::{StreamExt, stream};
use tokio::time::Instant;

use super::{
    AgentOptions,
    brain::Brain,
    dataplane::{Connect, DataplaneError},
    job::{self, Order},
    lock::{AgentLock, LockError},
    ours::{Ours, OursError},
};
use maglev_model::{
    actual::VppVip,
    config::ForeignVips,
    desired::Desired,
    event::{Event, Events, Scope, SyncCounts},
    plan::{DueFlushes, RemovalPolicy, plan_address},
};

/// Addresses under way at once.
const AT_ONCE: usize = 8;

/// What was taken out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Withdrawn {
    /// Removed from VPP.
    pub counts: SyncCounts,
    /// VIPs of the file that VPP did not have.
    pub absent: usize,
}

/// Why not everything was taken out.
#[derive(Debug, thiserror::Error)]
pub enum WithdrawError {
    /// An agent runs, or the lock cannot be had.
    #[error("not withdrawing")]
    Lock(#[source] LockError),
    /// It is not known what is ours.
    #[error("cannot tell which VIPs are ours")]
    Ours(#[source] OursError),
    /// VPP cannot be reached or read, or was lost on the way.
    #[error("cannot talk to VPP")]
    Vpp(#[source] DataplaneError),
    /// VPP refused steps, each of which was told.
    #[error("VPP refused {failed} of {steps} steps; what is left is still remembered as ours")]
    Incomplete {
        failed: usize,
        /// All of them.
        steps: usize,
    },
    /// It is done, but the list of ours could not be emptied.
    #[error("everything is removed, but the list of our VIPs cannot be emptied")]
    Save(#[source] OursError),
}

impl WithdrawError {
    /// A fixed word for it.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Lock(LockError::Held { .. }) => "AgentRuns",
            Self::Lock(LockError::Io { .. }) => "LockFailed",
            Self::Ours(_) => "OursUnreadable",
            Self::Vpp(_) => "VppUnreachable",
            Self::Incomplete { .. } => "VppRefused",
            Self::Save(_) => "OursUnwritable",
        }
    }

    /// Whether trying again may help.
    pub fn is_transient(&self) -> bool {
        !matches!(self, Self::Ours(_))
    }
}

/// Removes every VIP that is ours, with its application servers and the flows pinned to them, and
/// empties the list of ours. VIPs of others stay. Every step is told to `events`.
///
/// # Errors
/// [`WithdrawError`]; a running agent is left alone.
pub async fn withdraw(
    options: &AgentOptions,
    connect: &dyn Connect,
    events: Events,
) -> Result<Withdrawn, WithdrawError> {
    let who = format!("maglevd withdraw on node {}, process {}", options.node_name, std::process::id());
    let _lock = AgentLock::try_take(&options.api_socket, &who).map_err(WithdrawError::Lock)?;
    let ours = Ours::read_beside(&options.api_socket).map_err(WithdrawError::Ours)?;
    let dataplane = connect.connect(options.deadline).await.map_err(WithdrawError::Vpp)?;
    let actual = dataplane.read().await.map_err(WithdrawError::Vpp)?;

    let mut brain = Brain::new(events, ours, options);
    let listed = brain.ours().len();
    brain.prune_ours(|key| actual.vips.contains_key(&VppVip::from(*key)));
    let addresses: BTreeSet<IpAddr> = brain.ours().keys().map(|key| key.address).collect();
    let absent = listed - brain.ours().len();

    let mut tally = Tally { withdrawn: Withdrawn { absent, ..Withdrawn::default() }, ..Tally::default() };
    let started = Instant::now();
    let policy = RemovalPolicy { ours: brain.ours(), foreign: ForeignVips::Keep, claims_unknown: false };
    let plan = |address| plan_address(address, &Desired::new(), &actual, &DueFlushes::new(), policy);
    let plans: Vec<_> = addresses.into_iter().map(|address| (address, plan(address))).collect();
    let start = |(address, plan)| job::start(Arc::clone(&dataplane), Order::default(), address, plan);
    let mut jobs = stream::iter(plans).map(start).buffered(AT_ONCE);
    while let Some(done) = jobs.next().await
        && tally.lost.is_none()
    {
        tally.count(&mut brain, &done.outcomes);
    }
    drop(jobs);
    let Tally { withdrawn, steps, failed, lost } = tally;
    brain.events.emit(Event::SyncDone { scope: Scope::All, counts: withdrawn.counts, duration: started.elapsed() });
    let saved = brain.try_save_ours();
    if let Some(error) = lost {
        return Err(WithdrawError::Vpp(error));
    }
    if failed > 0 {
        return Err(WithdrawError::Incomplete { failed, steps });
    }
    saved.map_err(WithdrawError::Save)?;
    Ok(withdrawn)
}

#[derive(Default)]
struct Tally {
    withdrawn: Withdrawn,
    steps: usize,
    failed: usize,
    lost: Option<DataplaneError>,
}

impl Tally {
    fn count(&mut self, brain: &mut Brain, outcomes: &[job::Outcome]) {
        for job::Outcome { step, answer, .. } in outcomes {
            self.steps += 1;
            match answer {
                Ok(()) => {
                    self.withdrawn.counts.count(step);
                    brain.tell(Scope::All, step);
                    brain.settle(step);
                }
                Err(error @ DataplaneError::Closed(_)) => self.lost = Some(error.clone()),
                Err(error) => {
                    self.failed += 1;
                    brain.step_failed(step, &error.to_string());
                }
            }
        }
    }
}
