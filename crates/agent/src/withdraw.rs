//! Withdrawal: removes all owned VIPs from the VPP of a node without a running agent.
//!
//! Called by `maglevd withdraw`. It needs no API server: the owned VIPs are listed in the file beside the API socket.
//! An operator requested the removal explicitly, so mass removals are not held.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use futures::{StreamExt, stream};
use tokio::{sync::watch, time::Instant};

use super::{
    AgentOptions,
    dataplane::{DataplaneError, VppConnector, VppReading},
    lock::{AgentLock, LockError},
    owned_vips::{OwnedVips, OwnedVipsError},
    plan_job::{self, RequestCounter},
    state::AgentState,
};
use maglev_model::{
    actual::{Actual, ActualVip, VppVip},
    config::ForeignVips,
    desired::Desired,
    event::{Event, Events, Scope, SyncCounts, SyncFlows},
    plan::{DueFlushes, RemovalPolicy, plan_address},
    vip::VipKey,
};

/// Limit of addresses in flight.
const CONCURRENCY: usize = 8;

/// Result of a withdrawal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Withdrawn {
    /// Removals from VPP.
    pub counts: SyncCounts,
    /// Owned VIPs that were absent from VPP.
    pub absent: usize,
}

/// Reason for an incomplete withdrawal.
#[derive(Debug, thiserror::Error)]
pub enum WithdrawError {
    /// An agent is running, or the lock cannot be taken.
    #[error("cannot withdraw: the agent's lock is not available; stop maglevd on this node first")]
    Lock(#[source] LockError),
    /// The lock file was removed or replaced meanwhile.
    #[error("withdrawal stopped: the lock is lost; the remaining VIPs stay listed as owned")]
    LockLost(#[source] LockError),
    /// The file of owned VIPs is unreadable.
    #[error("cannot withdraw: the owned VIPs are unknown")]
    OwnedVips(#[source] OwnedVipsError),
    /// VPP cannot be reached or read, or the session ended early.
    #[error("cannot withdraw: no session with VPP")]
    Vpp(#[source] DataplaneError),
    /// VPP refused steps. Each was published as an event.
    #[error("VPP refused {failed} of {steps} steps; the remaining VIPs stay listed as owned, run withdraw again")]
    Incomplete {
        failed: u32,
        /// All steps.
        steps: u32,
    },
    /// All other owned VIPs were removed, but NAT VIPs stay, because removing them can abort VPP.
    #[error("{0} NAT VIPs that version 0.1.0 added stay in VPP, which can abort when they are removed; restart VPP")]
    NatVips(usize),
    /// All VIPs were removed, but the file of owned VIPs could not be written.
    #[error("all owned VIPs were removed, but their list cannot be emptied")]
    Save(#[source] OwnedVipsError),
}

impl WithdrawError {
    /// A fixed PascalCase word.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Lock(LockError::Held { .. }) => "AgentRuns",
            Self::Lock(LockError::Io { .. } | LockError::Lost(_)) => "LockFailed",
            Self::LockLost(_) => "LockLost",
            Self::OwnedVips(_) => "OwnedVipsUnreadable",
            Self::Vpp(_) => "VppUnreachable",
            Self::Incomplete { .. } => "VppRefused",
            Self::NatVips(_) => "NatVips",
            Self::Save(_) => "OwnedVipsUnwritable",
        }
    }
}

/// Removes every owned VIP with its application servers and the flows pinned to them, and empties the list of owned
/// VIPs. Foreign VIPs and NAT VIPs stay. Every step is published to `events`.
///
/// # Errors
/// [`WithdrawError`]; with a running agent, nothing is changed.
pub async fn withdraw(
    options: &AgentOptions,
    connector: &VppConnector,
    events: Events,
) -> Result<Withdrawn, WithdrawError> {
    let holder = format!("maglevd withdraw on node {}, process {}", options.node_name, std::process::id());
    let lock = AgentLock::try_take(&options.api_socket, &holder).map_err(WithdrawError::Lock)?;
    let owned_vips = OwnedVips::load(&options.api_socket).map_err(WithdrawError::OwnedVips)?;
    let dataplane = connector.connect(options.deadline).await.map_err(WithdrawError::Vpp)?;
    let actual = dataplane.read(VppReading::default()).await.map_err(WithdrawError::Vpp)?.actual;

    let mut state = AgentState::new(events, owned_vips, options, watch::Sender::default().subscribe());
    let listed = state.owned_vips().len();
    state.prune_owned_vips(|key| actual.vips.contains_key(&VppVip::from(*key)));
    let addresses: BTreeSet<IpAddr> = state.owned_vips().keys().map(|key| key.address).collect();
    let absent = listed - state.owned_vips().len();

    let mut progress = Progress { withdrawn: Withdrawn { absent, ..Withdrawn::default() }, ..Progress::default() };
    let started = Instant::now();
    let policy = RemovalPolicy { owned_vips: state.owned_vips(), foreign: ForeignVips::Keep, claims_unknown: false };
    let plan = |address| plan_address(address, &Desired::new(), &actual, &DueFlushes::new(), policy);
    let plans: Vec<_> = addresses.into_iter().map(|address| (address, plan(address))).collect();
    let start = |(address, plan)| {
        plan_job::start(Arc::clone(&dataplane), RequestCounter::default(), address, plan, Actual::default())
    };
    let mut jobs = stream::iter(plans).map(start).buffered(CONCURRENCY);
    // Checked before each step is sent.
    while lock.is_current()
        && let Some(done) = jobs.next().await
        && progress.lost.is_none()
    {
        progress.count(&mut state, &done.outcomes);
    }
    drop(jobs);
    let Progress { withdrawn, steps, failed, lost } = progress;
    let addresses = state.owned_vips().keys().map(|key| key.address).collect();
    state.release_removed_vips(&addresses, &Actual::default());
    let (counts, duration) = (withdrawn.counts, started.elapsed());
    state.events.emit(Event::SyncDone { scope: Scope::All, counts, failed, duration, flows: SyncFlows::default() });
    // With the lock lost, the file may be another agent's.
    lock.check().map_err(WithdrawError::LockLost)?;
    let saved = state.try_save_owned_vips();
    if let Some(error) = lost {
        return Err(WithdrawError::Vpp(error));
    }
    if failed > 0 {
        return Err(WithdrawError::Incomplete { failed, steps });
    }
    saved.map_err(WithdrawError::Save)?;
    let is_nat = |key: &&VipKey| actual.vips.get(&VppVip::from(**key)).is_some_and(ActualVip::is_nat);
    match state.owned_vips().keys().filter(is_nat).count() {
        0 => Ok(withdrawn),
        left => Err(WithdrawError::NatVips(left)),
    }
}

#[derive(Default)]
struct Progress {
    withdrawn: Withdrawn,
    steps: u32,
    failed: u32,
    lost: Option<DataplaneError>,
}

impl Progress {
    fn count(&mut self, state: &mut AgentState, outcomes: &[plan_job::StepOutcome]) {
        for plan_job::StepOutcome { step, result, .. } in outcomes {
            self.steps += 1;
            match result {
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
