//! Effective weights per pool entry, in the order of the spec of the Frontend, for display.

use std::{collections::BTreeSet, net::IpAddr};

use super::{DesiredAs, EffectiveWeights};
use crate::config::{Member, Pool};

/// A backend in a pool, with its effective weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolEntry<'a> {
    /// The pool.
    pub pool: &'a Pool,
    /// The member of the pool.
    pub member: &'a Member,
    /// True if the pool is active.
    pub active: bool,
    /// The desired application server; `None` if there is none, or if another entry determines its weight.
    pub desired: Option<&'a DesiredAs>,
    /// The weight that will be in effect in VPP; `None` if the address of the backend is unreadable or the Frontend is
    /// withdrawn.
    pub effective: Option<u8>,
}

impl EffectiveWeights {
    /// The entries of `pools` in order. `pools` must be the pools that the weights were computed from; `vpp` returns the
    /// weight that VPP reports.
    ///
    /// An address is one application server. Its weight is that of its entry in the active pool, otherwise that of its
    /// first entry; its other entries have weight 0.
    pub fn entries<'a>(&'a self, pools: &'a [Pool], vpp: impl Fn(IpAddr) -> Option<u8>) -> Vec<PoolEntry<'a>> {
        let active = self.active_pool.and_then(|index| pools.get(index)).into_iter().flat_map(|pool| &pool.members);
        let active: BTreeSet<IpAddr> = active.filter_map(|member| member.target.address()).collect();
        let mut assigned = BTreeSet::new();
        let mut entries = Vec::new();
        for (index, pool) in pools.iter().enumerate() {
            let in_active = self.active_pool == Some(index);
            for member in &pool.members {
                let server = member.target.address().and_then(|address| Some((address, self.ases.get(&address)?)));
                let desired =
                    server.filter(|(address, _)| (in_active || !active.contains(address)) && assigned.insert(*address));
                let effective = desired.map_or(0, |(address, desired)| desired.weight.effective(vpp(address)));
                let (desired, effective) = (desired.map(|(_, desired)| desired), server.map(|_| effective));
                entries.push(PoolEntry { pool, member, active: in_active, desired, effective });
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
        config::{AdminState, Backend, Check, MemberTarget, Revision},
        drain::DrainConf,
        health::HealthSnapshot,
        name::Name,
        vip::Weight,
        weights::{BackendCondition, effective_weights_by},
    };

    fn address(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    fn member(last: u8, weight: u8, admin_state: AdminState) -> Member {
        let backend = Name::cluster(&format!("b{last}"));
        let (name, revision) = (backend.clone(), Revision::default());
        let target = Backend {
            name,
            revision,
            address: address(last),
            admin_state,
            pause_cause: None,
            drain: DrainConf::default(),
            check: Check::None,
        };
        let weight = Weight::new(weight).expect("a weight");
        Member { backend, weight, target: MemberTarget::Backend(Arc::new(target)) }
    }

    fn pool(name: &str, members: Vec<Member>) -> Pool {
        Pool { name: name.into(), members: members.into() }
    }

    fn weights(pools: &[Pool], vpp: impl Fn(IpAddr) -> Option<u8> + Copy) -> Vec<Option<u8>> {
        let health = HealthSnapshot::default();
        let condition = |_, member: &Member| BackendCondition::from_snapshot(&member.target, &health);
        let effective = effective_weights_by(pools, condition, vpp);
        effective.entries(pools, vpp).iter().map(|entry| entry.effective).collect()
    }

    #[test]
    fn backend_of_two_pools_has_weight_in_active_pool_only() {
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
    fn kept_weight_counts_once_and_unreadable_address_has_no_weight() {
        let unreadable = |address| Member {
            backend: Name::cluster("odd"),
            weight: Weight::ZERO,
            target: MemberTarget::Unreadable { address },
        };
        let pools = [
            pool("first", vec![unreadable(None), member(1, 3, AdminState::Enabled)]),
            pool("second", vec![unreadable(Some(address(9)))]),
            pool("third", vec![unreadable(Some(address(9)))]),
        ];
        let vpp = |server| (server == address(9)).then_some(40);
        assert_eq!(weights(&pools, vpp), [None, Some(3), Some(40), Some(0)]);
        let withdrawn = EffectiveWeights::default();
        assert!(withdrawn.entries(&pools, vpp).iter().all(|entry| entry.effective.is_none()));
    }
}
