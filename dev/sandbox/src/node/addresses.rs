//! Pod IPs: an address per pod, from a range of its node: a loopback address, or one in a network namespace.

use std::{collections::BTreeSet, net::Ipv4Addr, sync::Arc};

use parking_lot::Mutex;

use crate::packets::{PacketsError, PodLink, PodNetwork};

/// The addresses from .1 to .254 of the node whose address ends in N, such as 127.1.N.1 to 127.1.N.254.
#[derive(Debug)]
pub struct PodAddresses {
    /// The first two bytes and N.
    network: [u8; 3],
    taken: Mutex<BTreeSet<u8>>,
}

impl PodAddresses {
    /// The addresses that begin with `prefix`.
    pub const fn for_node(prefix: [u8; 2], address: Ipv4Addr) -> Self {
        let network = [prefix[0], prefix[1], address.octets()[3]];
        Self { network, taken: Mutex::new(BTreeSet::new()) }
    }

    /// Allocates `preferred` if it is in the range and free, else the lowest free address; `None` if all are in use.
    pub fn take(&self, preferred: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
        let mut taken = self.taken.lock();
        let preferred = preferred.and_then(|address| self.last_octet(address)).filter(|last| !taken.contains(last));
        let last = preferred.or_else(|| (1..=254).find(|last| !taken.contains(last)))?;
        taken.insert(last);
        let [a, b, third] = self.network;
        Some(Ipv4Addr::new(a, b, third, last))
    }

    /// Frees an address; ignores addresses outside the range.
    pub fn release(&self, address: Ipv4Addr) {
        if let Some(last) = self.last_octet(address) {
            self.taken.lock().remove(&last);
        }
    }

    fn last_octet(&self, address: Ipv4Addr) -> Option<u8> {
        let [a, b, third, last] = address.octets();
        ([a, b, third] == self.network && (1..=254).contains(&last)).then_some(last)
    }
}

/// The network namespaces of a node's pods, with addresses 10.244.N.1 to 10.244.N.254. The API server refuses loopback
/// addresses in EndpointSlices, so only these pods can be endpoints of a Service.
pub struct PodNamespaces {
    addresses: PodAddresses,
    network: Arc<PodNetwork>,
}

impl PodNamespaces {
    pub const fn for_node(network: Arc<PodNetwork>, address: Ipv4Addr) -> Self {
        Self { addresses: PodAddresses::for_node([10, 244], address), network }
    }

    /// Creates a namespace with the address `preferred` if that is free, else with another one; `None` if all are in use.
    ///
    /// # Errors
    /// The namespace cannot be created.
    pub async fn attach(&self, preferred: Option<Ipv4Addr>) -> Result<Option<(Ipv4Addr, PodLink)>, PacketsError> {
        let Some(address) = self.addresses.take(preferred) else { return Ok(None) };
        match self.network.attach(address).await {
            Ok(link) => Ok(Some((address, link))),
            Err(error) => {
                self.addresses.release(address);
                Err(error)
            }
        }
    }

    /// Removes the namespace of a pod without processes.
    pub async fn detach(&self, address: Ipv4Addr, link: PodLink) {
        link.detach().await;
        self.addresses.release(address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_unique_and_reused_after_release() {
        let addresses = PodAddresses::for_node([127, 1], Ipv4Addr::new(127, 0, 1, 7));
        let (a, b) = (addresses.take(None).unwrap(), addresses.take(None).unwrap());
        assert_eq!((a, b), (Ipv4Addr::new(127, 1, 7, 1), Ipv4Addr::new(127, 1, 7, 2)));
        addresses.release(a);
        addresses.release(Ipv4Addr::new(127, 1, 8, 2));
        assert_eq!(addresses.take(None), Some(a));
        assert_eq!(addresses.take(None), Some(Ipv4Addr::new(127, 1, 7, 3)));
    }

    #[test]
    fn preferred_address_is_used_if_free_and_in_range() {
        let addresses = PodAddresses::for_node([127, 1], Ipv4Addr::new(127, 0, 1, 7));
        let preferred = Ipv4Addr::new(127, 1, 7, 9);
        assert_eq!(addresses.take(Some(preferred)), Some(preferred));
        assert_eq!(addresses.take(Some(preferred)), Some(Ipv4Addr::new(127, 1, 7, 1)));
        assert_eq!(addresses.take(Some(Ipv4Addr::new(127, 0, 1, 7))), Some(Ipv4Addr::new(127, 1, 7, 2)));
        while addresses.take(None).is_some() {}
        assert_eq!(addresses.take(Some(preferred)), None);
    }
}
