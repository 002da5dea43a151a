//! The state of a simulated VPP at one moment, for comparisons in tests.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{lb::Lb, vip::VipSettings};
use maglev_model::actual::{ActualConf, VppVip};

/// The whole state of the plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    pub conf: ActualConf,
    /// VIPs that are not deleted.
    pub vips: BTreeMap<VppVip, VipSnapshot>,
    /// Deleted VIPs that are still in the pool.
    pub deleted_vips: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VipSnapshot {
    /// Index in VPP's pool.
    pub pool_index: u32,
    pub settings: VipSettings,
    /// Live application servers.
    pub ases: BTreeMap<IpAddr, AsSnapshot>,
    /// Removed application servers that have not been collected.
    pub uncollected_ases: BTreeSet<IpAddr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AsSnapshot {
    pub weight: u8,
    /// Number of buckets.
    pub buckets: u32,
}

impl Snapshot {
    pub(crate) fn new(lb: &mut Lb) -> Self {
        lb.settle();
        let deleted_vips = lb.vips.iter().filter(|(_, vip)| !vip.used).count();
        let live = lb.vips.iter().filter(|(_, vip)| vip.used);
        let vips = live.map(|(index, vip)| (vip.id, VipSnapshot::new(lb, index))).collect();
        Self { conf: lb.conf(), vips, deleted_vips }
    }

    /// The weight of each live application server of `vip`; empty for an unknown VIP.
    pub fn weights(&self, vip: impl Into<VppVip>) -> BTreeMap<IpAddr, u8> {
        let ases = self.vips.get(&vip.into()).into_iter().flat_map(|vip| &vip.ases);
        ases.map(|(&address, server)| (address, server.weight)).collect()
    }
}

impl VipSnapshot {
    fn new(lb: &Lb, index: u32) -> Self {
        let vip = lb.vips.get(index).expect("the index comes from the pool");
        let servers: Vec<_> = vip.servers.iter().filter_map(|(_, &slot)| lb.servers.get(slot)).collect();
        let (live, removed): (Vec<_>, Vec<_>) = servers.into_iter().partition(|server| server.used);
        Self {
            pool_index: index,
            settings: vip.settings,
            ases: live
                .into_iter()
                .map(|server| (server.address, AsSnapshot { weight: server.weight, buckets: server.buckets }))
                .collect(),
            uncollected_ases: removed.into_iter().map(|server| server.address).collect(),
        }
    }
}
