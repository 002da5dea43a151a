//! Effective weights entry by entry, as people see them: pool by pool, as the Frontend lists them.

use std::{collections::BTreeSet, net::IpAddr};

use super::Effective;
use crate::model::config::{Member, Pool};

/// A pool's entry for one backend, and what comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The pool.
    pub pool: &'a Pool,
    /// The entry.
    pub member: &'a Member,
    /// The weight in effect once VPP follows; `None` where the backend's address is not known.
    pub effective: Option<u8>,
}

impl Effective {
    /// The entries of `pools`, from which this was decided, in their order; `vpp` tells VPP's weights.
    ///
    /// One address is one application server: its weight is that of its entry in the active pool, or else of its
    /// first entry. Its other entries have 0.
    pub fn entries<'a>(&self, pools: &'a [Pool], vpp: impl Fn(IpAddr) -> Option<u8>) -> Vec<Entry<'a>> {
        let active = self.active_pool.and_then(|index| pools.get(index)).into_iter().flat_map(|pool| &pool.members);
        let active: BTreeSet<IpAddr> = active.filter_map(|member| member.target.address()).collect();
        let mut decided = BTreeSet::new();
        let mut entries = Vec::new();
        for (index, pool) in pools.iter().enumerate() {
            for member in &pool.members {
                let effective = member.target.address().map(|address| {
                    let decides = self.active_pool == Some(index) || !active.contains(&address);
                    let of = self.ases.get(&address).filter(|_| decides && decided.insert(address));
                    of.map_or(0, |of| of.weight.effective(vpp(address)))
                });
                entries.push(Entry { pool, member, effective });
            }
        }
        entries
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{
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
    }
}
