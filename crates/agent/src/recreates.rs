//! Recreates of VIPs. A recreate drops flows, so one address at a time is recreated, each is verified before the next,
//! and a VIP is never recreated twice for the same mismatch. Results are kept across sessions, for the lifetime of the
//! VPP process.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use maglev_model::{desired::Mismatch, vip::VipKey};

#[derive(Debug, Default)]
pub struct Recreates {
    /// The address being recreated, until it is verified.
    current: Option<IpAddr>,
    /// Addresses waiting to be recreated.
    waiting: BTreeSet<IpAddr>,
    /// Recreated VIPs that are not verified yet.
    unverified: BTreeMap<VipKey, Mismatch>,
    /// VIPs whose mismatch persisted after their recreate.
    ineffective: BTreeMap<VipKey, Mismatch>,
}

impl Recreates {
    /// Returns true if `address` may be recreated now; else queues it.
    pub fn try_start(&mut self, address: IpAddr) -> bool {
        let free = self.current.is_none();
        if free {
            self.current = Some(address);
            self.waiting.remove(&address);
        } else {
            self.waiting.insert(address);
        }
        free
    }

    /// Records that `vip` was recreated to repair `mismatch`; the next dump verifies it.
    pub fn record_finished(&mut self, vip: VipKey, mismatch: Mismatch) {
        self.unverified.insert(vip, mismatch);
    }

    /// Records that these addresses were verified, which allows the next recreate.
    pub fn verified(&mut self, addresses: &BTreeSet<IpAddr>) {
        if self.current.is_some_and(|address| addresses.contains(&address)) {
            self.current = None;
        }
    }

    /// Removes and returns the next queued address, if no recreate is in progress.
    pub fn next(&mut self) -> Option<IpAddr> {
        if self.current.is_none() { self.waiting.pop_first() } else { None }
    }

    /// Records the comparison of `vip` with a fresh dump. Returns true if `vip` was already recreated for the same
    /// mismatch: recreating it again would only drop flows again.
    pub fn is_ineffective(&mut self, vip: VipKey, mismatch: Option<Mismatch>) -> bool {
        let done = self.unverified.remove(&vip);
        match mismatch {
            None => {
                self.ineffective.remove(&vip);
                false
            }
            Some(mismatch) => {
                if done == Some(mismatch) {
                    self.ineffective.insert(vip, mismatch);
                }
                self.ineffective.get(&vip) == Some(&mismatch)
            }
        }
    }

    /// Records a new session: no recreate is in progress. Another VPP process may succeed where the previous one
    /// failed.
    pub fn connected(&mut self, same_process: bool) {
        self.current = None;
        self.waiting.clear();
        if !same_process {
            self.unverified.clear();
            self.ineffective.clear();
        }
    }

    /// Forgets the results for addresses whose Frontends have changed.
    pub fn forget(&mut self, addresses: &BTreeSet<IpAddr>) {
        self.unverified.retain(|vip, _| !addresses.contains(&vip.address));
        self.ineffective.retain(|vip, _| !addresses.contains(&vip.address));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use maglev_model::vip::Service;

    fn vip(address: &str) -> VipKey {
        VipKey { address: address.parse().unwrap(), service: Service::AllPorts }
    }

    #[test]
    fn one_address_is_recreated_at_a_time_until_verified() {
        let (a, b) = (vip("203.0.113.1").address, vip("203.0.113.2").address);
        let mut recreates = Recreates::default();
        assert!(recreates.try_start(a));
        assert!(!recreates.try_start(b));
        assert_eq!(recreates.next(), None);
        recreates.verified(&BTreeSet::from([a]));
        assert_eq!(recreates.next(), Some(b));
        assert!(recreates.try_start(b));
    }

    #[test]
    fn ineffective_recreate_is_not_repeated_until_the_spec_changes() {
        let vip = vip("203.0.113.1");
        let mut recreates = Recreates::default();
        assert!(!recreates.is_ineffective(vip, Some(Mismatch::Encap)), "not recreated yet");
        recreates.record_finished(vip, Mismatch::Encap);
        assert!(recreates.is_ineffective(vip, Some(Mismatch::Encap)));
        assert!(recreates.is_ineffective(vip, Some(Mismatch::Encap)), "and stays so");
        assert!(!recreates.is_ineffective(vip, Some(Mismatch::TableLength)), "another reason");
        recreates.forget(&BTreeSet::from([vip.address]));
        assert!(!recreates.is_ineffective(vip, Some(Mismatch::Encap)));
    }

    #[test]
    fn results_survive_a_reconnect_but_not_a_vpp_restart() {
        let vip = vip("203.0.113.1");
        let mut recreates = Recreates::default();
        assert!(recreates.try_start(vip.address));
        recreates.record_finished(vip, Mismatch::Encap);
        recreates.connected(true);
        assert!(recreates.is_ineffective(vip, Some(Mismatch::Encap)));
        assert!(recreates.try_start(vip.address), "no recreate is in progress");
        recreates.connected(false);
        assert!(!recreates.is_ineffective(vip, Some(Mismatch::Encap)));
    }

    #[test]
    fn effective_recreate_may_be_repeated_after_new_drift() {
        let vip = vip("203.0.113.1");
        let mut recreates = Recreates::default();
        recreates.record_finished(vip, Mismatch::Encap);
        assert!(!recreates.is_ineffective(vip, None));
        assert!(!recreates.is_ineffective(vip, Some(Mismatch::Encap)));
    }
}
