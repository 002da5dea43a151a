//! The names of the Backends of application servers, for events about servers that no Frontend references any more.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use maglev_model::{Name, vip::VipKey};

/// The names by VIP and address.
#[derive(Debug, Default)]
pub struct BackendNames {
    /// Sorted by address. There are as many as application servers in VPP, so they are stored without gaps.
    vips: HashMap<VipKey, Box<[(IpAddr, Name)]>>,
}

impl BackendNames {
    /// The name of the Backend with `address` in `vip`; `None` if it was never known.
    pub fn get(&self, vip: VipKey, address: IpAddr) -> Option<&Name> {
        let names = self.vips.get(&vip)?;
        let index = names.binary_search_by_key(&address, |(address, _)| *address).ok()?;
        Some(&names[index].1)
    }

    /// Adds the names of `servers` to those of `vip`.
    pub fn extend<'n>(&mut self, vip: VipKey, servers: impl Iterator<Item = (IpAddr, &'n Name)> + Clone) {
        if servers.clone().all(|(address, name)| self.get(vip, address) == Some(name)) {
            return;
        }
        let mut names: BTreeMap<IpAddr, Name> = self.vips.remove(&vip).into_iter().flatten().collect();
        names.extend(servers.map(|(address, name)| (address, name.clone())));
        self.vips.insert(vip, names.into_iter().collect());
    }

    /// Forgets one name.
    pub fn remove(&mut self, vip: VipKey, address: IpAddr) {
        let names = self.vips.remove(&vip).into_iter().flatten();
        let left: Box<[_]> = names.filter(|(other, _)| *other != address).collect();
        if !left.is_empty() {
            self.vips.insert(vip, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use maglev_model::vip::Service;

    use super::*;

    const VIP: VipKey =
        VipKey { address: IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 1)), service: Service::AllPorts };

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    fn name(text: &str) -> Name {
        Name::namespaced("shop", text)
    }

    #[test]
    fn names_are_kept_until_they_are_removed() {
        let mut names = BackendNames::default();
        let [a, b, c] = ["a", "b", "c"].map(name);
        names.extend(VIP, [(address(1), &a), (address(3), &b)].into_iter());
        names.extend(VIP, [(address(2), &c), (address(3), &c)].into_iter());
        let all: Vec<_> = (1..=4).map(|last| names.get(VIP, address(last)).cloned()).collect();
        assert_eq!(all, [Some(a), Some(c.clone()), Some(c), None]);
        names.extend(VIP, std::iter::empty());
        for last in 1..=4 {
            names.remove(VIP, address(last));
            assert_eq!(names.get(VIP, address(last)), None);
        }
        assert!(names.vips.is_empty());
    }
}
