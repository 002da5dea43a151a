//! Effective weights entry by entry, as people see them: pool by pool, as the Frontend lists them.

use std::{collections::BTreeSet, net::IpAddr};

use super::{Effective, WantAs};
use crate::config::{Member, Pool};

/// A pool's entry for one backend, and what comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The pool.
    pub pool: &'a Pool,
    /// The entry.
    pub member: &'a Member,
    /// The pool is the active one.
    pub active: bool,
    /// What is wanted of VPP for it; `None` where nothing is, or another entry decides.
    pub want: Option<&'a WantAs>,
    /// The weight in effect once VPP follows; `None` where the backend's address is not known, and of a withdrawn
    /// Frontend.
    pub effective: Option<u8>,
}

impl Effective {
    /// The entries of `pools`, from which this was decided, in their order; `vpp` tells VPP's weights.
    ///
    /// One address is one application server: its weight is that of its entry in the active pool, or else of its
    /// first entry. Its other entries have 0.
    pub fn entries<'a>(&'a self, pools: &'a [Pool], vpp: impl Fn(IpAddr) -> Option<u8>) -> Vec<Entry<'a>> {
        let active = self.active_pool.and_then(|index| pools.get(index)).into_iter().flat_map(|pool| &pool.members);
        let active: BTreeSet<IpAddr> = active.filter_map(|member| member.target.address()).collect();
        let mut decided = BTreeSet::new();
        let mut entries = Vec::new();
        for (index, pool) in pools.iter().enumerate() {
            let in_active = self.active_pool == Some(index);
            for member in &pool.members {
                let known = member.target.address().and_then(|address| Some((address, self.ases.get(&address)?)));
                let want =
                    known.filter(|(address, _)| (in_active || !active.contains(address)) && decided.insert(*address));
                let effective = want.map_or(0, |(address, want)| want.weight.effective(vpp(address)));
                let (want, effective) = (want.map(|(_, want)| want), known.map(|_| effective));
                entries.push(Entry { pool, member, active: in_active, want, effective });
            }
        }
        entries
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        config::{AdminState, Backend, Check, Revision, Target},
        health::HealthSnapshot,
        name::Name,
        vip::Weight,
        weights::effective,
    };

    fn address(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    fn member(last: u8, weight: u8, admin_state: AdminState) -> Member {
        let backend = Name::cluster(&format!("b{last}"));
        let (name, revision) = (backend.clone(), Revision::default());
        let target = Backend { name, revision, address: address(last), admin_state, check: Check::None };
        let weight = Weight::new(weight).expect("a weight");
        Member { backend, weight, target: Target::Backend(Arc::new(target)) }
    }

    fn pool(name: &str, members: Vec<Member>) -> Pool {
        Pool { name: name.into(), members }
    }

    fn weights(pools: &[Pool], vpp: impl Fn(IpAddr) -> Option<u8> + Copy) -> Vec<Option<u8>> {
        let effective = effective(pools, &HealthSnapshot::default(), vpp);
        effective.entries(pools, vpp).iter().map(|entry| entry.effective).collect()
    }

    #[test]
    fn a_backend_of_two_pools_has_its_weight_in_the_active_one_only() {
        let up = |last, weight| member(last, weight, AdminState::Enabled);
        let standby = [pool("first", vec![up(1, 10), up(2, 20)]), pool("second", vec![up(2, 5), up(3, 7)])];
        assert_eq!(weights(&standby, |_| None), [Some(10), Some(20), Some(0), Some(0)]);

        let paused = [
            pool("first", vec![member(1, 10, AdminState::Paused), up(2, 0)]),
            pool("second", vec![up(2, 5), member(1, 9, AdminState::Paused)]),
        ];
        assert_eq!(weights(&paused, |_| None), [Some(0), Some(0), Some(5), Some(0)]);
    }

    #[test]
    fn a_kept_weight_counts_once_and_an_unknown_address_has_none() {
        let unreadable = |address| Member {
            backend: Name::cluster("odd"),
            weight: Weight::ZERO,
            target: Target::Unreadable { address },
        };
        let pools = [
            pool("first", vec![unreadable(None), member(1, 3, AdminState::Enabled)]),
            pool("second", vec![unreadable(Some(address(9)))]),
            pool("third", vec![unreadable(Some(address(9)))]),
        ];
        let vpp = |of| (of == address(9)).then_some(40);
        assert_eq!(weights(&pools, vpp), [None, Some(3), Some(40), Some(0)]);
        let withdrawn = Effective::default();
        assert!(withdrawn.entries(&pools, vpp).iter().all(|entry| entry.effective.is_none()));
    }
}
