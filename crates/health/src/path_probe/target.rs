//! The paths of a Frontend: what is probed.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use super::{packet, pair::Pair};
use maglev_model::{
    config::{AdminState, Backend, Check, Frontend, MemberTarget, Standing},
    name::Name,
    path::PathProbe,
    vip::{Family, Protocol, Service},
};

/// `rise` and `fall` of a backend without a HealthCheck: the defaults of HealthChecks.
const THRESHOLDS: (u8, u8) = (2, 3);
/// Length of the TCP header of a packet with data, in bytes.
const TCP_HEADER: u16 = 20;

/// The addresses and settings of one path. The probing starts again if they change; the mode of the probe is not one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathTarget {
    pub backend: IpAddr,
    pub vip: SocketAddr,
    pub interval: Duration,
    packet_size: u16,
    /// From the backend's HealthCheck.
    rise: u8,
    fall: u8,
}

impl PathTarget {
    /// The paths of `frontend` by Backend. Backends that are paused or disabled are not probed.
    pub fn of_frontend(frontend: &Frontend) -> BTreeMap<Name, Self> {
        let (Some(probe), Service::Port { protocol: Protocol::Tcp, port }) =
            (frontend.path_probe, frontend.vip.service)
        else {
            return BTreeMap::new();
        };
        if matches!(frontend.standing, Standing::Withdrawn(_)) {
            return BTreeMap::new();
        }
        let vip = SocketAddr::new(frontend.vip.address, port.get());
        let backends = member_targets(frontend).filter_map(|target| match target {
            MemberTarget::Backend(backend) if backend.admin_state == AdminState::Enabled => Some(backend),
            _ => None,
        });
        backends.map(|backend| (backend.name.clone(), Self::new(backend, vip, probe))).collect()
    }

    /// True only if both versions of a Frontend have the same paths, with the same settings and mode. Compares without
    /// collecting the paths, so that a change of weights costs little.
    pub fn are_same(old: &Frontend, new: &Frontend) -> bool {
        let is_withdrawn = |frontend: &Frontend| matches!(frontend.standing, Standing::Withdrawn(_));
        let settings = |frontend: &Frontend| (frontend.path_probe, frontend.vip, is_withdrawn(frontend));
        settings(old) == settings(new) && member_targets(old).eq(member_targets(new))
    }

    fn new(backend: &Backend, vip: SocketAddr, probe: PathProbe) -> Self {
        let (rise, fall) = match &backend.check {
            Check::Probe(check) => (check.rise, check.fall),
            _ => THRESHOLDS,
        };
        let PathProbe { interval, packet_size, .. } = probe;
        Self { backend: backend.address, vip, interval, packet_size, rise, fall }
    }

    /// The state machine of the path, in state unknown.
    pub fn pair(&self) -> Pair {
        Pair::new(self.packet_size, self.packet_with(0), self.rise, self.fall)
    }

    /// The address family of the backend.
    pub fn family(&self) -> Family {
        Family::from_address(self.backend)
    }

    /// The size of the inner packet with a segment of `mss` bytes.
    pub fn packet_with(&self, mss: u16) -> u16 {
        mss.saturating_add(packet::ip_header(Family::from_address(self.vip.ip())) + TCP_HEADER)
    }
}

fn member_targets(frontend: &Frontend) -> impl Iterator<Item = &MemberTarget> {
    frontend.pools.iter().flat_map(|pool| &pool.members).map(|member| &member.target)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use maglev_model::{
        config::HealthCheck,
        path::PathMode,
        problem::{Problem, Reason},
        vip::Weight,
    };
    use maglev_testkit::objects;

    use super::*;

    #[test]
    fn only_a_change_that_no_path_depends_on_leaves_the_paths_the_same() {
        let backends = [objects::backend("a", "10.0.0.1"), objects::backend("b", "10.0.0.2")];
        let pool = objects::pool("main", &backends.each_ref());
        let probe = PathProbe::default();
        let old =
            Frontend { path_probe: Some(probe), ..objects::frontend("web", objects::vip("203.0.113.1"), vec![pool]) };
        let with = |change: &dyn Fn(&mut Frontend)| {
            let mut new = old.clone();
            change(&mut new);
            new
        };
        let with_backend = |change: &dyn Fn(&mut Backend)| {
            let mut backend = backends[1].clone();
            change(&mut backend);
            with(&|new| new.pools[0].members[1] = objects::member(backend.clone()))
        };

        let other_weight = with(&|new| new.pools[0].members[0].weight = Weight::ZERO);
        assert!(PathTarget::are_same(&old, &other_weight));
        assert!(PathTarget::are_same(&old, &with_backend(&|_| {})), "an equal Backend");
        let is_held = with(&|new| new.standing = Standing::Held(Problem::new(Reason::MixedFamilies, "", "")));
        assert!(PathTarget::are_same(&old, &is_held));

        let require = PathProbe { mode: PathMode::Require, ..probe };
        let slow = PathProbe { interval: probe.interval * 2, ..probe };
        let check = Check::Probe(Arc::new(HealthCheck { fall: 9, ..objects::health_check("check") }));
        let others = [
            with(&|new| new.path_probe = None),
            with(&|new| new.path_probe = Some(require)),
            with(&|new| new.path_probe = Some(slow)),
            with(&|new| new.vip = objects::vip("203.0.113.2")),
            with(&|new| new.standing = Standing::Withdrawn(Problem::new(Reason::Conflicted, "", ""))),
            with(&|new| new.pools[0].members[1].target = MemberTarget::Unreadable { address: None }),
            with(&|new| drop(new.pools[0].members.pop())),
            with_backend(&|backend| backend.address = objects::ip("10.0.0.3")),
            with_backend(&|backend| backend.admin_state = AdminState::Paused),
            with_backend(&|backend| backend.check = check.clone()),
            with_backend(&|backend| backend.name = objects::name("c")),
        ];
        for new in others {
            assert!(!PathTarget::are_same(&old, &new) && !PathTarget::are_same(&new, &old), "{new:?}");
        }
    }
}
