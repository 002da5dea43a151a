//! Values by network, found by an address within it.

use std::{collections::BTreeMap, collections::HashMap, net::IpAddr};

use ipnet::IpNet;

/// Values by network. A lookup costs one hash per length of prefix that occurs, not per network.
#[derive(Clone, Debug, PartialEq)]
pub struct PrefixMap<T> {
    by_length: BTreeMap<(bool, u8), HashMap<IpAddr, Vec<T>>>,
}

impl<T> Default for PrefixMap<T> {
    fn default() -> Self {
        Self { by_length: BTreeMap::new() }
    }
}

impl<T> PrefixMap<T> {
    /// Adds a value for all addresses of `network`.
    pub fn add(&mut self, network: IpNet, value: T) {
        let lengths = self.by_length.entry((network.addr().is_ipv6(), network.prefix_len())).or_default();
        lengths.entry(network.network()).or_default().push(value);
    }

    /// The values of all networks that contain `address`, shortest prefix first.
    pub fn covering(&self, address: IpAddr) -> impl Iterator<Item = &T> {
        let family = address.is_ipv6();
        self.by_length.range((family, 0)..=(family, 128)).flat_map(move |((_, length), networks)| {
            let network = IpNet::new(address, *length).ok().and_then(|network| networks.get(&network.network()));
            network.into_iter().flatten()
        })
    }

    /// The values for exactly this address.
    pub fn exactly(&self, address: IpAddr) -> impl Iterator<Item = &T> {
        let host = IpNet::from(address);
        let networks = self.by_length.get(&(address.is_ipv6(), host.prefix_len()));
        networks.and_then(|networks| networks.get(&address)).into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_of_every_length_are_found() {
        let mut map = PrefixMap::default();
        let networks = ["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "::/0", "2001:db8::/32"];
        networks.iter().for_each(|network| map.add(network.parse().unwrap(), *network));
        let covering = |address: &str| map.covering(address.parse().unwrap()).copied().collect::<Vec<_>>();
        assert_eq!(covering("10.1.2.3"), ["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32"]);
        assert_eq!(covering("10.2.0.0"), ["0.0.0.0/0", "10.0.0.0/8"]);
        assert_eq!(covering("2001:db8::1"), ["::/0", "2001:db8::/32"]);
        assert_eq!(covering("::a01:203"), ["::/0"]);
        let exactly = |address: &str| map.exactly(address.parse().unwrap()).copied().collect::<Vec<_>>();
        assert_eq!(exactly("10.1.2.3"), ["10.1.2.3/32"]);
        assert_eq!(exactly("10.1.2.4"), [""; 0]);
    }
}
