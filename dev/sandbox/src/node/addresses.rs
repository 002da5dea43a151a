//! Pod IPs: one loopback address per pod, from the range of its node.

use std::{collections::BTreeSet, net::Ipv4Addr};

use parking_lot::Mutex;

/// The addresses 127.1.N.1 to 127.1.N.254 of the node whose address ends in N.
#[derive(Debug)]
pub struct PodAddresses {
    third: u8,
    taken: Mutex<BTreeSet<u8>>,
}

impl PodAddresses {
    pub const fn for_node(address: Ipv4Addr) -> Self {
        Self { third: address.octets()[3], taken: Mutex::new(BTreeSet::new()) }
    }

    /// Allocates `preferred` if it is in the range and free, else the lowest free address; `None` if all are in use.
    pub fn take(&self, preferred: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
        let mut taken = self.taken.lock();
        let preferred = preferred.and_then(|address| self.last_octet(address)).filter(|last| !taken.contains(last));
        let last = preferred.or_else(|| (1..=254).find(|last| !taken.contains(last)))?;
        taken.insert(last);
        Some(Ipv4Addr::new(127, 1, self.third, last))
    }

    /// Frees an address; ignores addresses outside the range.
    pub fn release(&self, address: Ipv4Addr) {
        if let Some(last) = self.last_octet(address) {
            self.taken.lock().remove(&last);
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
    fn addresses_are_unique_and_reused_after_release() {
        let addresses = PodAddresses::for_node(Ipv4Addr::new(127, 0, 1, 7));
        let (a, b) = (addresses.take(None).unwrap(), addresses.take(None).unwrap());
        assert_eq!((a, b), (Ipv4Addr::new(127, 1, 7, 1), Ipv4Addr::new(127, 1, 7, 2)));
        addresses.release(a);
        addresses.release(Ipv4Addr::new(127, 1, 8, 2));
        assert_eq!(addresses.take(None), Some(a));
        assert_eq!(addresses.take(None), Some(Ipv4Addr::new(127, 1, 7, 3)));
    }

    #[test]
    fn preferred_address_is_used_if_free_and_in_range() {
        let addresses = PodAddresses::for_node(Ipv4Addr::new(127, 0, 1, 7));
        let preferred = Ipv4Addr::new(127, 1, 7, 9);
        assert_eq!(addresses.take(Some(preferred)), Some(preferred));
        assert_eq!(addresses.take(Some(preferred)), Some(Ipv4Addr::new(127, 1, 7, 1)));
        assert_eq!(addresses.take(Some(Ipv4Addr::new(127, 0, 1, 7))), Some(Ipv4Addr::new(127, 1, 7, 2)));
        while addresses.take(None).is_some() {}
        assert_eq!(addresses.take(Some(preferred)), None);
    }
}
