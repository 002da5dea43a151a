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
        let members = frontend.pools.iter().flat_map(|pool| &pool.members);
        let backends = members.filter_map(|member| match &member.target {
            MemberTarget::Backend(backend) if backend.admin_state == AdminState::Enabled => Some(backend),
            _ => None,
        });
        backends.map(|backend| (backend.name.clone(), Self::new(backend, vip, probe))).collect()
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
