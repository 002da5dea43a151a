//! A VIP of the simulated plugin and what it was asked to be.

use std::time::Duration;

use super::{pool::Pool, prefix::Prefix, traffic::Counters};
use maglev_model::actual::VppVip;

/// The identity that VPP gives a VIP: port 0 means all ports, whatever the protocol. No protocol is
/// refused.
pub fn identity(prefix: Prefix, protocol: u8, port: u16) -> VppVip {
    let protocol = if port == 0 { 255 } else { protocol };
    VppVip { address: prefix.address(), length: prefix.length(), protocol, port }
}

/// VPP's own kind of a VIP (`lb_vip_type_t`): the family of its prefix with its encapsulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VipType {
    /// IPv6 to IPv6 backends by GRE.
    Ip6Gre6,
    /// IPv6 to IPv4 backends by GRE.
    Ip6Gre4,
    /// IPv4 to IPv6 backends by GRE.
    Ip4Gre6,
    /// IPv4 to IPv4 backends by GRE.
    Ip4Gre4,
    /// IPv4, layer 3 direct server return.
    Ip4L3dsr,
    /// IPv4 to IPv4 backends by NAT.
    Ip4Nat4,
    /// IPv6 to IPv6 backends by NAT.
    Ip6Nat6,
}

impl VipType {
    /// `None` where VPP refuses the encapsulation for its family: IPv4 only. For an IPv6 prefix all
    /// that it does not know ends as GRE to IPv6, the first type of its enum.
    pub fn new(ipv4: bool, encap: u32) -> Option<Self> {
        match (ipv4, encap) {
            (true, 0) => Some(Self::Ip4Gre4),
            (false, 0) => Some(Self::Ip6Gre4),
            (true, 1) => Some(Self::Ip4Gre6),
            (true, 2) => Some(Self::Ip4L3dsr),
            (true, 3) => Some(Self::Ip4Nat4),
            (false, 4) => Some(Self::Ip6Nat6),
            (false, _) => Some(Self::Ip6Gre6),
            (true, _) => None,
        }
    }

    /// `lb_encap_type`: GRE4 0, GRE6 1, L3DSR 2, NAT4 3, NAT6 4.
    pub fn encap(self) -> u32 {
        match self {
            Self::Ip4Gre4 | Self::Ip6Gre4 => 0,
            Self::Ip4Gre6 | Self::Ip6Gre6 => 1,
            Self::Ip4L3dsr => 2,
            Self::Ip4Nat4 => 3,
            Self::Ip6Nat6 => 4,
        }
    }

    /// The number of VPP's own enum, which dumps up to 26.06 give for the encap.
    pub fn number(self) -> u32 {
        match self {
            Self::Ip6Gre6 => 0,
            Self::Ip6Gre4 => 1,
            Self::Ip4Gre6 => 2,
            Self::Ip4Gre4 => 3,
            Self::Ip4L3dsr => 4,
            Self::Ip4Nat4 => 5,
            Self::Ip6Nat6 => 6,
        }
    }

    /// Whether its application servers are IPv4.
    pub fn has_ipv4_servers(self) -> bool {
        matches!(self, Self::Ip4Gre4 | Self::Ip6Gre4 | Self::Ip4L3dsr | Self::Ip4Nat4)
    }

    /// Whether addresses are translated, for which each of its application servers has a mapping.
    pub fn is_nat(self) -> bool {
        matches!(self, Self::Ip4Nat4 | Self::Ip6Nat6)
    }

    /// As VPP's CLI prints it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ip6Gre6 => "ip6-gre6",
            Self::Ip6Gre4 => "ip6-gre4",
            Self::Ip4Gre6 => "ip4-gre6",
            Self::Ip4Gre4 => "ip4-gre4",
            Self::Ip4L3dsr => "ip4-l3dsr",
            Self::Ip4Nat4 => "ip4-nat4",
            Self::Ip6Nat6 => "ip6-nat6",
        }
    }
}

/// The settings of a VIP as sent (`lb_add_del_vip_v2`), unchecked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VipSettings {
    pub encap: u32,
    /// The code point; read with L3DSR only.
    pub dscp: u8,
    /// 0 cluster IP, 1 node port; read with NAT only.
    pub srv_type: u8,
    /// The port of the backends, in host order; read with NAT only.
    pub target_port: u16,
    /// Buckets of the new-flow table.
    pub table_length: u32,
    /// Whether flows are told apart by their source address alone.
    pub src_ip_sticky: bool,
}

impl Default for VipSettings {
    /// GRE4, 1024 buckets.
    fn default() -> Self {
        Self { encap: 0, dscp: 0, srv_type: 0, target_port: 0, table_length: 1024, src_ip_sticky: false }
    }
}

/// A VIP in VPP's pool. It stays there for a while after it was deleted.
#[derive(Clone, Debug)]
pub struct Vip {
    pub(crate) id: VppVip,
    pub(crate) prefix: Prefix,
    pub(crate) kind: VipType,
    pub(crate) settings: VipSettings,
    /// Cleared when the VIP is deleted.
    pub(crate) used: bool,
    /// Indexes of its application servers in the plugin's pool, live and removed ones.
    pub(crate) servers: Pool<u32>,
    /// Whether the bucket counts of its servers are out of date.
    pub(crate) stale: bool,
    /// When its servers were last looked at for garbage, or when it was added.
    pub(crate) collected_at: Duration,
    /// What came to it.
    pub(crate) counters: Counters,
}

impl Vip {
    pub(crate) fn new(id: VppVip, prefix: Prefix, kind: VipType, settings: VipSettings, now: Duration) -> Self {
        Self {
            id,
            prefix,
            kind,
            settings,
            used: true,
            servers: Pool::new(0),
            stale: false,
            collected_at: now,
            counters: Counters::default(),
        }
    }

    /// The byte that VPP keeps DSCP or service type in: the two share their place.
    pub(crate) fn argument(&self) -> u8 {
        match self.kind {
            VipType::Ip4L3dsr => self.settings.dscp & 0x3f,
            VipType::Ip4Nat4 | VipType::Ip6Nat6 => self.settings.srv_type,
            _ => 0,
        }
    }

    /// The port of its backends in host order; 0 without NAT.
    pub(crate) fn target_port(&self) -> u16 {
        if self.kind.is_nat() { self.settings.target_port } else { 0 }
    }
}

/// An application server in VPP's pool. It stays there for a while after it was removed.
#[derive(Clone, Debug)]
pub struct Server {
    pub(crate) address: std::net::IpAddr,
    pub(crate) weight: u8,
    /// Cleared when it is removed, set again when it is added again.
    pub(crate) used: bool,
    /// When it was last removed, by VPP's clock; 0 if never.
    pub(crate) removed_at: Duration,
    pub(crate) buckets: u32,
    /// The load-balance object of the route to it.
    pub(crate) dpo: u32,
}
