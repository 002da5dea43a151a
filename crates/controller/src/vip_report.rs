//! The new-flow table of one VIP in an agent's VPP, as far as it is compared with those of other nodes: a few bytes per
//! application server.

use std::{net::IpAddr, sync::Arc};

use xxhash_rust::xxh64::xxh64;

use maglev_model::{actual::ActualVip, change::VipState, vip::Weight};

/// A VIP in VPP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VipReport {
    /// `None` if VPP did not report it.
    table_length: Option<u16>,
    /// Hashes of addresses, with weights. Ordered by hash.
    servers: Arc<[(u32, u8)]>,
}

impl VipReport {
    fn new(table_length: Option<u16>, servers: impl Iterator<Item = (IpAddr, u8)>) -> Self {
        let mut servers: Vec<_> = servers.map(|(address, weight)| (address_hash(address), weight)).collect();
        servers.sort_unstable();
        Self { table_length, servers: servers.into() }
    }

    /// Number of application servers.
    pub fn servers(&self) -> usize {
        self.servers.len()
    }

    /// The VIP with another weight of one application server; `None` removes it.
    pub fn with_server(&self, address: IpAddr, weight: Option<u8>) -> Self {
        let hash = address_hash(address);
        let mut servers: Vec<_> = self.servers.iter().copied().filter(|(server, _)| *server != hash).collect();
        servers.extend(weight.map(|weight| (hash, weight)));
        servers.sort_unstable();
        Self { table_length: self.table_length, servers: servers.into() }
    }

    /// A hash of the table, by the rule of [`maglev_model::table_fingerprint::TableFingerprint`]: equal for equal tables.
    /// `None` if the length is not known.
    pub fn table(&self) -> Option<u64> {
        let mut serving: Vec<(u32, u8)> = self.servers.iter().copied().filter(|(_, weight)| *weight > 0).collect();
        if let [(_, weight)] = &mut serving[..] {
            *weight = Weight::PRESENT.get();
        }
        let length = self.table_length?.to_be_bytes();
        let servers = serving.into_iter().flat_map(|(server, weight)| {
            let [a, b, c, d] = server.to_be_bytes();
            [a, b, c, d, weight]
        });
        Some(xxh64(&length.into_iter().chain(servers).collect::<Vec<u8>>(), 0))
    }
}

impl From<&VipState> for VipReport {
    fn from(vip: &VipState) -> Self {
        Self::new(vip.table_length, vip.servers.iter().map(|(address, weight)| (*address, *weight)))
    }
}

impl From<&ActualVip> for VipReport {
    fn from(vip: &ActualVip) -> Self {
        Self::new(vip.table_length, vip.ases.iter().map(|(address, server)| (*address, server.weight)))
    }
}

/// A hash of an address; collision-free for IPv4.
pub fn address_hash(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(address) => address.to_bits(),
        IpAddr::V6(address) => xxh64(&address.octets(), 0) as u32,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use maglev_model::table_fingerprint::TableFingerprint;

    fn address(last: u8) -> IpAddr {
        if last.is_multiple_of(2) {
            [192, 0, 2, last].into()
        } else {
            std::net::Ipv6Addr::from_bits(last.into()).into()
        }
    }

    proptest! {
        #[test]
        fn tables_are_equal_exactly_if_fingerprints_are(
            states in prop::collection::vec(
                (prop::option::of(0u16..2), prop::collection::btree_map(0u8..4, 0u8..3, 0..4)), 2..3),
            (changed, weight) in (0u8..4, prop::option::of(0u8..3)),
        ) {
            let mut states: Vec<VipState> = states.into_iter().map(|(table_length, servers)| {
                let servers = servers.into_iter().map(|(last, weight)| (address(last), weight)).collect();
                VipState { table_length, servers, ..VipState::default() }
            }).collect();
            let mut reports: Vec<VipReport> = states.iter().map(VipReport::from).collect();
            let mut servers = states[0].servers.clone();
            match weight {
                Some(weight) => servers.insert(address(changed), weight),
                None => servers.remove(&address(changed)),
            };
            states[0].servers = servers;
            reports[0] = reports[0].with_server(address(changed), weight);
            prop_assert_eq!(&reports[0], &VipReport::from(&states[0]));
            let [one, other] = [0, 1].map(|index| TableFingerprint::new(&states[index]));
            prop_assert_eq!(reports[0].table() == reports[1].table(), one == other);
        }
    }
}
