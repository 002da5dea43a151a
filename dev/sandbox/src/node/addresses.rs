//! Pod IPs: loopback addresses, one per pod, from a range of the node's own.

use std::{
    collections::BTreeSet,
    net::Ipv4Addr,
    sync::{Mutex, PoisonError},
};

/// The addresses 127.1.N.1 to 127.1.N.254 of the node whose own address ends in N.
#[derive(Debug)]
pub struct PodAddresses {
    third: u8,
    taken: Mutex<BTreeSet<u8>>,
}

impl PodAddresses {
    /// The range that belongs to the node's address.
    pub const fn of_node(address: Ipv4Addr) -> Self {
        Self { third: address.octets()[3], taken: Mutex::new(BTreeSet::new()) }
    }

    /// Takes `preferred` if it is in the range and free, else the lowest free address; `None` when all are taken.
    pub fn take(&self, preferred: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = preferred.and_then(|address| self.last_octet(address)).filter(|last| !taken.contains(last));
        let last = wanted.or_else(|| (1..=254).find(|last| !taken.contains(last)))?;
        taken.insert(last);
        Some(Ipv4Addr::new(127, 1, self.third, last))
    }

    /// Gives an address back; one outside the range is ignored.
    pub fn release(&self, address: Ipv4Addr) {
        if let Some(last) = self.last_octet(address) {
            self.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(&last);
        }
    }

    fn last_octet(&self, address: Ipv4Addr) -> Option<u8> {
        let [a, b, third, last] = address.octets();
        ([a, b, third] == [127, 1, self.third] && (1..=254).contains(&last)).then_some(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_get_different_addresses_of_their_nodes_range_and_released_ones_come_back() {
        let addresses = PodAddresses::of_node(Ipv4Addr::new(127, 0, 1, 7));
        let (a, b) = (addresses.take(None).unwrap(), addresses.take(None).unwrap());
        assert_eq!((a, b), (Ipv4Addr::new(127, 1, 7, 1), Ipv4Addr::new(127, 1, 7, 2)));
        addresses.release(a);
        addresses.release(Ipv4Addr::new(127, 1, 8, 2));
        assert_eq!(addresses.take(None), Some(a));
        assert_eq!(addresses.take(None), Some(Ipv4Addr::new(127, 1, 7, 3)));
    }

    #[test]
    fn a_preferred_address_is_given_when_it_is_free_and_ours() {
        let addresses = PodAddresses::of_node(Ipv4Addr::new(127, 0, 1, 7));
        let wanted = Ipv4Addr::new(127, 1, 7, 9);
        assert_eq!(addresses.take(Some(wanted)), Some(wanted));
        assert_eq!(addresses.take(Some(wanted)), Some(Ipv4Addr::new(127, 1, 7, 1)));
        assert_eq!(addresses.take(Some(Ipv4Addr::new(127, 0, 1, 7))), Some(Ipv4Addr::new(127, 1, 7, 2)));
        while addresses.take(None).is_some() {}
        assert_eq!(addresses.take(Some(wanted)), None);
    }
}
