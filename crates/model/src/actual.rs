//! What VPP has, as its own dumps report it: numbers unchecked, because nobody promised them.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    num::NonZeroU16,
};

use jiff::Timestamp;

use super::{
    event::Value,
    vip::{Protocol, Service, VipKey},
};

/// A VIP's identity in VPP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VppVip {
    /// The prefix's address.
    pub address: IpAddr,
    /// The prefix's length: 32 or 128 where it is a host.
    pub length: u8,
    /// The IP protocol; 255 for all of them.
    pub protocol: u8,
    /// The port; 0 with protocol 255.
    pub port: u16,
}

impl VppVip {
    /// The key of the same VIP if it is one that a Frontend could claim: a host prefix, and all
    /// ports or a port of TCP or UDP. Anything else is foreign.
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

    /// Whether the prefix is one host's.
    pub fn is_host(&self) -> bool {
        self.length == if self.address.is_ipv4() { 32 } else { 128 }
    }

    /// `tcp`, `udp`, `any`, or the number.
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

/// How VPP encapsulates for a VIP, as dumped (VPP `lb_encap_type` and its parameter).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ActualEncap {
    /// GRE4 0, GRE6 1, L3DSR 2, NAT4 3, NAT6 4.
    pub kind: u32,
    /// The code point; meaningful for L3DSR.
    pub dscp: u8,
    /// The port, in host order; meaningful for NAT. 0 where VPP did not tell it.
    pub target_port: u16,
}

impl ActualEncap {
    /// The word that events print, as VPP's CLI spells it.
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
}

/// One VIP in VPP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActualVip {
    /// Encapsulation; `None` where it could not be read.
    pub encap: Option<ActualEncap>,
    /// `src_ip_sticky`; `None` where it could not be read (only the CLI text has it).
    pub sticky: Option<bool>,
    /// Buckets in the new-flow table; `None` where it could not be read.
    pub table_length: Option<u16>,
    /// Index in VPP's VIP pool, which the packet counters go by; `None` where it could not be read.
    pub pool_index: Option<u32>,
    /// Its live application servers (removed ones are left out).
    pub ases: BTreeMap<IpAddr, ActualAs>,
}

/// One live application server of a VIP in VPP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActualAs {
    /// Its weight.
    pub weight: u8,
    /// Buckets of the new-flow table that point at it.
    pub buckets: u32,
}

/// VPP's LB state: the last dump and each step that VPP acknowledged since.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actual {
    /// By identity.
    pub vips: BTreeMap<VppVip, ActualVip>,
    /// This VPP has no weights (up to 26.06): an application server that is there has
    /// [`Weight::PRESENT`](super::vip::Weight::PRESENT), one that is not has none, which is weight 0.
    pub weightless: bool,
}

impl Actual {
    /// The weight of an application server; `None` where nothing is known of it. Without weights,
    /// what a VIP does not have is at 0.
    pub fn weight(&self, vip: &VppVip, address: IpAddr) -> Option<u8> {
        self.weights(*vip)(address)
    }

    /// The same for many application servers of one VIP.
    pub fn weights(&self, vip: VppVip) -> impl Fn(IpAddr) -> Option<u8> {
        let vip = self.vips.get(&vip);
        move |address| vip?.ases.get(&address).map(|of| of.weight).or(self.weightless.then_some(0))
    }
}

impl Actual {
    /// Whether both say the same but for buckets and indexes, which change by themselves.
    pub fn tells_the_same(&self, other: &Self) -> bool {
        let same_server = |(a, b): ((&IpAddr, &ActualAs), (&IpAddr, &ActualAs))| (a.0, a.1.weight) == (b.0, b.1.weight);
        let same_vip = |((key_a, a), (key_b, b)): ((&VppVip, &ActualVip), (&VppVip, &ActualVip))| {
            (key_a, a.encap, a.sticky, a.table_length, a.ases.len())
                == (key_b, b.encap, b.sticky, b.table_length, b.ases.len())
                && a.ases.iter().zip(&b.ases).all(same_server)
        };
        (self.weightless, self.vips.len()) == (other.weightless, other.vips.len())
            && self.vips.iter().zip(&other.vips).all(same_vip)
    }
}

/// VPP's global settings of the LB plugin (`lb_conf_get`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActualConf {
    /// Source of IPv4 encapsulation; all ones = unset.
    pub ipv4_source: Ipv4Addr,
    /// Source of IPv6 encapsulation; all ones = unset.
    pub ipv6_source: Ipv6Addr,
    /// Buckets of each worker's sticky table; [`Self::UNKNOWN`] where VPP cannot be asked.
    pub sticky_buckets_per_core: u32,
    /// Seconds after which an idle flow is forgotten; [`Self::UNKNOWN`] where VPP cannot be asked.
    pub flow_timeout: u32,
}

impl ActualConf {
    /// A number that VPP does not tell (up to 26.06). VPP reads the same as "leave it as it is".
    pub const UNKNOWN: u32 = u32::MAX;

    /// The IPv4 source, unless it is unset.
    pub fn ipv4(&self) -> Option<Ipv4Addr> {
        (self.ipv4_source != Ipv4Addr::BROADCAST).then_some(self.ipv4_source)
    }

    /// The IPv6 source, unless it is unset.
    pub fn ipv6(&self) -> Option<Ipv6Addr> {
        (self.ipv6_source != Ipv6Addr::from_bits(u128::MAX)).then_some(self.ipv6_source)
    }
}

/// One reading of everything that VPP has, for who wants to see more than the steps tell: buckets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LbDump {
    /// When it was read.
    pub at: Timestamp,
    /// VPP's settings.
    pub conf: ActualConf,
    /// What it had.
    pub actual: Actual,
}
