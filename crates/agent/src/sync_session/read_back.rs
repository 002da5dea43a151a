//! VPP's state as the drains of backends read it.

use std::net::IpAddr;

use super::SyncSession;
use crate::dataplane::ServerFlows;
use maglev_model::actual::{Actual, ActualConf};

/// VPP's state as of the last dump, plus the steps acknowledged and the VIPs read since.
#[derive(Clone, Copy)]
pub struct ReadBack<'a> {
    session: &'a SyncSession,
    pub conf: &'a ActualConf,
    pub actual: &'a Actual,
    /// As of the last dump; absent for servers changed since.
    pub flows: &'a ServerFlows,
    /// Number of the last dump in the session.
    pub number: u64,
    /// The process ID of VPP.
    pub pid: u32,
}

impl SyncSession {
    /// VPP's state; `None` before the first dump. `pid` is VPP's process ID.
    pub fn read_back(&self, pid: u32) -> Option<ReadBack<'_>> {
        let cached = self.cached.as_ref()?;
        let (conf, actual, flows) = (&cached.conf, &cached.actual, &cached.flows);
        Some(ReadBack { session: self, conf, actual, flows, number: cached.number, pid })
    }
}

impl ReadBack<'_> {
    /// True if the VIPs of `address` are as last read: no step was sent since.
    pub fn is_settled(&self, address: IpAddr) -> bool {
        !self.session.unverified.contains_key(&address) && !self.session.queue.is_in_flight(address)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use maglev_model::{
        Name, ServerMap,
        actual::{ActualAs, ActualVip},
        plan::Step,
        vip::{Service, VipKey, Weight},
    };

    use super::*;
    use crate::sync_session::{CachedVppState, spot_check::SpotChecks};

    const VIP: VipKey = VipKey { address: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1)), service: Service::AllPorts };

    fn cached(actual: Actual, flows: ServerFlows) -> CachedVppState {
        let conf = ActualConf {
            ipv4_source: Ipv4Addr::LOCALHOST,
            ipv6_source: Ipv6Addr::LOCALHOST,
            sticky_buckets_per_core: 1024,
            flow_timeout: 40,
        };
        CachedVppState { conf, actual, flows, number: 1 }
    }

    #[test]
    fn flows_of_a_changed_server_are_not_known() {
        let servers = [1, 2].map(|last| IpAddr::from([192, 0, 2, last]));
        let flows = [(VIP.into(), servers.map(|server| (server, 0)).into())].into();
        let mut cached = cached(Actual::default(), flows);
        let backend = Name::namespaced("shop", "web-1");
        let (from, to) = (10, Weight::ZERO);
        cached.apply(&Step::SetWeight { vip: VIP, address: servers[0], backend, from, to, flush: false });
        assert_eq!(cached.flows[&VIP.into()], [(servers[1], 0)].into());
    }

    #[test]
    fn single_vips_are_not_read_again_if_only_a_dump_shows_their_servers() {
        let vip = |ases: ServerMap<ActualAs>| {
            let vip = ActualVip { encap: None, sticky: None, table_length: None, pool_index: None, ases };
            cached(Actual { vips: [(VIP.into(), vip)].into(), weightless: false }, ServerFlows::new())
        };
        let server = (IpAddr::from([192, 0, 2, 1]), ActualAs { weight: 10, buckets: 0 });
        let doubtful = SpotChecks::Doubtful(VIP.into());
        let present = doubtful.after_dump(&vip([server].into()));
        assert_eq!(present, SpotChecks::Impossible);
        assert_eq!(present.after_dump(&vip(ServerMap::default())), SpotChecks::Impossible);
        assert_eq!(doubtful.after_dump(&vip(ServerMap::default())), SpotChecks::Possible, "the servers were removed");
        assert_eq!(doubtful.after_dump(&cached(Actual::default(), ServerFlows::new())), SpotChecks::Possible);
        assert_eq!(SpotChecks::AfterDump.after_dump(&vip(ServerMap::default())), SpotChecks::Possible);
    }
}
