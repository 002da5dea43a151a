//! A backend in VPP: the VIPs that carry it, its weights, flows and counter.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    losses::Signs,
    tracker::{PacketCounter, ServerReading, VipWeight},
};
use crate::{inputs::Inputs, stats::Publication, sync_session::ReadBack};
use maglev_model::{
    actual::{ActualConf, VppVip},
    config::{Backend, Standing},
    counters::StatsSnapshot,
    drain::BitRate,
    flushes::Flushes,
    vip::VipKey,
};

/// The VIPs that carry a backend.
#[derive(Debug, Default)]
pub struct VipsOfBackend {
    /// The VIPs of its Frontends, and those that have its address without any Frontend naming it.
    vips: BTreeSet<VppVip>,
    /// True if the address is also that of another Backend in another VIP.
    is_shared: bool,
    /// Numbers of the configuration and of the dump that the VIPs were computed from.
    version: Option<(u64, u64)>,
}

impl VipsOfBackend {
    /// Finds the VIPs again if the configuration or VPP's state is newer.
    pub fn update(&mut self, backend: &Backend, inputs: &Inputs, vpp: &ReadBack<'_>, configs: u64) {
        let version = Some((configs, vpp.number));
        if std::mem::replace(&mut self.version, version) == version {
            return;
        }
        self.vips = inputs.vips_of_backend(&backend.name).map(VppVip::from).collect();
        self.is_shared = false;
        for (vip, state) in &vpp.actual.vips {
            if !state.ases.contains_key(&backend.address) || self.vips.contains(vip) {
                continue;
            }
            if vip.key().is_some_and(|key| is_named(inputs, key, backend.address)) {
                self.is_shared = true;
            } else {
                // VPP keeps the server, for example because its removal is held.
                self.vips.insert(*vip);
            }
        }
    }

    /// The VIPs that a Frontend can claim.
    pub fn keys(&self) -> impl Iterator<Item = VipKey> {
        self.vips.iter().filter_map(VppVip::key)
    }

    pub fn read(&self, address: IpAddr, vpp: &ReadBack<'_>, counted: &Counted, flushes: &Flushes) -> ServerReading {
        let is_present = |vip: &&VppVip| vpp.actual.weight(vip, address).is_some();
        let present: Vec<&VppVip> = self.vips.iter().filter(is_present).collect();
        let flows = |vip: &VppVip| vpp.flows.get(vip)?.get(&address).copied();
        let is_flushed = |vip: &VppVip| vip.key().is_some_and(|key| flushes.is_flushed(key, address));
        ServerReading {
            vips: self.vips.iter().map(|vip| weight(*vip, address, vpp)).collect(),
            flows: present.iter().try_fold(0_u32, |sum, vip| Some(sum.saturating_add(flows(vip)?))),
            flushed: !present.is_empty() && present.iter().all(|vip| is_flushed(vip)),
            counter: counted.counter(address),
            flow_timeout: flow_timeout(vpp.conf),
            is_shared: self.is_shared,
        }
    }

    /// The state of VPP in which a loss of flows shows.
    pub fn signs(&self, vpp: &ReadBack<'_>, counted: &Counted) -> Signs {
        let untracked = self.vips.iter().try_fold(0_u64, |sum, vip| Some(sum.saturating_add(counted.untracked(vip)?)));
        Signs { pid: vpp.pid, sticky_buckets: vpp.conf.sticky_buckets_per_core, untracked }
    }
}

fn weight(vip: VppVip, address: IpAddr, vpp: &ReadBack<'_>) -> VipWeight {
    let weight = vpp.actual.weight(&vip, address).unwrap_or(0);
    VipWeight { vip, weight, is_settled: vpp.is_settled(vip.address) }
}

fn flow_timeout(conf: &ActualConf) -> Option<Duration> {
    (conf.flow_timeout != ActualConf::UNKNOWN).then(|| Duration::from_secs(conf.flow_timeout.into()))
}

/// True if a Frontend of `vip` names a Backend with `address`.
fn is_named(inputs: &Inputs, vip: VipKey, address: IpAddr) -> bool {
    let mut members = inputs
        .claimants(&vip)
        .filter(|frontend| !matches!(frontend.standing, Standing::Withdrawn(_)))
        .flat_map(|frontend| frontend.pools.iter().flat_map(|pool| &pool.members));
    members.any(|member| member.target.address() == Some(address))
}

/// The last reading of VPP's counters, and its age.
#[derive(Debug, Default)]
pub struct Counted {
    snapshot: Publication,
    /// Time of the last update.
    updated: Option<Instant>,
    /// The snapshot was not there at this time, so its counters were read after it.
    read_after: Option<Instant>,
}

impl Counted {
    /// Takes the latest snapshot.
    pub fn update(&mut self, now: Instant, latest: &Publication) {
        let same = |a: &Arc<StatsSnapshot>, b: &Arc<StatsSnapshot>| Arc::ptr_eq(a, b);
        let is_same = match (&self.snapshot, latest) {
            (Some(before), Some(latest)) => same(before, latest),
            (before, latest) => before.is_none() && latest.is_none(),
        };
        if !is_same {
            self.snapshot.clone_from(latest);
            self.read_after = self.updated;
        }
        self.updated = Some(now);
    }

    /// The counter of the route to `address`; `None` while it cannot be read.
    pub fn counter(&self, address: IpAddr) -> Option<PacketCounter> {
        let packets = self.snapshot.as_ref()?.counters.as_ref()?.backends.get(&address)?.packets;
        Some(PacketCounter { packets, read_after: self.read_after })
    }

    /// Packets of untracked flows to `vip`; `None` while the counter cannot be read.
    fn untracked(&self, vip: &VppVip) -> Option<u64> {
        Some(self.snapshot.as_ref()?.counters.as_ref()?.vips.get(vip)?.packets?.untracked)
    }

    /// The rate of the traffic to `address`, with two significant digits; `None` if it is not known.
    pub fn bits_per_second(&self, address: IpAddr) -> Option<u64> {
        let counters = self.snapshot.as_ref()?.counters.as_ref()?;
        let recent = counters.backends.get(&address)?.recent;
        let bits = counters.per_second(recent.bytes.saturating_mul(8))?;
        Some(BitRate(bits as u64).rounded().0)
    }
}
