//! A full pass: every address is planned against a fresh dump.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use tokio::time::Instant;

use super::{CachedVppState, SyncSession};
use crate::{flow_accounting::FinishedSync, state::AgentState, warmup::Gate};
use maglev_model::{
    actual::ActualVip,
    change::Change,
    event::{Event, Scope, SyncCounts},
    vip::VipKey,
};

/// Limit of VIPs listed in one warning.
const NAMED: usize = 5;

type IsUnreported = fn(&ActualVip) -> bool;

/// Properties whose differences only a recreate can repair.
const PROPERTIES: [(&str, IsUnreported); 3] = [
    ("encap", |vip| vip.encap.is_none()),
    ("session-affinity", |vip| vip.sticky.is_none()),
    ("table-length", |vip| vip.table_length.is_none()),
];

/// A pass in progress.
#[derive(Debug)]
pub struct Pass {
    waiting: BTreeSet<IpAddr>,
    running: BTreeSet<IpAddr>,
    started: Instant,
    counts: SyncCounts,
    sent: u32,
    failed: u32,
}

impl Pass {
    /// The next address to plan, in numerical order, IPv4 first.
    pub fn next(&mut self) -> Option<IpAddr> {
        self.waiting.pop_first()
    }

    /// Counts the plan in flight for `address` as part of the pass.
    pub fn record_running(&mut self, address: IpAddr) {
        self.running.insert(address);
    }

    /// True if the plan in flight for `address` is part of the pass.
    pub fn is_running(&self, address: IpAddr) -> bool {
        self.running.contains(&address)
    }

    /// Counts the result of a plan of the pass.
    pub fn record_finished(&mut self, address: IpAddr, counts: SyncCounts, sent: u32, failed: u32) {
        self.running.remove(&address);
        self.counts.add(counts);
        self.sent += sent;
        self.failed += failed;
    }

    fn is_over(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }
}

impl SyncSession {
    /// Begins a pass over every address of a Frontend or of a VIP in VPP.
    pub fn begin_pass(&mut self, state: &mut AgentState, now: Instant) {
        if state.gate(now) == Gate::Closed {
            return;
        }
        let Some(cached) = &self.cached else { return };
        state.events.emit(Event::SyncStart { scope: Scope::All });
        let in_vpp = cached.actual.vips.keys();
        let desired: BTreeSet<IpAddr> = state.inputs.addresses().collect();
        // A NAT VIP without a Frontend, which version 0.1.0 added, is never removed, so it is released and reported.
        let is_kept = |key: &VipKey| cached.actual.vips.get(&(*key).into()).is_some_and(|vip| !vip.is_nat());
        let is_unsettled =
            |key: &VipKey| self.queue.is_in_flight(key.address) || self.unverified.contains_key(&key.address);
        let is_absent = |key: &VipKey| !cached.actual.vips.contains_key(&(*key).into());
        state.release_owned_vips(is_kept, is_absent, is_unsettled);
        for vip in in_vpp.clone().filter(|vip| state.is_foreign(vip)) {
            if self.reported_foreign.insert(*vip) {
                state.events.emit(Event::ForeignVip { vip: *vip });
            }
        }
        state.mass_removals.retain_present(|removal| removal.is_in(&cached.actual));
        let waiting = desired.into_iter().chain(in_vpp.map(|vip| vip.address)).collect();
        self.pass = Some(Pass {
            waiting,
            running: BTreeSet::new(),
            started: now,
            counts: SyncCounts::default(),
            sent: 0,
            failed: 0,
        });
        self.claim_missing(state, now);
        self.garbage.start(now);
        self.next_pass = now + state.sync_interval();
    }

    /// Ends the pass once all its plans have finished.
    pub fn finish_pass(&mut self, state: &mut AgentState, now: Instant) {
        let Some(pass) = self.pass.take_if(|pass| pass.is_over()) else { return };
        let duration = now.duration_since(pass.started);
        state.metrics.done(Scope::All, duration);
        let (counts, failed) = (pass.counts, pass.failed);
        state.flow_accounting.finish_pass(FinishedSync { scope: Scope::All, counts, failed, duration });
        self.synced |= self.has_synced_address(state, &pass);
    }

    /// True if at least one address is in sync after this pass. Absence of errors is not enough: addresses in backoff
    /// are skipped.
    fn has_synced_address(&self, state: &AgentState, pass: &Pass) -> bool {
        let mut desired = state.inputs.addresses().peekable();
        let nothing_to_do = desired.peek().is_none() && pass.failed == 0;
        nothing_to_do || pass.failed < pass.sent || desired.any(|address| !self.retries.is_failing(address))
    }

    /// Publishes VPP's state: as an event with the first dump of a session, later only as a change for mirrors, if the
    /// dump differs from the cached state because another client changed VPP.
    pub fn publish_vpp_state(&self, state: &AgentState, before: Option<&CachedVppState>) {
        let Some(cached) = &self.cached else { return };
        let actual = || Arc::new(cached.actual.clone());
        match before {
            None => state.events.emit(Event::VppLbState { conf: cached.conf, actual: actual() }),
            Some(before) if before.conf != cached.conf || !before.actual.is_equivalent(&cached.actual) => {
                state.events.emit_change(Change::VppState(cached.conf, actual()));
            }
            Some(_) => {}
        }
    }

    /// Warns once per session about properties of owned VIPs that VPP did not report. They count as equal, so a
    /// difference is neither detected nor repaired.
    pub fn warn_unreadable(&mut self, state: &AgentState) {
        let Some(cached) = &self.cached else { return };
        for (property, is_unreported) in PROPERTIES {
            if self.reported_unreadable.contains(property) {
                continue;
            }
            let vips: Vec<String> = cached
                .actual
                .vips
                .iter()
                .filter(|(vip, state_in_vpp)| is_unreported(state_in_vpp) && !state.is_foreign(vip))
                .map(|(vip, _)| vip.to_string())
                .collect();
            if !vips.is_empty() {
                self.reported_unreadable.insert(property);
                let (count, some) = (vips.len(), vips[..vips.len().min(NAMED)].join(", "));
                tracing::warn!(
                    property,
                    count,
                    vips = some,
                    "VPP did not report a property of owned VIPs; it is assumed to be correct"
                );
            }
        }
    }
}
