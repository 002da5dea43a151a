//! The choice of how and when written addresses are verified.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::{SyncSession, pending_dump::DumpReason};
use crate::state::AgentState;
use maglev_model::{
    actual::{Actual, VppVip},
    config::Frontend,
    plan::vips_on_address,
};

/// Delay of the verification after the first step that is not verified.
pub const VERIFY_AFTER: Duration = Duration::from_millis(500);
/// The share of VPP's VIPs, as a divisor, beyond which a change is large: dumps verify it, and rest less.
const SHARE: usize = 8;
/// The number of application servers in VPP from which single VIPs are read: a dump of so many takes some 10 ms of CPU time.
const MANY_SERVERS: usize = 2_000;

/// The steps of an address since it was last read.
#[derive(Clone, Copy, Debug)]
pub struct Unverified {
    /// Number of the last step.
    pub last: u64,
    /// True if they only changed servers of VIPs that VPP already had, and all succeeded.
    pub servers_only: bool,
}

impl Unverified {
    /// Adds later steps.
    pub fn merge(before: Option<Self>, later: Self) -> Self {
        Self { servers_only: later.servers_only && before.is_none_or(|before| before.servers_only), ..later }
    }
}

/// The Frontends of the addresses whose last plan only set weights: they are Programmed, and there is nothing to plan, once VPP is
/// found to have these.
pub type Settling = BTreeMap<IpAddr, Vec<Arc<Frontend>>>;

impl SyncSession {
    /// Verifies the written addresses: with a dump, or with a check of their VIPs if VPP has many others.
    pub fn verify(&mut self, now: Instant) {
        self.verify_at = None;
        // The end of a plan sets the time again.
        if self.unverified.keys().all(|address| self.queue.is_in_flight(*address)) {
            return;
        }
        let next_dump = self.next_verifying_dump(now);
        let is_reading = self.pending_dump.is_some() || self.dump_due.is_some();
        if !is_reading && self.has_many_servers() && self.start_spot_check() {
            return;
        }
        if next_dump == now {
            self.dump_due = self.dump_due.max(Some(DumpReason::Verify));
        } else {
            self.verify_at = Some(if is_reading { now + VERIFY_AFTER } else { next_dump });
        }
    }

    /// The time before which no dump only verifies; `now` if one may start.
    pub fn next_verifying_dump(&self, now: Instant) -> Instant {
        self.last_dump.map_or(now, |dump| (dump.finished + dump.rest(self.is_large_change())).max(now))
    }

    /// True if a dump costs much more than reading a few VIPs. Otherwise a dump is better: it has the tracked flows, too.
    fn has_many_servers(&self) -> bool {
        let servers = |actual: &Actual| actual.vips.values().map(|vip| vip.ases.len()).sum::<usize>();
        self.actual().is_some_and(|actual| servers(actual) >= MANY_SERVERS)
    }

    /// True if a large part of VPP's VIPs is to be verified.
    pub fn is_large_change(&self) -> bool {
        self.exceeds_share(self.vips_on(self.unverified.keys()).count())
    }

    /// True if `vips` are a large part of VPP's VIPs.
    pub fn exceeds_share(&self, vips: usize) -> bool {
        let in_vpp = self.actual().map_or(0, |actual| actual.vips.len());
        vips > (in_vpp / SHARE).max(1)
    }

    /// The VIPs on `addresses` that VPP has.
    pub fn vips_on<'a>(&'a self, addresses: impl Iterator<Item = &'a IpAddr>) -> impl Iterator<Item = VppVip> {
        let vips = self.actual().map(|actual| &actual.vips);
        addresses.flat_map(move |address| {
            vips.into_iter().flat_map(|vips| vips.range(vips_on_address(*address))).map(|(vip, _)| *vip)
        })
    }

    /// Removes and returns the addresses that were written before dump `number` and have no plan in flight.
    pub fn take_verified(&mut self, state: &mut AgentState, number: u64) -> BTreeSet<IpAddr> {
        let (verified, rest) = std::mem::take(&mut self.unverified)
            .into_iter()
            .partition(|(address, written)| written.last < number && !self.queue.is_in_flight(*address));
        self.unverified = rest;
        let verified = BTreeMap::into_keys(verified).collect();
        state.recreates.verified(&verified);
        if let Some(cached) = &self.cached {
            state.release_removed_vips(&verified, &cached.actual);
        }
        verified
    }
}
