//! The identity and the properties of a VIP, as checked types: a plan cannot contain port 0, table length 65536 or weight
//! 200.

use std::{fmt, net::IpAddr, num::NonZeroU16};

/// The protocol of a VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// IP protocol 6.
    Tcp,
    /// IP protocol 17.
    Udp,
}

impl Protocol {
    /// The IP protocol number.
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }

    /// The spelling in events and metrics: `tcp` or `udp`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// The traffic to an address that a VIP receives.
///
/// VPP allows either one all-port VIP or any number of per-port VIPs on an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Service {
    /// All protocols and ports (VPP: protocol 255, port 0).
    AllPorts,
    /// One port of one protocol.
    Port {
        /// The protocol.
        protocol: Protocol,
        /// The port; never 0, which VPP would take as an all-port VIP.
        port: NonZeroU16,
    },
}

impl Service {
    /// The protocol in events and metrics: `tcp`, `udp` or `any`.
    pub fn protocol(self) -> &'static str {
        match self {
            Self::AllPorts => "any",
            Self::Port { protocol, .. } => protocol.as_str(),
        }
    }

    /// The port in events and metrics; 0 for all ports.
    pub fn port(self) -> u16 {
        match self {
            Self::AllPorts => 0,
            Self::Port { port, .. } => port.get(),
        }
    }
}

/// The identity of a VIP: its address and the traffic that it receives. Ordered by address, IPv4 first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VipKey {
    /// The address that clients connect to; always a host address (/32 or /128).
    pub address: IpAddr,
    /// The traffic to the address that the VIP receives.
    pub service: Service,
}

impl fmt::Display for VipKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.address, self.service.protocol(), self.service.port())
    }
}

/// An IP family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of `address`.
    pub fn from_address(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// The spelling in events and metrics: `ipv4` or `ipv6`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V4 => "ipv4",
            Self::V6 => "ipv6",
        }
    }
}

/// A DSCP code point of L3DSR, 0–63.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Dscp(u8);

impl Dscp {
    /// Returns the code point if `value` is 0–63.
    pub fn new(value: u8) -> Option<Self> {
        (value < 64).then_some(Self(value))
    }

    /// The code point.
    pub fn get(self) -> u8 {
        self.0
    }
}

/// The encapsulation of packets to the backends (VPP `lb_encap_type`). The family in the name is that of the **backends**;
/// for GRE, the VIP may have the other family.
///
/// VPP's NAT is not supported: VPP 26.10 drops the TCP packets of a NAT VIP, sends UDP packets with a wrong checksum, and
/// can abort ([`ActualEncap::is_nat`](super::actual::ActualEncap::is_nat)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Encap {
    /// GRE to IPv4 backends.
    Gre4,
    /// GRE to IPv6 backends.
    Gre6,
    /// Layer 3 direct server return: the DSCP bits identify the VIP. IPv4 only.
    L3dsr(Dscp),
}

impl Encap {
    /// The IP family that the backends must have.
    pub fn backend_family(self) -> Family {
        match self {
            Self::Gre4 | Self::L3dsr(_) => Family::V4,
            Self::Gre6 => Family::V6,
        }
    }

    /// The spelling in events, which is that of VPP's CLI: `gre4`, `gre6` or `l3dsr`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gre4 => "gre4",
            Self::Gre6 => "gre6",
            Self::L3dsr(_) => "l3dsr",
        }
    }
}

impl fmt::Display for Encap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::L3dsr(dscp) => write!(f, "l3dsr dscp {}", dscp.get()),
            other => f.write_str(other.as_str()),
        }
    }
}

/// A share of new flows relative to the other backends of the pool, 0–100. Weight 0 gets no new flows.
///
/// VPP accepts any byte, but weights above 100 only make the new-flow table coarser.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Weight(u8);

impl Weight {
    /// No new flows.
    pub const ZERO: Self = Self(0);
    /// The default weight of a pool member.
    pub const DEFAULT: Self = Self(10);
    /// The weight of each present application server in a VPP without weights. The value is arbitrary, since all weights
    /// are equal there.
    pub const PRESENT: Self = Self(1);

    /// Returns the weight if `value` is 0–100.
    pub fn new(value: u8) -> Option<Self> {
        (value <= 100).then_some(Self(value))
    }

    /// The allowed weight that is nearest to a weight reported by VPP, which may be any byte.
    pub fn clamped(value: u8) -> Self {
        Self(value.min(100))
    }

    /// The number.
    pub fn get(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of buckets in the new-flow table of a VIP: a power of two, 256–32768.
///
/// VPP dumps the length in 16 bits, so 65536 would read back as 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableLength(u16);

impl TableLength {
    /// The default length.
    pub const DEFAULT: Self = Self(8192);

    /// Returns the length if `value` is a power of two from 256 to 32768.
    pub fn new(value: u32) -> Option<Self> {
        let value = u16::try_from(value).ok()?;
        ((256..=32768).contains(&value) && value.is_power_of_two()).then_some(Self(value))
    }

    /// The number of buckets.
    pub fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for TableLength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checked_numbers_refuse_what_vpp_would_misread() {
        assert_eq!(Weight::new(100).map(Weight::get), Some(100));
        assert_eq!(Weight::new(101), None);
        assert_eq!(TableLength::new(32768).map(TableLength::get), Some(32768));
        for bad in [0, 128, 1000, 65536] {
            assert_eq!(TableLength::new(bad), None, "{bad}");
        }
        assert_eq!(Dscp::new(64), None);
    }

    #[test]
    fn vips_are_ordered_by_address_ipv4_first() {
        let key = |address: &str| VipKey { address: address.parse().unwrap(), service: Service::AllPorts };
        let mut keys = [key("2001:db8::1"), key("203.0.113.10"), key("203.0.113.9")];
        keys.sort();
        assert_eq!(keys, [key("203.0.113.9"), key("203.0.113.10"), key("2001:db8::1")]);
    }
}
