//! A VPP in memory, and packets to its VIPs.

mod counters;
mod encapsulation;
mod flows;
mod hostile;
mod input;
mod lifetime;
mod packet_size;
mod shares;

use std::{net::IpAddr, time::Duration};

use etherparse::PacketBuilder;
use maglev_model::actual::{ActualConf, VppVip};

use super::*;
use crate::{Prefix, Simulator, SimulatorOptions, VipSettings, vip::identity};

pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const VIP: [u8; 4] = [203, 0, 113, 10];
pub(super) const VIP6: &str = "2001:db8:1::10";
pub(super) const SOURCE4: [u8; 4] = [192, 0, 2, 1];
pub(super) const SOURCE6: &str = "2001:db8::1";

pub(super) struct Vpp {
    pub simulator: Simulator,
    forwarder: Forwarder,
}

impl Vpp {
    pub fn new() -> Self {
        Self::with(SimulatorOptions::new("unused"))
    }

    pub fn with(options: SimulatorOptions) -> Self {
        let simulator = Simulator::in_memory(options);
        let forwarder = simulator.forwarder();
        let vpp = Self { simulator, forwarder };
        vpp.set_conf(|conf| {
            conf.ipv4_source = SOURCE4.into();
            conf.ipv6_source = SOURCE6.parse().unwrap();
        });
        vpp
    }

    /// A GRE4 VIP for TCP port 80 with servers 192.0.2.10, 192.0.2.11, … of these weights.
    pub fn serving(weights: &[u8]) -> (Self, VppVip) {
        let vpp = Self::new();
        let vip = vpp.add_vip(VIP, TCP, 80, VipSettings::default());
        for (number, weight) in (0..).zip(weights) {
            vpp.add_as(vip, server(number), *weight);
        }
        (vpp, vip)
    }

    pub fn set_conf(&self, change: impl FnOnce(&mut ActualConf)) {
        self.simulator.edit(|lb| {
            let mut conf = lb.conf();
            change(&mut conf);
            lb.set_conf(conf).unwrap();
        });
    }

    pub fn add_vip(&self, address: impl Into<IpAddr>, protocol: u8, port: u16, settings: VipSettings) -> VppVip {
        let prefix = Prefix::host(address.into());
        self.simulator.edit(|lb| lb.add_vip(prefix, protocol, port, settings)).unwrap();
        identity(prefix, protocol, port)
    }

    pub fn add_as(&self, vip: VppVip, server: IpAddr, weight: u8) {
        self.simulator.edit(|lb| lb.add_as(vip, server, weight)).unwrap();
    }

    pub fn set_weight(&self, vip: VppVip, server: IpAddr, weight: u8) {
        self.simulator.edit(|lb| lb.set_weight(vip, server, weight)).unwrap();
    }

    pub fn flush(&self, vip: VppVip, server: IpAddr) {
        self.simulator.edit(|lb| lb.flush(vip, server));
    }

    pub fn flows(&self, vip: VppVip, server: IpAddr) -> Option<u64> {
        self.simulator.edit(|lb| lb.sticky_flows(vip, server))
    }

    /// Packets by kind: existing, first, untracked, no server.
    pub fn packets(&self, vip: VppVip) -> [u64; 4] {
        let packets = self.simulator.packets(vip).unwrap();
        [packets.existing, packets.first, packets.untracked, packets.no_server]
    }

    pub fn advance(&self, seconds: u64) {
        self.simulator.advance(Duration::from_secs(seconds));
    }

    /// The verdict on a packet, and the packets sent.
    pub fn forward(&mut self, packet: &[u8]) -> (Verdict, Vec<Vec<u8>>) {
        let mut sent = Vec::new();
        let verdict = self.forwarder.forward(packet, &mut |packet| sent.push(packet.to_vec()));
        assert_eq!(matches!(verdict, Verdict::Forwarded(_)), !sent.is_empty(), "{verdict:?}");
        (verdict, sent)
    }

    pub fn verdict(&mut self, packet: &[u8]) -> Verdict {
        self.forward(packet).0
    }

    /// The server of a packet that is forwarded.
    pub fn server(&mut self, packet: &[u8]) -> IpAddr {
        match self.verdict(packet) {
            Verdict::Forwarded(server) => server,
            other => panic!("{other:?}"),
        }
    }
}

pub(super) fn server(number: u8) -> IpAddr {
    [192, 0, 2, 10 + number].into()
}

pub(super) fn server6(number: u16) -> IpAddr {
    [0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10 + number].into()
}

/// A TCP packet of flow `number` to port 80 of the VIP.
pub(super) fn flow(number: u32) -> Vec<u8> {
    let [a, b, c, d] = number.to_be_bytes();
    tcp4([198, 18, a, b], u16::from_be_bytes([c, d]), VIP, 80)
}

pub(super) fn tcp4(source: [u8; 4], source_port: u16, destination: [u8; 4], port: u16) -> Vec<u8> {
    let builder = PacketBuilder::ipv4(source, destination, 64).tcp(source_port, port, 1, 1024);
    let mut packet = Vec::new();
    builder.write(&mut packet, b"hello").unwrap();
    packet
}

pub(super) fn udp4(source: [u8; 4], source_port: u16, destination: [u8; 4], port: u16, length: usize) -> Vec<u8> {
    let mut packet = Vec::new();
    let payload: Vec<u8> = (0..length).map(|byte| byte as u8).collect();
    PacketBuilder::ipv4(source, destination, 64).udp(source_port, port).write(&mut packet, &payload).unwrap();
    packet
}

pub(super) fn udp6(source: &str, source_port: u16, destination: &str, port: u16, length: usize) -> Vec<u8> {
    let address = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets();
    let payload: Vec<u8> = (0..length).map(|byte| byte as u8).collect();
    let builder = PacketBuilder::ipv6(address(source), address(destination), 64).udp(source_port, port);
    let mut packet = Vec::new();
    builder.write(&mut packet, &payload).unwrap();
    packet
}

pub(super) fn ping4(source: [u8; 4], destination: [u8; 4]) -> Vec<u8> {
    let mut packet = Vec::new();
    PacketBuilder::ipv4(source, destination, 64).icmpv4_echo_request(7, 1).write(&mut packet, &[1, 2, 3]).unwrap();
    packet
}

/// Replaces bytes of an IPv4 packet, and its header checksum.
pub(super) fn edit4(mut packet: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    packet[at..at + bytes.len()].copy_from_slice(bytes);
    packet[10..12].fill(0);
    let sum = etherparse::checksum::Sum16BitWords::new().add_slice(&packet[..20]).ones_complement();
    packet[10..12].copy_from_slice(&sum.to_ne_bytes());
    packet
}
