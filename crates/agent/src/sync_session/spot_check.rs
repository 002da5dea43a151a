//! Verification of single VIPs: on a node with many servers, a dump costs far more than the change that it verifies.
//!
//! Only the servers of the written VIPs are read, and only an equal result counts. Any other leaves the decision to a dump.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use futures::{
    FutureExt as _,
    future::{BoxFuture, try_join_all},
};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::{DumpReason, SHARE, SyncSession, Unverified};
use crate::{dataplane::DataplaneError, state::AgentState};
use maglev_model::{
    ServerMap,
    actual::{ActualAs, LbDump, VppVip},
    plan::vips_on_address,
};

/// The servers of VIPs in VPP.
pub type ServersOfVips = Vec<(VppVip, ServerMap<ActualAs>)>;

/// A check whose replies have not been processed.
pub struct SpotCheck {
    pub reply: BoxFuture<'static, Result<ServersOfVips, DataplaneError>>,
    /// The addresses to verify, each with the number of its last step.
    addresses: BTreeMap<IpAddr, u64>,
}

impl SyncSession {
    /// Starts a check of the written addresses. Returns false if they need a dump.
    pub fn start_spot_check(&mut self) -> bool {
        let Some(cached) = self.cached.as_ref().filter(|_| self.selects_vips) else { return false };
        if self.unverified.values().any(|unverified| !unverified.servers_only) {
            return false;
        }
        let settled = self.unverified.iter().filter(|(address, _)| !self.queue.is_in_flight(**address));
        let addresses: BTreeMap<_, _> = settled.map(|(address, unverified)| (*address, unverified.last)).collect();
        let on_address = |address: &IpAddr| cached.actual.vips.range(vips_on_address(*address)).map(|(vip, _)| *vip);
        let vips: Vec<VppVip> = addresses.keys().flat_map(on_address).collect();
        if vips.is_empty() || vips.len() > cached.actual.vips.len() / SHARE {
            return false;
        }
        let read = |vip: &VppVip| Some((*vip, self.dataplane.read_servers(*vip)?));
        let Some(reads) = vips.iter().map(read).collect::<Option<Vec<_>>>() else { return false };
        let read = tokio::spawn(try_join_all(reads.into_iter().map(|(vip, servers)| async move {
            let servers = servers.await?;
            Ok((vip, servers))
        })));
        let read = AbortOnDropHandle::new(read);
        let failed = |error: tokio::task::JoinError| Err(DataplaneError::Unanswered(format!("read: {error}")));
        let reply = async move { read.await.unwrap_or_else(failed) }.boxed();
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
                self.dump_due = self.dump_due.max(Some(DumpReason::Verify));
                return;
            }
        };
        // An address that was written meanwhile is verified later.
        let is_current = |address: &IpAddr| {
            let last = self.unverified.get(address).map(|unverified| unverified.last);
            last.is_some() && last == addresses.get(address).copied() && !self.queue.is_in_flight(*address)
        };
        let mut verified: BTreeSet<IpAddr> = addresses.keys().copied().filter(is_current).collect();
        let mut dump = state.dump.borrow().as_deref().cloned();
        for (vip, servers) in read.into_iter().filter(|(vip, _)| is_current(&vip.address)) {
            let Some(in_cache) = cached.actual.vips.get_mut(&vip) else { continue };
            if !in_cache.has_weights_of(&servers) {
                verified.remove(&vip.address);
                self.selects_vips &= !servers.is_empty();
                self.dump_due = self.dump_due.max(Some(DumpReason::Verify));
                continue;
            }
            // The flows were counted before the change.
            cached.flows.remove(&vip);
            if let Some(dumped) = dump.as_mut().and_then(|dump| dump.actual.vips.get_mut(&vip)) {
                dumped.ases = servers.clone();
            }
            in_cache.ases = servers;
        }
        let at = (state.clock)();
        state.dump.send_replace(dump.map(|dump| LbDump { at, ..dump }.into()));
        self.unverified.retain(|address, _| !verified.contains(address));
        if !self.unverified.is_empty() {
            self.verify_at.get_or_insert(now);
        }
        self.enqueue(verified.into_iter().filter(|address| !self.retries.is_waiting(*address)).collect::<Vec<_>>());
    }
}

impl Unverified {
    /// Adds later steps.
    pub fn merge(before: Option<Self>, later: Self) -> Self {
        Self { servers_only: later.servers_only && before.is_none_or(|before| before.servers_only), ..later }
    }
}
