//! Taking everything that is ours out of a node's VPP, where no agent runs any more.
//!
//! `maglevd withdraw` calls it. It needs no API server: what is ours says the file beside the API
//! socket. A person asked for it by name, so nothing is held.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use futures::{StreamExt, stream};
use tokio::time::Instant;

use super::{
    AgentOptions,
    dataplane::{DataplaneError, VppConnector},
    lock::{AgentLock, LockError},
    owned_vips::{OwnedVips, OwnedVipsError},
    plan_job::{self, RequestCounter},
    state::AgentState,
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
    Ours(#[source] OwnedVipsError),
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
    Save(#[source] OwnedVipsError),
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
    connector: &VppConnector,
    events: Events,
) -> Result<Withdrawn, WithdrawError> {
    let holder = format!("maglevd withdraw on node {}, process {}", options.node_name, std::process::id());
    let _lock = AgentLock::try_take(&options.api_socket, &holder).map_err(WithdrawError::Lock)?;
    let ours = OwnedVips::load(&options.api_socket).map_err(WithdrawError::Ours)?;
    let dataplane = connector.connect(options.deadline).await.map_err(WithdrawError::Vpp)?;
    let actual = dataplane.read().await.map_err(WithdrawError::Vpp)?;

    let mut state = AgentState::new(events, ours, options);
    let listed = state.owned_vips().len();
    state.prune_owned_vips(|key| actual.vips.contains_key(&VppVip::from(*key)));
    let addresses: BTreeSet<IpAddr> = state.owned_vips().keys().map(|key| key.address).collect();
    let absent = listed - state.owned_vips().len();

    let mut tally = Tally { withdrawn: Withdrawn { absent, ..Withdrawn::default() }, ..Tally::default() };
    let started = Instant::now();
    let policy = RemovalPolicy { ours: state.owned_vips(), foreign: ForeignVips::Keep, claims_unknown: false };
    let plan = |address| plan_address(address, &Desired::new(), &actual, &DueFlushes::new(), policy);
    let plans: Vec<_> = addresses.into_iter().map(|address| (address, plan(address))).collect();
    let start = |(address, plan)| plan_job::start(Arc::clone(&dataplane), RequestCounter::default(), address, plan);
    let mut jobs = stream::iter(plans).map(start).buffered(AT_ONCE);
    while let Some(done) = jobs.next().await
        && tally.lost.is_none()
    {
        tally.count(&mut state, &done.outcomes);
    }
    drop(jobs);
    let Tally { withdrawn, steps, failed, lost } = tally;
    state.events.emit(Event::SyncDone { scope: Scope::All, counts: withdrawn.counts, duration: started.elapsed() });
    let saved = state.try_save_owned_vips();
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
    fn count(&mut self, state: &mut AgentState, outcomes: &[plan_job::StepOutcome]) {
        for plan_job::StepOutcome { step, answer, .. } in outcomes {
            self.steps += 1;
            match answer {
                Ok(()) => {
                    self.withdrawn.counts.count(step);
                    state.publish_step(Scope::All, step);
                    state.forget_removed(step);
                }
                Err(error @ DataplaneError::Closed(_)) => self.lost = Some(error.clone()),
                Err(error) => {
                    self.failed += 1;
                    state.step_failed(step, &error.to_string());
                }
            }
        }
    }
}
