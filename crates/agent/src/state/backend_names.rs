//! The names of the Backends of application servers, for events about servers that no Frontend references any more.

use std::{collections::HashMap, net::IpAddr};

use maglev_model::{Name, ServerMap, vip::VipKey};

/// The names by VIP and address.
#[derive(Debug, Default)]
pub struct BackendNames {
    vips: HashMap<VipKey, ServerMap<Name>>,
    /// The names of the last VIP. The next one often has the same, and shares their memory.
    last: ServerMap<Name>,
}

impl BackendNames {
    /// The name of the Backend with `address` in `vip`; `None` if it was never known.
    pub fn get(&self, vip: VipKey, address: IpAddr) -> Option<&Name> {
        self.vips.get(&vip)?.get(&address)
    }

    /// Adds the names of `servers` to those of `vip`.
    pub fn extend<'n>(&mut self, vip: VipKey, servers: impl Iterator<Item = (IpAddr, &'n Name)> + Clone) {
        if self.has_all(vip, servers.clone()) {
            return;
        }
        let before = self.vips.get(&vip).into_iter().flatten().map(|(address, name)| (*address, name.clone()));
        let names = before.chain(servers.map(|(address, name)| (address, name.clone()))).collect();
        if self.last != names {
            self.last = names;
        }
        self.vips.insert(vip, self.last.clone());
    }

    fn has_all<'n>(&self, vip: VipKey, mut servers: impl Iterator<Item = (IpAddr, &'n Name)>) -> bool {
        let stored = self.vips.get(&vip).map(ServerMap::get_in_order);
        servers.all(|(address, name)| stored.as_ref().and_then(|stored| stored(&address)) == Some(name))
    }

    /// Forgets one name.
    pub fn remove(&mut self, vip: VipKey, address: IpAddr) {
        let Some(names) = self.vips.get_mut(&vip) else { return };
        names.remove(&address);
        if names.is_empty() {
            self.vips.remove(&vip);
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
