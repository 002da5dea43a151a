//! A pass over everything: planned address by address against a fresh dump.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use tokio::time::Instant;

use super::{Connection, Picture};
use crate::{brain::Brain, conf, warmup::Gate};
use maglev_model::{
    actual::ActualConf,
    change::Change,
    event::{Event, Scope, SyncCounts},
    vip::VipKey,
};

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

impl Connection {
    /// Begins a pass over every address that VPP or a Frontend has.
    pub fn begin_pass(&mut self, brain: &mut Brain, now: Instant) {
        if brain.gate(now) == Gate::Closed {
            return;
        }
        let Some(picture) = &self.picture else { return };
        brain.events.emit(Event::SyncStart { scope: Scope::All });
        let in_vpp = picture.actual.vips.keys();
        let wanted: BTreeSet<IpAddr> = brain.world.addresses().collect();
        for vip in in_vpp.clone().filter(|vip| brain.is_foreign(vip)) {
            if self.foreign_told.insert(*vip) {
                brain.events.emit_change(Event::ForeignVip { vip: *vip }, Change::Foreign(*vip));
            }
        }
        brain.removals.read(|removal| removal.is_in(&picture.actual));
        brain.prune_ours(|key: &VipKey| picture.actual.vips.contains_key(&(*key).into()));
        let waiting = wanted.into_iter().chain(in_vpp.map(|vip| vip.address)).collect();
        self.pass = Some(Pass {
            waiting,
            running: BTreeSet::new(),
            started: now,
            counts: SyncCounts::default(),
            sent: 0,
            failed: 0,
        });
        self.claim_missing(brain, now);
        self.next_pass = now + brain.sync_interval();
    }

    /// Ends the pass once all its plans are answered.
    pub fn finish_pass(&mut self, brain: &Brain, now: Instant) {
        let Some(pass) = self.pass.take_if(|pass| pass.is_over()) else { return };
        let duration = now.duration_since(pass.started);
        let event = Event::SyncDone { scope: Scope::All, counts: pass.counts, duration };
        brain.metrics.done(Scope::All, duration);
        brain.events.emit_change(event, Change::Synced(pass.failed));
        self.synced |= self.takes_something(brain, &pass);
    }

    /// Whether VPP took something, or had something as it should be. A pass sends nothing for an address that waits for
    /// its retry, so that nothing was refused does not say it.
    fn takes_something(&self, brain: &Brain, pass: &Pass) -> bool {
        let mut wanted = brain.world.addresses().peekable();
        let nothing_to_do = wanted.peek().is_none() && pass.failed == 0;
        nothing_to_do || pass.failed < pass.sent || wanted.any(|address| !self.retries.is_failing(address))
    }

    /// Tells once per session what VPP has, and after that to mirrors when it is not what it was thought to be:
    /// somebody else has changed it.
    pub fn tell_state(&self, brain: &Brain, before: Option<&Picture>) {
        let Some(picture) = &self.picture else { return };
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let change = || Change::VppState(picture.conf, Arc::new(picture.actual.clone()));
        match before {
            None => brain.events.emit_change(
                Event::VppLbState {
                    vips: count(picture.actual.vips.len()),
                    application_servers: count(picture.actual.vips.values().map(|vip| vip.ases.len()).sum()),
                    sticky_buckets_per_core: picture.conf.sticky_buckets_per_core,
                    flow_timeout: picture.conf.flow_timeout,
                },
                change(),
            ),
            Some(before) if before.conf != picture.conf || !before.actual.tells_the_same(&picture.actual) => {
                brain.events.change(change());
            }
            Some(_) => {}
        }
    }

    /// Makes VPP's own settings right, if they differ and may be written: pushing the same ones again
    /// could drop every worker's sticky table.
    pub async fn push_conf(&mut self, brain: &Brain, now: Instant) {
        let (Some(picture), Some(node)) = (&mut self.picture, brain.world.node()) else { return };
        if brain.gate(now) == Gate::Closed {
            return;
        }
        self.conf_settled = true;
        let wanted = conf::wanted(node, &picture.conf);
        if wanted == picture.conf {
            return;
        }
        match self.dataplane.set_conf(wanted).await {
            Ok(()) => {
                picture.conf = wanted;
                let ActualConf { ipv4_source, ipv6_source, sticky_buckets_per_core, flow_timeout } = wanted;
                let event = Event::VppLbConfSet {
                    ipv4_src: ipv4_source.to_string(),
                    ipv6_src: ipv6_source.to_string(),
                    sticky_buckets_per_core,
                    flow_timeout,
                };
                brain.events.emit_change(event, Change::VppConf(wanted));
            }
            Err(error) => brain.sync_error(None, "set-conf", &error.to_string()),
        }
    }
}
