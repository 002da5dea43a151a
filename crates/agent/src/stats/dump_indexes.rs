//! The indexes of VPP's counters, as of the last dump.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use tokio::sync::watch;

use crate::dataplane::ServerFlows;
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
            let texts = reading.servers.get(vip);
            let flows = state.ases.keys().filter_map(|address| {
                let text = texts.and_then(|texts| texts.get(address)).copied().unwrap_or_default();
                let backend = backends.entry(*address).or_default();
                backend.vips += 1;
                backend.route = backend.route.or(text.dpo);
                Some((*address, text.flows?))
            });
            (*vip, VipIndexes { pool_index: state.pool_index, flows: flows.collect() })
        };
        let vips = reading.actual.vips.iter().map(vip_indexes).collect();
        Self { vips: Arc::new(vips), backends: Arc::new(backends) }
    }
}

/// Passes the indexes of each dump to the reader's task.
#[derive(Clone, Debug, Default)]
pub struct DumpIndexesSender(Arc<watch::Sender<DumpIndexes>>);

impl DumpIndexesSender {
    /// Takes the indexes from a dump. Returns the flows, which share their memory with the indexes.
    pub fn update(&self, reading: &LbReading) -> ServerFlows {
        let now = DumpIndexes::from(reading);
        let flows = now.vips.iter().map(|(vip, indexes)| (*vip, indexes.flows.clone())).collect();
        self.0.send_if_modified(|indexes| std::mem::replace(indexes, now) != *indexes);
        flows
    }

    pub fn subscribe(&self) -> watch::Receiver<DumpIndexes> {
        self.0.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use maglev_model::actual::{Actual, ActualAs};
    use maglev_vpp::lb::ServerText;

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
        let text = |flows, dpo| (shared, ServerText { flows, dpo });
        let reading = LbReading {
            actual: Actual { vips: [(vip(80), state(1)), (vip(443), state(2))].into(), weightless: false },
            // The servers of the other VIP could not be parsed, and another address is not in the dump.
            servers: [(vip(443), [text(Some(7), Some(18)), ([192, 0, 2, 99].into(), ServerText::default())].into())]
                .into(),
        };
        let indexes = DumpIndexes::from(&reading);
        assert_eq!(*indexes.backends, [(shared, BackendIndex { route: Some(18), vips: 2 })].into());
        assert_eq!(indexes.vips[&vip(80)], VipIndexes { pool_index: Some(1), flows: ServerMap::default() });
        assert_eq!(indexes.vips[&vip(443)], VipIndexes { pool_index: Some(2), flows: [(shared, 7)].into() });
    }
}
