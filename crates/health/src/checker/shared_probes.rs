//! Backends that one probe stands for: those with the same address and HealthCheck. The source address and the network
//! namespace of probes are the node's, so they are the same, too.
//!
//! One of the backends *leads*: only its loop has a next probe and a probe in flight. Each result counts for all of them.

use std::{collections::HashMap, net::IpAddr};

use maglev_model::{config::Backend, name::Name, probe_mode::ProbeMode};

/// The address and the HealthCheck of a probe.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SharedTarget {
    address: IpAddr,
    check: Name,
}

impl SharedTarget {
    /// The target of the probes of `backend`; `None` if no probe is to be sent.
    pub fn new(backend: &Backend) -> Option<Self> {
        match backend.probe_mode() {
            ProbeMode::Probed(check) => Some(Self { address: backend.address, check: check.name.clone() }),
            _ => None,
        }
    }
}

/// The backends of a target.
#[derive(Debug)]
struct Group {
    leader: Name,
    /// The others.
    followers: Vec<Name>,
}

/// The backends of all targets.
#[derive(Debug, Default)]
pub struct SharedProbes {
    groups: HashMap<SharedTarget, Group>,
}

impl SharedProbes {
    /// Adds a backend. It leads if it is the first one of the target.
    pub fn join(&mut self, target: SharedTarget, name: &Name) {
        if let Some(group) = self.groups.get_mut(&target) {
            group.followers.push(name.clone());
        } else {
            self.groups.insert(target, Group { leader: name.clone(), followers: Vec::new() });
        }
    }

    /// Removes a backend. Returns the backend that leads from now on, if another one led before.
    pub fn leave(&mut self, target: &SharedTarget, name: &Name) -> Option<Name> {
        let group = self.groups.get_mut(target)?;
        if group.leader != *name {
            group.followers.retain(|follower| follower != name);
            return None;
        }
        let Some(next) = group.followers.pop() else {
            self.groups.remove(target);
            return None;
        };
        group.leader = next.clone();
        Some(next)
    }

    /// The backend that leads; `None` if the target has no backend.
    pub fn leader(&self, target: &SharedTarget) -> Option<&Name> {
        Some(&self.groups.get(target)?.leader)
    }

    /// The backends of a target, without the one that leads.
    pub fn followers(&self, target: &SharedTarget) -> &[Name] {
        self.groups.get(target).map_or(&[], |group| &group.followers)
    }

    /// The backends that lead.
    pub fn leaders(&self) -> impl Iterator<Item = &Name> {
        self.groups.values().map(|group| &group.leader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_backend_leads_at_any_time() {
        let target = SharedTarget { address: [192, 0, 2, 1].into(), check: Name::namespaced("shop", "http") };
        let [a, b, c] = ["a", "b", "c"].map(|name| Name::namespaced("shop", name));
        let mut shared = SharedProbes::default();
        assert_eq!(shared.leave(&target, &a), None);
        assert_eq!(shared.leader(&target), None);
        for name in [&a, &b, &c] {
            shared.join(target.clone(), name);
        }
        assert_eq!((shared.leader(&target), shared.followers(&target)), (Some(&a), &[b.clone(), c.clone()][..]));
        assert_eq!(shared.leave(&target, &b), None);
        assert_eq!(shared.leave(&target, &a), Some(c.clone()));
        assert_eq!((shared.leader(&target), shared.followers(&target)), (Some(&c), &[][..]));
        assert_eq!(shared.leave(&target, &c), None);
        assert_eq!(shared.leaders().count(), 0);
    }
}
