//! Recreates cut flows: one address at a time, each verified before the next, never twice for one
//! reason. What was found out outlives a session, as long as VPP itself lives.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use maglev_model::{desired::Mismatch, vip::VipKey};

#[derive(Debug, Default)]
pub struct Recreates {
    /// The address that is being recreated, until it was read back.
    current: Option<IpAddr>,
    /// Addresses that wait for their turn.
    waiting: BTreeSet<IpAddr>,
    /// What was recreated and not read back equal yet.
    done: BTreeMap<VipKey, Mismatch>,
    /// What still differed after its recreate.
    ineffective: BTreeMap<VipKey, Mismatch>,
}

impl Recreates {
    /// Asks for the turn of `address`; if it is another's, it comes up again later.
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

    /// `vip` was recreated because of `why`; what it is now has to be read.
    pub fn record_finished(&mut self, vip: VipKey, why: Mismatch) {
        self.done.insert(vip, why);
    }

    /// These addresses were read back: the turn is free, and who waited for it is due.
    pub fn verified(&mut self, addresses: &BTreeSet<IpAddr>) {
        if self.current.is_some_and(|address| addresses.contains(&address)) {
            self.current = None;
        }
    }

    /// The next address whose turn it is.
    pub fn next(&mut self) -> Option<IpAddr> {
        if self.current.is_none() { self.waiting.pop_first() } else { None }
    }

    /// What was found when `vip` was compared with a fresh read. True where it was recreated for that
    /// very reason before: doing it again would only cut flows again.
    pub fn is_ineffective(&mut self, vip: VipKey, found: Option<Mismatch>) -> bool {
        let done = self.done.remove(&vip);
        match found {
            None => {
                self.ineffective.remove(&vip);
                false
            }
            Some(why) => {
                if done == Some(why) {
                    self.ineffective.insert(vip, why);
                }
                self.ineffective.get(&vip) == Some(&why)
            }
        }
    }

    /// There is a new session: nothing is under way, and everything is read. Another VPP process may
    /// do better than the last.
    pub fn connected(&mut self, same_process: bool) {
        self.current = None;
        self.waiting.clear();
        if !same_process {
            self.done.clear();
            self.ineffective.clear();
        }
    }

    /// Something about these addresses' Frontends changed.
    pub fn forget(&mut self, addresses: &BTreeSet<IpAddr>) {
        self.done.retain(|vip, _| !addresses.contains(&vip.address));
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
    fn one_address_at_a_time_until_it_was_read_back() {
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
    fn what_still_differs_after_its_recreate_is_left_alone_until_the_spec_changes() {
        let vip = vip("203.0.113.1");
        let mut recreates = Recreates::default();
        assert!(!recreates.is_ineffective(vip, Some(Mismatch::Encap)), "never tried");
        recreates.record_finished(vip, Mismatch::Encap);
        assert!(recreates.is_ineffective(vip, Some(Mismatch::Encap)));
        assert!(recreates.is_ineffective(vip, Some(Mismatch::Encap)), "and stays so");
        assert!(!recreates.is_ineffective(vip, Some(Mismatch::TableLength)), "another reason");
        recreates.forget(&BTreeSet::from([vip.address]));
        assert!(!recreates.is_ineffective(vip, Some(Mismatch::Encap)));
    }

    #[test]
    fn a_new_session_with_the_same_vpp_remembers_and_one_with_another_does_not() {
        let vip = vip("203.0.113.1");
        let mut recreates = Recreates::default();
        assert!(recreates.try_start(vip.address));
        recreates.record_finished(vip, Mismatch::Encap);
        recreates.connected(true);
        assert!(recreates.is_ineffective(vip, Some(Mismatch::Encap)));
        assert!(recreates.try_start(vip.address), "nobody else's turn");
        recreates.connected(false);
        assert!(!recreates.is_ineffective(vip, Some(Mismatch::Encap)));
    }

    #[test]
    fn a_recreate_that_worked_may_be_repeated_when_somebody_meddles_again() {
        let vip = vip("203.0.113.1");
        let mut recreates = Recreates::default();
        recreates.record_finished(vip, Mismatch::Encap);
        assert!(!recreates.is_ineffective(vip, None));
        assert!(!recreates.is_ineffective(vip, Some(Mismatch::Encap)));
    }
}
