//! The decision on a packet, and its counters: VPP's FIB and the nodes of the `lb` plugin.

use std::net::IpAddr;

use super::{
    Verdict,
    encap::Encap,
    flow_table::{Flow, TableTime, Tracking},
    packet::Packet,
};
use crate::{
    lb::Lb,
    prefix::Prefix,
    sticky::Sticky,
    vip::{Vip, VipType},
};
use maglev_model::{actual::VppVip, counters::VipPackets};

/// Index of the VIP that VPP uses for packets to a per-port VIP's address without a VIP for the port.
const PLACEHOLDER: u32 = 0;
/// The server in a bucket of the new-flow table without a server.
pub(crate) const NO_SERVER: u32 = 0;
/// MTU below which IPv6 packets are not checked.
const MIN_IPV6_MTU: u16 = 1280;

/// Indexes of a VIP's four counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counter {
    Existing = 0,
    First = 1,
    Untracked = 2,
    NoServer = 3,
}

/// The state of the data plane beside VIPs, servers and flows.
#[derive(Clone, Debug)]
pub(crate) struct DataPlane {
    /// MTU of the interface towards the backends.
    pub mtu: u16,
    /// Identification of the next packet to fragment.
    next_fragment_id: u16,
    /// Counters of the placeholder VIP.
    pub placeholder: [u64; 4],
}

impl DataPlane {
    pub fn new(mtu: u16) -> Self {
        Self { mtu, next_fragment_id: 0, placeholder: [0; 4] }
    }
}

/// The way of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Drop(Verdict),
    Send {
        server: IpAddr,
        encap: Encap,
    },
    /// Larger than the MTU, to be sent in fragments with this identification.
    SendFragments {
        server: IpAddr,
        encap: Encap,
        mtu: u16,
        id: u16,
    },
}

/// A VIP for a packet.
enum Match {
    Vip(u32),
    NoPort,
    NoVip,
}

impl Lb {
    /// Decides on a packet, counts it and tracks its flow.
    pub(crate) fn receive(&mut self, packet: &Packet<'_>) -> Decision {
        let Some((prefix, route)) = self.fib.longest(packet.destination) else { return Decision::Drop(Verdict::NoVip) };
        let (vip, missed) = match self.matching_vip(prefix, packet) {
            Match::Vip(index) => (index, Verdict::NoServer),
            Match::NoPort => (PLACEHOLDER, Verdict::NoPort),
            Match::NoVip => return Decision::Drop(Verdict::NoVip),
        };
        self.fib.count_to_index(route, packet.bytes.len() as u64);
        let hash = packet.hash(self.vips.get(vip).is_some_and(|vip| vip.settings.src_ip_sticky));
        let slot = self.select_server(Flow { hash, vip });
        match (self.servers.get(slot), self.vips.get(vip)) {
            (Some(_), Some(_)) => self.encapsulate(packet, vip, slot),
            _ => Decision::Drop(missed),
        }
    }

    /// The counters of a VIP; `None` for an unknown VIP.
    pub fn packets(&self, vip: VppVip) -> Option<VipPackets> {
        let [existing, first, untracked, no_server] = self.vips.get(self.live_index(vip).ok()?)?.counters.packets;
        Some(VipPackets { existing, first, untracked, no_server })
    }

    fn matching_vip(&self, prefix: Prefix, packet: &Packet<'_>) -> Match {
        let any = VppVip { address: prefix.address(), length: prefix.length(), protocol: 255, port: 0 };
        let port = VppVip { protocol: packet.protocol, port: packet.destination_port(), ..any };
        if packet.destination.is_multicast() {
            return Match::NoVip;
        }
        if let Some(&index) = self.live.get(&port).or_else(|| self.live.get(&any)) {
            return Match::Vip(index);
        }
        let first = VppVip { protocol: 0, port: 0, ..any };
        let last = VppVip { protocol: 255, port: u16::MAX, ..any };
        if self.live.range(first..=last).next().is_some() { Match::NoPort } else { Match::NoVip }
    }

    /// The server of a flow, by its entry in the sticky table, or else by the new-flow table. Counts the packet.
    fn select_server(&mut self, flow: Flow) -> u32 {
        let new = self.new_flow_server(flow);
        let (now, timeout) = (TableTime::new(self.now), self.conf.flow_timeout);
        let Sticky::Tracked(table) = &mut self.sticky else { return NO_SERVER };
        table.allocate(self.conf.sticky_buckets_per_core);
        let (counter, server) = match table.track(flow, new, now, timeout) {
            Tracking::Existing(server) => (Counter::Existing, server),
            Tracking::First if new == NO_SERVER => (Counter::NoServer, new),
            Tracking::First => (Counter::First, new),
            Tracking::Untracked => (Counter::Untracked, new),
        };
        let counters = self.vips.get_mut(flow.vip).map(|vip| &mut vip.counters.packets);
        counters.unwrap_or(&mut self.plane.placeholder)[counter as usize] += 1;
        server
    }

    fn new_flow_server(&mut self, flow: Flow) -> u32 {
        if self.vips.get(flow.vip).is_some_and(|vip| vip.stale || vip.new_flows.is_empty()) {
            self.fill_table(flow.vip);
        }
        let table = self.vips.get(flow.vip).map_or([].as_slice(), |vip| &vip.new_flows);
        table.get(flow.hash as usize & table.len().wrapping_sub(1)).copied().unwrap_or(NO_SERVER)
    }

    fn encapsulate(&mut self, packet: &Packet<'_>, vip: u32, slot: u32) -> Decision {
        let (vip, server) = (self.vips.get(vip), self.servers.get(slot));
        let (vip, server) = (vip.expect("the VIP was found"), server.expect("the server was found"));
        let (address, dpo) = (server.address, server.dpo);
        let Some(encap) = self.encap(vip, address) else { return Decision::Drop(Verdict::Nat) };
        let length = encap.length(packet);
        if length > usize::from(u16::MAX) {
            return Decision::Drop(Verdict::TooBig);
        }
        self.fib.count_via(dpo, 1, length as u64);
        let sent = self.flows.sent.entry(address).or_default();
        (sent.packets, sent.bytes) = (sent.packets + 1, sent.bytes + length as u64);
        self.fit(packet, address, encap, length)
    }

    /// Compares with the MTU of the interface.
    fn fit(&mut self, packet: &Packet<'_>, server: IpAddr, encap: Encap, length: usize) -> Decision {
        let mtu = self.plane.mtu;
        let fits = length <= usize::from(mtu);
        match encap {
            _ if fits => Decision::Send { server, encap },
            Encap::Gre6 { .. } if mtu < MIN_IPV6_MTU => Decision::Send { server, encap },
            Encap::Gre6 { .. } => Decision::Drop(Verdict::TooBig),
            Encap::L3dsr { .. } if packet.dont_fragment => Decision::Drop(Verdict::TooBig),
            Encap::Gre4 { .. } | Encap::L3dsr { .. } => {
                let id = self.plane.next_fragment_id;
                self.plane.next_fragment_id = id.wrapping_add(1);
                Decision::SendFragments { server, encap, mtu, id }
            }
        }
    }

    /// `None` for NAT.
    fn encap(&self, vip: &Vip, server: IpAddr) -> Option<Encap> {
        match (vip.kind, server) {
            (VipType::Ip4L3dsr, IpAddr::V4(destination)) => Some(Encap::L3dsr { destination, dscp: vip.argument() }),
            (VipType::Ip4Gre4 | VipType::Ip6Gre4, IpAddr::V4(destination)) => {
                Some(Encap::Gre4 { source: self.conf.ipv4_source, destination })
            }
            (VipType::Ip4Gre6 | VipType::Ip6Gre6, IpAddr::V6(destination)) => {
                Some(Encap::Gre6 { source: self.conf.ipv6_source, destination })
            }
            _ => None,
        }
    }
}
