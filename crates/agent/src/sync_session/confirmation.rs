//! Confirmation of recreates. A recreate drops flows, so it is not based on one dump: VPP's CLI text can be cut, and a dump
//! can be wrong, or older than a VIP of another client that excludes the new one.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use maglev_model::{desired::Mismatch, vip::VipKey};

/// VIPs to be recreated, each with the number of the dump that showed the mismatch first.
#[derive(Debug, Default)]
pub struct Confirmations(BTreeMap<VipKey, (Mismatch, u64)>);

impl Confirmations {
    /// Records the recreates that the plan of `address` has after the dump `number`. Returns those that no later dump has
    /// confirmed.
    pub fn unconfirmed(
        &mut self,
        address: IpAddr,
        recreates: &BTreeMap<VipKey, Mismatch>,
        number: u64,
    ) -> BTreeSet<VipKey> {
        self.0.retain(|key, (mismatch, _)| key.address != address || recreates.get(key) == Some(mismatch));
        let first = |(key, mismatch): (&VipKey, &Mismatch)| {
            let (_, first) = self.0.entry(*key).or_insert((*mismatch, number));
            (*first == number).then_some(*key)
        };
        recreates.iter().filter_map(first).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use maglev_model::vip::Service;

    #[test]
    fn mismatch_is_confirmed_by_a_later_dump_that_shows_it_too() {
        let address: IpAddr = "203.0.113.1".parse().unwrap();
        let key = VipKey { address, service: Service::AllPorts };
        let other = VipKey { address: "203.0.113.2".parse().unwrap(), ..key };
        let mut confirmations = Confirmations::default();
        let mut unconfirmed = |key: VipKey, mismatch: Option<Mismatch>, number| {
            let recreates = mismatch.map(|mismatch| (key, mismatch)).into_iter().collect();
            !confirmations.unconfirmed(key.address, &recreates, number).is_empty()
        };
        assert!(unconfirmed(key, Some(Mismatch::Affinity), 1));
        assert!(unconfirmed(key, Some(Mismatch::Affinity), 1), "planned again after the same dump");
        assert!(!unconfirmed(other, None, 2), "another address");
        assert!(!unconfirmed(key, Some(Mismatch::Affinity), 2));
        assert!(unconfirmed(key, Some(Mismatch::Encap), 2), "another mismatch");
        assert!(!unconfirmed(key, None, 3), "the dump was wrong");
        assert!(unconfirmed(key, Some(Mismatch::Encap), 4));
        assert!(!unconfirmed(key, Some(Mismatch::Encap), 5));
    }
}
