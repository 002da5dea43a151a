//! Packet forwarding: takes packets to VIPs and returns the packets that VPP sends to the backends.
//!
//! ```text
//!  packet ── packet (checks) ── node (VIP, flow_table, new-flow table, counters) ── encap ── fragment ── emit
//! ```
//!
//! The rules are those of VPP 26.10 (`src/plugins/lb/node.c`, `lbhash.h`, `ip4-input`, `ip4-rewrite`, `ip4-frag`). There are no
//! interfaces: the caller delivers packets and sends the results. Answers of backends do not pass VPP.
//!
//! Differences from VPP: the TTL is that of the `lb` plugin, which `ip4-rewrite` decrements by 1; ICMP errors, which VPP sends
//! for some of the packets that it drops, are not sent; NAT drops all packets.

mod encap;
mod flow_table;
mod fragment;
mod node;
mod packet;

use std::{net::IpAddr, sync::Arc};

use self::{fragment::fragment, node::Decision, packet::Packet};
use super::server::Shared;

pub(crate) use self::{
    flow_table::{FlowTable, TableTime},
    node::{DataPlane, NO_SERVER},
};

/// The result of forwarding one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Sent to this application server.
    Forwarded(IpAddr),
    /// The destination address belongs to no VIP.
    NoVip,
    /// The destination address has VIPs, but none for the protocol and port. VPP counts such packets on index 0.
    NoPort,
    /// The VIP has no application server with a weight above 0.
    NoServer,
    /// Larger than the MTU, and not to be fragmented. VPP counts such packets like those that it sends.
    TooBig,
    /// A VIP with NAT, whose packets the simulator drops. VPP drops those of TCP, too.
    Nat,
    /// Not an IP packet, or one that VPP drops on input: a wrong length or header checksum, a TTL of 0, IPv4
    /// options.
    Malformed,
    /// VPP is stopped or has crashed.
    Down,
}

/// Forwards packets like a running VPP. All forwarders of a VPP share its state, including the sticky table.
#[derive(Clone, Debug)]
pub struct Forwarder {
    shared: Arc<Shared>,
    outer: Vec<u8>,
    fragment: Vec<u8>,
}

impl Forwarder {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, outer: Vec::new(), fragment: Vec::new() }
    }

    /// Forwards `packet`, an IPv4 or IPv6 packet without a link-layer header and with valid checksums, and calls `emit` for each
    /// resulting packet, in order: none, one, or several fragments. Waits at most while VPP handles one request.
    ///
    /// With L3DSR, the checksum of TCP or UDP is that for the application server, as in VPP: a receiver that restores the VIP
    /// as destination must also restore the checksum.
    pub fn forward(&mut self, packet: &[u8], emit: &mut dyn FnMut(&[u8])) -> Verdict {
        let packet = Packet::parse(packet);
        let decision = {
            let mut state = self.shared.state();
            if !state.running {
                return Verdict::Down;
            }
            let Some(packet) = &packet else { return Verdict::Malformed };
            state.vpp.catch_up();
            state.vpp.lb.receive(packet)
        };
        let Some(packet) = &packet else { return Verdict::Malformed };
        match decision {
            Decision::Drop(verdict) => verdict,
            Decision::Send { server, encap } => {
                encap.write(packet, &mut self.outer);
                emit(&self.outer);
                Verdict::Forwarded(server)
            }
            Decision::SendFragments { server, encap, mtu, id } => {
                encap.write(packet, &mut self.outer);
                let sent = fragment(&self.outer, mtu, id, &mut self.fragment, emit);
                if sent { Verdict::Forwarded(server) } else { Verdict::TooBig }
            }
        }
    }
}

#[cfg(test)]
mod tests;
