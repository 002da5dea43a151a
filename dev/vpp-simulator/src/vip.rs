//! A VIP of the simulated plugin and its settings.

use std::time::Duration;

use super::{pool::Pool, prefix::Prefix, traffic::Counters};
use maglev_model::actual::VppVip;

/// The identity of a VIP in VPP: port 0 means all ports for any protocol. All protocols are accepted.
pub fn identity(prefix: Prefix, protocol: u8, port: u16) -> VppVip {
    let protocol = if port == 0 { 255 } else { protocol };
    VppVip { address: prefix.address(), length: prefix.length(), protocol, port }
}

/// VPP's type of a VIP (`lb_vip_type_t`): address family and encapsulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VipType {
    /// IPv6, GRE to IPv6 backends.
    Ip6Gre6,
    /// IPv6, GRE to IPv4 backends.
    Ip6Gre4,
    /// IPv4, GRE to IPv6 backends.
    Ip4Gre6,
    /// IPv4, GRE to IPv4 backends.
    Ip4Gre4,
    /// IPv4, layer 3 direct server return.
    Ip4L3dsr,
    /// IPv4, NAT to IPv4 backends.
    Ip4Nat4,
    /// IPv6, NAT to IPv6 backends.
    Ip6Nat6,
}

impl VipType {
    /// `None` if VPP rejects the encapsulation, which it does for IPv4 only. Unknown encapsulations of an IPv6 prefix become GRE
    /// to IPv6, the first value of the enum.
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

    /// The value of VPP's enum, which is the encap in dumps up to 26.06.
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

    /// True if application servers are IPv4.
    pub fn has_ipv4_servers(self) -> bool {
        matches!(self, Self::Ip4Gre4 | Self::Ip6Gre4 | Self::Ip4L3dsr | Self::Ip4Nat4)
    }

    /// True if addresses are translated, which requires a mapping per application server.
    pub fn is_nat(self) -> bool {
        matches!(self, Self::Ip4Nat4 | Self::Ip6Nat6)
    }

    /// Size of the headers before a packet to a server.
    pub fn overhead(self) -> u64 {
        match self {
            Self::Ip6Gre4 | Self::Ip4Gre4 => 24,
            Self::Ip6Gre6 | Self::Ip4Gre6 => 44,
            Self::Ip4L3dsr | Self::Ip4Nat4 | Self::Ip6Nat6 => 0,
        }
    }

    /// The text of VPP's CLI.
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

/// The settings of a VIP as received (`lb_add_del_vip_v2`), unchecked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VipSettings {
    pub encap: u32,
    /// DSCP; used with L3DSR only.
    pub dscp: u8,
    /// 0 cluster IP, 1 node port; used with NAT only.
    pub srv_type: u8,
    /// Port of the backends in host order; used with NAT only.
    pub target_port: u16,
    /// Number of buckets of the new-flow table.
    pub table_length: u32,
    /// True if flows are identified by source address only.
    pub src_ip_sticky: bool,
}

impl Default for VipSettings {
    /// GRE4, 1024 buckets.
    fn default() -> Self {
        Self { encap: 0, dscp: 0, srv_type: 0, target_port: 0, table_length: 1024, src_ip_sticky: false }
    }
}

/// A VIP in VPP's pool, where it stays for some time after its deletion.
#[derive(Clone, Debug)]
pub struct Vip {
    pub(crate) id: VppVip,
    pub(crate) prefix: Prefix,
    pub(crate) kind: VipType,
    pub(crate) settings: VipSettings,
    /// Cleared when the VIP is deleted.
    pub(crate) used: bool,
    /// Indexes of its application servers in the plugin's pool, live and removed.
    pub(crate) servers: Pool<u32>,
    /// True if the bucket counts of the servers are stale.
    pub(crate) stale: bool,
    /// The new-flow table: the server's index in the plugin's pool for each bucket, or 0. Empty until packets need it.
    pub(crate) new_flows: Vec<u32>,
    /// Time of the last garbage collection, or of the addition.
    pub(crate) collected_at: Duration,
    /// Traffic counters.
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
            new_flows: Vec::new(),
            collected_at: now,
            counters: Counters::default(),
        }
    }

    /// The byte with DSCP or service type, which share a field in VPP.
    pub(crate) fn argument(&self) -> u8 {
        match self.kind {
            VipType::Ip4L3dsr => self.settings.dscp & 0x3f,
            VipType::Ip4Nat4 | VipType::Ip6Nat6 => self.settings.srv_type,
            _ => 0,
        }
    }

    /// Port of the backends in host order; 0 without NAT.
    pub(crate) fn target_port(&self) -> u16 {
        if self.kind.is_nat() { self.settings.target_port } else { 0 }
    }
}

/// An application server in VPP's pool, where it stays for some time after its removal.
#[derive(Clone, Debug)]
pub struct Server {
    pub(crate) address: std::net::IpAddr,
    pub(crate) weight: u8,
    /// Cleared on removal, set when added again.
    pub(crate) used: bool,
    /// Time of the last removal by VPP's clock; 0 if never removed.
    pub(crate) removed_at: Duration,
    pub(crate) buckets: u32,
    /// Load-balance object of the route to the server.
    pub(crate) dpo: u32,
}
