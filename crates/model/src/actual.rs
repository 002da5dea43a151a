//! The load-balancer state of VPP, as reported by its dumps. The values are not validated.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    num::NonZeroU16,
};

use jiff::Timestamp;

use super::{
    plan::vips_on_address,
    server_map::ServerMap,
    value::Value,
    vip::{Encap, Family, Protocol, Service, VipKey},
};

/// The identity of a VIP in VPP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VppVip {
    /// The address of the prefix.
    pub address: IpAddr,
    /// The length of the prefix; 32 or 128 for a host.
    pub length: u8,
    /// The IP protocol; 255 for all protocols.
    pub protocol: u8,
    /// The port; 0 for all ports (with protocol 255).
    pub port: u16,
}

impl VppVip {
    /// The key of the VIP if a Frontend can claim it: a host prefix with either all ports, or one port of TCP or UDP.
    /// `None` for any other VIP, which is foreign.
    pub fn key(&self) -> Option<VipKey> {
        if !self.is_host() {
            return None;
        }
        let service = match (self.protocol, NonZeroU16::new(self.port)) {
            (255, None) => Service::AllPorts,
            (6, Some(port)) => Service::Port { protocol: Protocol::Tcp, port },
            (17, Some(port)) => Service::Port { protocol: Protocol::Udp, port },
            _ => return None,
        };
        Some(VipKey { address: self.address, service })
    }

    /// True if the prefix is a host address.
    pub fn is_host(&self) -> bool {
        self.length == if self.address.is_ipv4() { 32 } else { 128 }
    }

    /// The protocol in events: `tcp`, `udp`, `any`, or the number of another protocol.
    pub fn protocol_text(&self) -> Value<'static> {
        match self.protocol {
            6 => "tcp".into(),
            17 => "udp".into(),
            255 => "any".into(),
            other => other.into(),
        }
    }
}

impl From<VipKey> for VppVip {
    fn from(key: VipKey) -> Self {
        let (protocol, port) = match key.service {
            Service::AllPorts => (255, 0),
            Service::Port { protocol, port } => (protocol.number(), port.get()),
        };
        let length = if key.address.is_ipv4() { 32 } else { 128 };
        Self { address: key.address, length, protocol, port }
    }
}

impl fmt::Display for VppVip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} {} {}", self.address, self.length, self.protocol_text(), self.port)
    }
}

/// The encapsulation of a VIP as dumped (VPP `lb_encap_type` and its parameter).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ActualEncap {
    /// The type: 0 GRE4, 1 GRE6, 2 L3DSR, 3 NAT4, 4 NAT6.
    pub kind: u32,
    /// The DSCP code point; used by L3DSR only.
    pub dscp: u8,
    /// The port on the backends in host byte order; used by NAT only. 0 if VPP did not report it.
    pub target_port: u16,
}

impl ActualEncap {
    /// The spelling in events, which is that of VPP's CLI; `unknown` for an unknown type.
    pub fn as_str(self) -> &'static str {
        match self.kind {
            0 => "gre4",
            1 => "gre6",
            2 => "l3dsr",
            3 => "nat4",
            4 => "nat6",
            _ => "unknown",
        }
    }

    /// True for NAT, which no Frontend can have.
    ///
    /// A VIP with NAT is never changed, not even removed. VPP keeps one translation per server address and target port for
    /// all VIPs, frees it with the first removed server that used it, and aborts at the next one. A dump does not show
    /// which translations were freed, so no removal is known to be safe.
    pub fn is_nat(self) -> bool {
        matches!(self.kind, 3 | 4)
    }
}

/// A VIP in VPP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActualVip {
    /// Encapsulation; `None` if it could not be read.
    pub encap: Option<ActualEncap>,
    /// Session affinity by client address (`src_ip_sticky`); `None` if it could not be read (only the CLI text has it).
    pub sticky: Option<bool>,
    /// Number of buckets in the new-flow table; `None` if it could not be read.
    pub table_length: Option<u16>,
    /// Index in VPP's VIP pool, which is also the index of the packet counters; `None` if it could not be read.
    pub pool_index: Option<u32>,
    /// Live application servers by address. Removed application servers, which VPP keeps for a while, are left out.
    pub ases: ServerMap<ActualAs>,
}

impl ActualVip {
    /// True if VPP reported NAT as the encapsulation; see [`ActualEncap::is_nat`].
    pub fn is_nat(&self) -> bool {
        self.encap.is_some_and(ActualEncap::is_nat)
    }

    /// True if `servers` are those of the VIP, with the same weights. Bucket counts may differ.
    pub fn has_weights_of(&self, servers: &ServerMap<ActualAs>) -> bool {
        let weights = |(address, server): (&IpAddr, &ActualAs)| (*address, server.weight);
        self.ases.iter().map(weights).eq(servers.iter().map(weights))
    }
}

/// A live application server of a VIP in VPP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActualAs {
    /// The weight, any byte. [`Weight::PRESENT`](super::vip::Weight::PRESENT) if VPP has no weights.
    pub weight: u8,
    /// Number of buckets of the new-flow table that point at the application server.
    pub buckets: u32,
}

/// The load-balancer state of VPP: the last dump, updated with each step that VPP has acknowledged since.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actual {
    /// The VIPs by identity.
    pub vips: BTreeMap<VppVip, ActualVip>,
    /// True if this VPP has no weights (releases up to 26.06). A present application server then has
    /// [`Weight::PRESENT`](super::vip::Weight::PRESENT), and an absent one counts as weight 0.
    pub weightless: bool,
}

impl Actual {
    /// True if a host VIP on `address` has NAT. VPP accepts no other encapsulation on the address then.
    pub fn has_nat_vip(&self, address: IpAddr) -> bool {
        let mut on_address = self.vips.range(vips_on_address(address));
        on_address.any(|(vip, state)| vip.is_host() && state.is_nat())
    }

    /// The weight of an application server; `None` if VPP does not have the VIP or the application server. Without
    /// weights, an absent application server of an existing VIP has weight 0.
    pub fn weight(&self, vip: &VppVip, address: IpAddr) -> Option<u8> {
        self.weights(*vip)(address)
    }

    /// [`Self::weight`] as a function of the address, for many application servers of one VIP. Fastest in the order of their
    /// addresses.
    pub fn weights(&self, vip: VppVip) -> impl Fn(IpAddr) -> Option<u8> {
        let server = self.vips.get(&vip).map(|vip| vip.ases.get_in_order());
        move |address| server.as_ref()?(&address).map(|server| server.weight).or(self.weightless.then_some(0))
    }

    /// True if both states are equal except for bucket counts and pool indexes, which VPP changes by itself.
    pub fn is_equivalent(&self, other: &Self) -> bool {
        let same_vip = |((key_a, a), (key_b, b)): ((&VppVip, &ActualVip), (&VppVip, &ActualVip))| {
            (key_a, a.encap, a.sticky, a.table_length) == (key_b, b.encap, b.sticky, b.table_length)
                && a.has_weights_of(&b.ases)
        };
        (self.weightless, self.vips.len()) == (other.weightless, other.vips.len())
            && self.vips.iter().zip(&other.vips).all(same_vip)
    }
}

/// The global settings of VPP's lb plugin (`lb_conf_get`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActualConf {
    /// Source address of IPv4 encapsulation; all ones if unset.
    pub ipv4_source: Ipv4Addr,
    /// Source address of IPv6 encapsulation; all ones if unset.
    pub ipv6_source: Ipv6Addr,
    /// Number of buckets in the sticky table of each worker; [`Self::UNKNOWN`] if VPP does not report it.
    pub sticky_buckets_per_core: u32,
    /// Idle time in seconds after which a flow is forgotten; [`Self::UNKNOWN`] if VPP does not report it.
    pub flow_timeout: u32,
}

impl ActualConf {
    /// A number that VPP does not report (releases up to 26.06). In a request, VPP takes it as "do not change".
    pub const UNKNOWN: u32 = u32::MAX;

    /// The IPv4 source address; `None` if unset.
    pub fn ipv4(&self) -> Option<Ipv4Addr> {
        (self.ipv4_source != Ipv4Addr::BROADCAST).then_some(self.ipv4_source)
    }

    /// The IPv6 source address; `None` if unset.
    pub fn ipv6(&self) -> Option<Ipv6Addr> {
        (self.ipv6_source != Ipv6Addr::from_bits(u128::MAX)).then_some(self.ipv6_source)
    }

    /// True if VPP has the source address that `encap` requires: GRE needs one of the backends' address family.
    pub fn has_source(&self, encap: Encap) -> bool {
        match (encap, encap.backend_family()) {
            (Encap::L3dsr(_), _) => true,
            (_, Family::V4) => self.ipv4().is_some(),
            (_, Family::V6) => self.ipv6().is_some(),
        }
    }
}

/// VPP's load-balancer state as read: the last complete dump, with the servers of VIPs that were read since. Includes the bucket
/// counts, which acknowledged steps do not update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LbDump {
    /// Time of the dump, or of a later reading of all VIPs that were changed since.
    pub at: Timestamp,
    /// The global settings.
    pub conf: ActualConf,
    /// The VIPs and their application servers.
    pub actual: Actual,
}
