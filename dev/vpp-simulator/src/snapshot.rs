//! What a simulated VPP holds at one moment, for tests to compare with what they expect.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{lb::Lb, vip::VipSettings};
use maglev_model::actual::{ActualConf, VppVip};

/// The whole state of the plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The global settings.
    pub conf: ActualConf,
    /// The VIPs that are not deleted.
    pub vips: BTreeMap<VppVip, VipSnapshot>,
    /// Deleted VIPs that are still in the pool.
    pub deleted_vips: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VipSnapshot {
    /// Its index in VPP's pool.
    pub pool_index: u32,
    /// What it was asked to be.
    pub settings: VipSettings,
    /// Its live application servers.
    pub ases: BTreeMap<IpAddr, AsSnapshot>,
    /// Removed application servers that are not collected yet.
    pub ghosts: BTreeSet<IpAddr>,
}

/// One live application server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AsSnapshot {
    pub weight: u8,
    /// The buckets that point at it.
    pub buckets: u32,
}

impl Snapshot {
    pub(crate) fn of(lb: &mut Lb) -> Self {
        lb.settle();
        let deleted_vips = lb.vips.iter().filter(|(_, vip)| !vip.used).count();
        let live = lb.vips.iter().filter(|(_, vip)| vip.used);
        let vips = live.map(|(index, vip)| (vip.id, VipSnapshot::of(lb, index))).collect();
        Self { conf: lb.conf(), vips, deleted_vips }
    }

    /// The weight of each live application server of `vip`; empty if there is no such VIP.
    pub fn weights(&self, vip: impl Into<VppVip>) -> BTreeMap<IpAddr, u8> {
        let ases = self.vips.get(&vip.into()).into_iter().flat_map(|vip| &vip.ases);
        ases.map(|(&address, server)| (address, server.weight)).collect()
    }
}

impl VipSnapshot {
    fn of(lb: &Lb, index: u32) -> Self {
        let vip = lb.vips.get(index).expect("the index comes from the pool");
        let servers: Vec<_> = vip.servers.iter().filter_map(|(_, &slot)| lb.servers.get(slot)).collect();
        let (live, ghosts): (Vec<_>, Vec<_>) = servers.into_iter().partition(|server| server.used);
        Self {
            pool_index: index,
            settings: vip.settings,
            ases: live
                .into_iter()
                .map(|server| (server.address, AsSnapshot { weight: server.weight, buckets: server.buckets }))
                .collect(),
            ghosts: ghosts.into_iter().map(|server| server.address).collect(),
        }
    }
}
