//! Verification of single VIPs: on a node with many servers, a dump costs far more than the change that it verifies.
//!
//! Only the servers of the written VIPs are read, and only an equal result counts. Any other leaves the decision to a dump. So does
//! a VIP without servers, whose reply is that of a VIP which VPP does not have.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use futures::future::{BoxFuture, try_join_all};
use tokio::time::Instant;

use super::{CachedVppState, DumpReason, SyncSession, pending_dump::in_own_task, verification::Unverified};
use crate::{dataplane::DataplaneError, state::AgentState};
use maglev_model::{
    ServerMap,
    actual::{ActualAs, LbDump, VppVip},
    event::ProgramResult,
};

/// The servers of VIPs in VPP.
pub type ServersOfVips = Vec<(VppVip, ServerMap<ActualAs>)>;

/// The ability of the session to check single VIPs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpotChecks {
    Possible,
    /// Not before the next dump: the last check failed.
    AfterDump,
    /// Not before the next dump: VPP returned no servers of this VIP, which had some.
    Doubtful(VppVip),
    /// VPP does not select VIPs.
    Impossible,
}

impl SpotChecks {
    /// The ability after a dump.
    pub fn after_dump(self, cached: &CachedVppState) -> Self {
        match self {
            Self::Doubtful(vip) if cached.actual.vips.get(&vip).is_some_and(|vip| !vip.ases.is_empty()) => {
                tracing::info!(%vip, "VPP does not return the servers of a single VIP; they are read with all others");
                Self::Impossible
            }
            Self::Possible | Self::AfterDump | Self::Doubtful(_) => Self::Possible,
            Self::Impossible => Self::Impossible,
        }
    }
}

/// A check whose replies have not been processed.
pub struct SpotCheck {
    pub reply: BoxFuture<'static, Result<ServersOfVips, DataplaneError>>,
    /// The addresses to verify, each with the number of its last step.
    addresses: BTreeMap<IpAddr, u64>,
}

impl SyncSession {
    /// Starts a check of the written addresses. Returns false if they need a dump.
    pub fn start_spot_check(&mut self) -> bool {
        let is_server = |unverified: &Unverified| unverified.servers_only;
        if self.spot_checks != SpotChecks::Possible || !self.unverified.values().all(is_server) {
            return false;
        }
        let settled = self.unverified.iter().filter(|(address, _)| !self.queue.is_in_flight(**address));
        let addresses: BTreeMap<_, _> = settled.map(|(address, unverified)| (*address, unverified.last)).collect();
        let vips: Vec<VppVip> = self.vips_on(addresses.keys()).collect();
        if vips.is_empty() || self.exceeds_share(vips.len()) {
            return false;
        }
        let read = |vip: &VppVip| Some((*vip, self.dataplane.read_servers(*vip)?));
        let Some(reads) = vips.iter().map(read).collect::<Option<Vec<_>>>() else { return false };
        let reply = in_own_task(try_join_all(reads.into_iter().map(|(vip, servers)| async move {
            let servers = servers.await?;
            Ok((vip, servers))
        })));
        self.spot_check = Some(SpotCheck { reply, addresses });
        true
    }

    /// Processes the result of a check.
    pub fn spot_check_received(
        &mut self,
        state: &mut AgentState,
        reply: Result<ServersOfVips, DataplaneError>,
        now: Instant,
    ) {
        let (Some(SpotCheck { addresses, .. }), Some(cached)) = (self.spot_check.take(), &mut self.cached) else {
            return;
        };
        let read = match reply {
            Ok(read) => read,
            // The end of the session is a separate event.
            Err(DataplaneError::Closed(_)) => return,
            Err(error) => {
                tracing::debug!(%error, "cannot read the servers of single VIPs");
                self.spot_checks = SpotChecks::AfterDump;
                self.verify_at = Some(self.next_verifying_dump(now));
                return;
            }
        };
        // An address that was written meanwhile is verified later.
        let is_current = |address: &IpAddr| {
            let unverified = self.unverified.get(address).filter(|unverified| unverified.servers_only);
            let last = unverified.map(|unverified| unverified.last);
            last.is_some() && last == addresses.get(address).copied() && !self.queue.is_in_flight(*address)
        };
        let mut verified: BTreeSet<IpAddr> = addresses.keys().copied().filter(is_current).collect();
        let mut dump = state.dump.borrow().as_deref().cloned();
        for (vip, servers) in read.into_iter().filter(|(vip, _)| is_current(&vip.address)) {
            let Some(in_cache) = cached.actual.vips.get_mut(&vip) else { continue };
            if servers.is_empty() || !in_cache.has_weights_of(&servers) {
                verified.remove(&vip.address);
                if servers.is_empty() && !in_cache.ases.is_empty() {
                    self.spot_checks = SpotChecks::Doubtful(vip);
                }
                self.dump_due = self.dump_due.max(Some(DumpReason::Verify));
                continue;
            }
            if let Some(dumped) = dump.as_mut().and_then(|dump| dump.actual.vips.get_mut(&vip)) {
                dumped.ases = servers.clone();
            }
            in_cache.ases = servers;
        }
        self.unverified.retain(|address, _| !verified.contains(address));
        // Readers wait for a dump that is newer than the last change.
        let is_settled = self.unverified.is_empty() && self.jobs.is_empty();
        let at = is_settled.then(state.clock);
        state.dump.send_replace(dump.map(|dump| LbDump { at: at.unwrap_or(dump.at), ..dump }.into()));
        for address in verified.into_iter().filter(|address| !self.retries.is_waiting(*address)).collect::<Vec<_>>() {
            match self.settling.remove(&address) {
                // Another plan would have nothing to do.
                Some(frontends) if !self.queue.is_waiting(address) => {
                    frontends.iter().for_each(|frontend| state.reports.set(frontend, ProgramResult::Programmed, ""));
                }
                _ => self.queue.enqueue(address),
            }
        }
    }
}
