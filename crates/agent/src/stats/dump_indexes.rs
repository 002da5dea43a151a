//! The indexes of VPP's counters, as of the last dump.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use tokio::sync::watch;

use maglev_model::{
    ServerMap,
    actual::{ActualVip, VppVip},
};
use maglev_vpp::lb::LbReading;

/// Indexes and flows from a dump.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DumpIndexes {
    pub vips: Arc<BTreeMap<VppVip, VipIndexes>>,
    /// By address of the application servers; an address that several VIPs share has one entry.
    pub backends: Arc<BTreeMap<IpAddr, BackendIndex>>,
}

/// A VIP in a dump.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VipIndexes {
    /// Index in VPP's pool, and of the VIP's packet counters.
    pub pool_index: Option<u32>,
    /// Entries of the sticky tables by application server.
    pub flows: ServerMap<u32>,
}

/// A backend address in a dump.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackendIndex {
    /// Stats index of the route to the address.
    pub route: Option<u32>,
    /// Number of VIPs that have the application server.
    pub vips: u32,
}

impl From<&LbReading> for DumpIndexes {
    fn from(reading: &LbReading) -> Self {
        let mut backends: BTreeMap<IpAddr, BackendIndex> = BTreeMap::new();
        let vip_indexes = |(vip, state): (&VppVip, &ActualVip)| {
            for address in state.ases.keys() {
                backends.entry(*address).or_default().vips += 1;
            }
            let flows = reading.flows.get(vip).cloned().unwrap_or_default();
            (*vip, VipIndexes { pool_index: state.pool_index, flows })
        };
        let vips = reading.actual.vips.iter().map(vip_indexes).collect();
        for (address, backend) in &mut backends {
            backend.route = reading.routes.get(address).copied();
        }
        Self { vips: Arc::new(vips), backends: Arc::new(backends) }
    }
}

/// Passes the indexes of each dump to the reader's task.
#[derive(Clone, Debug, Default)]
pub struct DumpIndexesSender(Arc<watch::Sender<DumpIndexes>>);

impl DumpIndexesSender {
    /// Takes the indexes from a dump.
    pub fn update(&self, reading: &LbReading) {
        let now = DumpIndexes::from(reading);
        self.0.send_if_modified(|indexes| std::mem::replace(indexes, now) != *indexes);
    }

    pub fn subscribe(&self) -> watch::Receiver<DumpIndexes> {
        self.0.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use maglev_model::actual::{Actual, ActualAs};

    use super::*;

    #[test]
    fn shared_address_has_one_entry_with_the_number_of_its_vips() {
        let shared = IpAddr::from([192, 0, 2, 10]);
        let vip = |port| VppVip { address: [198, 51, 100, 1].into(), length: 32, protocol: 6, port };
        let state = |index| ActualVip {
            encap: None,
            sticky: None,
            table_length: None,
            pool_index: Some(index),
            ases: [(shared, ActualAs { weight: 1, buckets: 1024 })].into(),
        };
        let reading = LbReading {
            actual: Actual { vips: [(vip(80), state(1)), (vip(443), state(2))].into(), weightless: false },
            // The servers of the other VIP could not be parsed, and another address is not in the dump.
            flows: [(vip(443), [(shared, 7)].into())].into(),
            routes: [(shared, 18), ([192, 0, 2, 99].into(), 19)].into(),
        };
        let indexes = DumpIndexes::from(&reading);
        assert_eq!(*indexes.backends, [(shared, BackendIndex { route: Some(18), vips: 2 })].into());
        assert_eq!(indexes.vips[&vip(80)], VipIndexes { pool_index: Some(1), flows: ServerMap::default() });
        assert_eq!(indexes.vips[&vip(443)], VipIndexes { pool_index: Some(2), flows: [(shared, 7)].into() });
    }
}
