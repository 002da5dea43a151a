//! A pass over everything: planned address by address against a fresh dump.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use tokio::time::Instant;

use super::{CachedVppState, SyncSession};
use crate::{conf, state::AgentState, warmup::Gate};
use maglev_model::{
    actual::{ActualConf, ActualVip},
    change::Change,
    event::{Event, Scope, SyncCounts},
    vip::VipKey,
};

/// VIPs that one warning names.
const NAMED: usize = 5;

type Unread = fn(&ActualVip) -> bool;

/// The properties of which only a recreate mends a difference.
const PROPERTIES: [(&str, Unread); 3] = [
    ("encap", |vip| vip.encap.is_none()),
    ("session-affinity", |vip| vip.sticky.is_none()),
    ("table-length", |vip| vip.table_length.is_none()),
];

/// A pass under way.
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
    /// The next address, in numerical order, IPv4 first.
    pub fn next(&mut self) -> Option<IpAddr> {
        self.waiting.pop_first()
    }

    /// A plan for `address` is under way on the pass's account.
    pub fn running(&mut self, address: IpAddr) {
        self.running.insert(address);
    }

    /// Whether a plan for `address` is under way on the pass's account.
    pub fn is_running(&self, address: IpAddr) -> bool {
        self.running.contains(&address)
    }

    /// That plan was answered.
    pub fn ended(&mut self, address: IpAddr, counts: SyncCounts, sent: u32, failed: u32) {
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
    /// Begins a pass over every address that VPP or a Frontend has.
    pub fn begin_pass(&mut self, state: &mut AgentState, now: Instant) {
        if state.gate(now) == Gate::Closed {
            return;
        }
        let Some(cached) = &self.cached else { return };
        state.events.emit(Event::SyncStart { scope: Scope::All });
        let in_vpp = cached.actual.vips.keys();
        let wanted: BTreeSet<IpAddr> = state.inputs.addresses().collect();
        for vip in in_vpp.clone().filter(|vip| state.is_foreign(vip)) {
            if self.reported_foreign.insert(*vip) {
                state.events.emit_change(Event::ForeignVip { vip: *vip }, Change::Foreign(*vip));
            }
        }
        state.mass_removals.retain_present(|removal| removal.is_in(&cached.actual));
        state.prune_owned_vips(|key: &VipKey| cached.actual.vips.contains_key(&(*key).into()));
        let waiting = wanted.into_iter().chain(in_vpp.map(|vip| vip.address)).collect();
        self.pass = Some(Pass {
            waiting,
            running: BTreeSet::new(),
            started: now,
            counts: SyncCounts::default(),
            sent: 0,
            failed: 0,
        });
        self.claim_missing(state, now);
        self.next_pass = now + state.sync_interval();
    }

    /// Ends the pass once all its plans are answered.
    pub fn finish_pass(&mut self, state: &AgentState, now: Instant) {
        let Some(pass) = self.pass.take_if(|pass| pass.is_over()) else { return };
        let duration = now.duration_since(pass.started);
        let event = Event::SyncDone { scope: Scope::All, counts: pass.counts, duration };
        state.metrics.done(Scope::All, duration);
        state.events.emit_change(event, Change::Synced(pass.failed));
        self.synced |= self.has_synced_address(state, &pass);
    }

    /// Whether VPP took something, or had something as it should be. A pass sends nothing for an address that waits for
    /// its retry, so that nothing was refused does not say it.
    fn has_synced_address(&self, state: &AgentState, pass: &Pass) -> bool {
        let mut wanted = state.inputs.addresses().peekable();
        let nothing_to_do = wanted.peek().is_none() && pass.failed == 0;
        nothing_to_do || pass.failed < pass.sent || wanted.any(|address| !self.retries.is_failing(address))
    }

    /// Tells once per session what VPP has, and after that to mirrors when it is not what it was thought to be:
    /// somebody else has changed it.
    pub fn publish_vpp_state(&self, state: &AgentState, before: Option<&CachedVppState>) {
        let Some(cached) = &self.cached else { return };
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let change = || Change::VppState(cached.conf, Arc::new(cached.actual.clone()));
        match before {
            None => state.events.emit_change(
                Event::VppLbState {
                    vips: count(cached.actual.vips.len()),
                    application_servers: count(cached.actual.vips.values().map(|vip| vip.ases.len()).sum()),
                    sticky_buckets_per_core: cached.conf.sticky_buckets_per_core,
                    flow_timeout: cached.conf.flow_timeout,
                },
                change(),
            ),
            Some(before) if before.conf != cached.conf || !before.actual.tells_the_same(&cached.actual) => {
                state.events.change(change());
            }
            Some(_) => {}
        }
    }

    /// Makes VPP's own settings right, if they differ and may be written: pushing the same ones again
    /// could drop every worker's sticky table.
    pub async fn write_conf(&mut self, state: &AgentState, now: Instant) {
        let (Some(cached), Some(node)) = (&mut self.cached, state.inputs.node()) else { return };
        if state.gate(now) == Gate::Closed {
            return;
        }
        self.conf_settled = true;
        let wanted = conf::desired_conf(node, &cached.conf);
        if wanted == cached.conf {
            return;
        }
        match self.dataplane.set_conf(wanted).await {
            Ok(()) => {
                cached.conf = wanted;
                let ActualConf { ipv4_source, ipv6_source, sticky_buckets_per_core, flow_timeout } = wanted;
                let event = Event::VppLbConfSet {
                    ipv4_src: ipv4_source.to_string(),
                    ipv6_src: ipv6_source.to_string(),
                    sticky_buckets_per_core,
                    flow_timeout,
                };
                state.events.emit_change(event, Change::VppConf(wanted));
            }
            Err(error) => state.sync_error(None, "set-conf", &error.to_string()),
        }
    }

    /// Warns of properties that could not be read: they count as equal, so nothing is recreated for
    /// them, and a difference would go unseen.
    pub fn warn_unreadable(&mut self, state: &AgentState) {
        let Some(cached) = &self.cached else { return };
        for (property, unread) in PROPERTIES {
            if self.reported_unreadable.contains(property) {
                continue;
            }
            let vips: Vec<String> = cached
                .actual
                .vips
                .iter()
                .filter(|(vip, of)| unread(of) && !state.is_foreign(vip))
                .map(|(vip, _)| vip.to_string())
                .collect();
            if !vips.is_empty() {
                self.reported_unreadable.insert(property);
                let (count, some) = (vips.len(), vips[..vips.len().min(NAMED)].join(", "));
                tracing::warn!(
                    property,
                    count,
                    vips = some,
                    "VPP did not tell a property of our VIPs: it counts as right"
                );
            }
        }
    }
}
