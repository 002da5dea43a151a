//! `lb.api`: the load balancer plugin.
//!
//! `lb_conf_get`, `lb_add_del_as_v2`, `lb_as_set_weight` and `lb_as_v2_dump` exist from 26.10 on. The older messages
//! kept their CRC although their meaning changed: older plugins decode prefixes and encap differently.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Dump;
use crate::codec::{CodecError, Prefix, Reader, Wire, Writer};
use maglev_model::actual::VppVip;

/// `lb_encap_type`: GRE to IPv4 backends.
pub const ENCAP_GRE4: u32 = 0;
/// `lb_encap_type`: GRE to IPv6 backends.
pub const ENCAP_GRE6: u32 = 1;
/// `lb_encap_type`: layer 3 direct server return.
pub const ENCAP_L3DSR: u32 = 2;
/// `lb_encap_type`: NAT to IPv4 backends.
pub const ENCAP_NAT4: u32 = 3;
/// `lb_encap_type`: NAT to IPv6 backends.
pub const ENCAP_NAT6: u32 = 4;

/// `lb_srv_type`: the only one used here (NAT to a port of the backend).
pub const SRV_CLUSTERIP: u32 = 0;

/// Bit of `flags`: the application server is live. If unset, the server was removed and waits for garbage collection.
pub const AS_USED: u8 = 1;

/// The key of a VIP (`vl_api_lb_vip_t`, and the same three fields in every request).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireVip {
    pub prefix: Prefix,
    /// 6, 17, or 255 for all.
    pub protocol: u8,
    /// 0 for all. VPP sets protocol 255 for a VIP with port 0.
    pub port: u16,
}

impl WireVip {
    /// Selects all VIPs in [`LbAsDump`] and [`LbAsV2Dump`].
    pub const ZERO: Self = Self { prefix: Prefix::ZERO, protocol: 0, port: 0 };

    /// Selects one VIP in [`LbAsV2Dump`]. VPP 26.10 compares the 16 bytes of the address with those that it stores, where 12
    /// zero bytes precede an IPv4 address; so that address is sent as an IPv6 address of this form.
    pub fn selecting(vip: VppVip) -> Self {
        let stored = match vip.address {
            IpAddr::V4(address) => Ipv6Addr::from_bits(address.to_bits().into()),
            IpAddr::V6(address) => address,
        };
        let prefix = Prefix { address: stored.into(), length: 128 };
        Self { prefix, protocol: vip.protocol, port: vip.port }
    }
}

impl From<VppVip> for WireVip {
    fn from(vip: VppVip) -> Self {
        Self { prefix: Prefix { address: vip.address, length: vip.length }, protocol: vip.protocol, port: vip.port }
    }
}

impl From<WireVip> for VppVip {
    fn from(vip: WireVip) -> Self {
        Self { address: vip.prefix.address, length: vip.prefix.length, protocol: vip.protocol, port: vip.port }
    }
}

impl Wire for WireVip {
    fn put(&self, to: &mut Writer<'_>) {
        self.prefix.put(to);
        self.protocol.put(to);
        self.port.put(to);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { prefix: Wire::get(from)?, protocol: Wire::get(from)?, port: Wire::get(from)? })
    }
}

message! {
    /// Sets the plugin's global settings.
    Request LbConf = "lb_conf" 0x56cd_3261 {
        /// Source of IPv4 encapsulation.
        ip4_src_address: Ipv4Addr,
        /// Source of IPv6 encapsulation.
        ip6_src_address: Ipv6Addr,
        /// Buckets of each worker's sticky table, a power of two; all ones = unchanged.
        sticky_buckets_per_core: u32,
        /// Seconds; all ones = unchanged.
        flow_timeout: u32,
    }
}
autoreply!(LbConf => LbConfReply = "lb_conf_reply");

message! {
    /// Reads the plugin's global settings.
    Request LbConfGet = "lb_conf_get" 0x5107_7d14 {}
}

message! {
    /// The reply to [`LbConfGet`].
    Reply LbConfGetReply = "lb_conf_get_reply" 0x9234_27ac {
        retval: i32,
        /// All ones = unset.
        ip4_src_address: Ipv4Addr,
        /// All ones = unset.
        ip6_src_address: Ipv6Addr,
        /// Buckets of each worker's sticky table.
        sticky_buckets_per_core: u32,
        flow_timeout: u32,
    }
}
answered!(LbConfGet => LbConfGetReply);

message! {
    /// Adds or removes a VIP; no affinity.
    Request LbAddDelVip = "lb_add_del_vip" 0x6fa5_69c7 {
        vip: WireVip,
        encap: u32,
        /// The code point, for L3DSR.
        dscp: u8,
        /// `lb_srv_type`, for NAT.
        srv_type: u32,
        /// The backends' port, for NAT.
        target_port: u16,
        /// The node's port, for NAT of type nodeport.
        node_port: u16,
        /// Buckets of the new-flow table, a power of two; 0 is accepted and fatal.
        new_flows_table_length: u32,
        is_del: bool,
    }
}
autoreply!(LbAddDelVip => LbAddDelVipReply = "lb_add_del_vip_reply");

message! {
    /// Adds or removes a VIP.
    Request LbAddDelVipV2 = "lb_add_del_vip_v2" 0x7c52_0e0f {
        vip: WireVip,
        encap: u32,
        /// The code point, for L3DSR.
        dscp: u8,
        /// `lb_srv_type`, for NAT.
        srv_type: u32,
        /// The backends' port, for NAT.
        target_port: u16,
        /// The node's port, for NAT of type nodeport.
        node_port: u16,
        /// Buckets of the new-flow table, a power of two; 0 is accepted and fatal.
        new_flows_table_length: u32,
        /// Flows stick to the client's address.
        src_ip_sticky: bool,
        is_del: bool,
    }
}
autoreply!(LbAddDelVipV2 => LbAddDelVipV2Reply = "lb_add_del_vip_v2_reply");

message! {
    /// Adds or removes an application server; no weight.
    Request LbAddDelAs = "lb_add_del_as" 0x35d7_2500 {
        vip: WireVip,
        /// The application server.
        as_address: IpAddr,
        is_del: bool,
        /// Forget the flows pinned to it.
        is_flush: bool,
    }
}
autoreply!(LbAddDelAs => LbAddDelAsReply = "lb_add_del_as_reply");

message! {
    /// Adds or removes an application server.
    Request LbAddDelAsV2 = "lb_add_del_as_v2" 0x2f1d_3b0e {
        vip: WireVip,
        /// The application server.
        as_address: IpAddr,
        /// 0–100, which VPP does not check.
        weight: u8,
        is_del: bool,
        /// Forget the flows pinned to it.
        is_flush: bool,
    }
}
autoreply!(LbAddDelAsV2 => LbAddDelAsV2Reply = "lb_add_del_as_v2_reply");

message! {
    /// Sets the weight of a live application server.
    Request LbAsSetWeight = "lb_as_set_weight" 0x2d89_bdbd {
        vip: WireVip,
        /// The application server.
        as_address: IpAddr,
        /// 0–100, which VPP does not check.
        weight: u8,
        /// Forget the flows pinned to it.
        is_flush: bool,
    }
}
autoreply!(LbAsSetWeight => LbAsSetWeightReply = "lb_as_set_weight_reply");

message! {
    /// Drops all flows of a VIP. Never sent: for an unknown VIP, VPP flushes another VIP.
    Request LbFlushVip = "lb_flush_vip" 0x1063_f819 {
        vip: WireVip,
    }
}
autoreply!(LbFlushVip => LbFlushVipReply = "lb_flush_vip_reply");

message! {
    /// Lists all VIPs; the filter is ignored.
    Request LbVipDump = "lb_vip_dump" 0x5611_0cb7 {
        /// Ignored by VPP.
        prefix: Prefix,
        /// `pfx_matcher.le`; ignored by VPP.
        matcher_le: u8,
        /// `pfx_matcher.ge`; ignored by VPP.
        matcher_ge: u8,
        /// Ignored by VPP.
        protocol: u8,
        /// Ignored by VPP.
        port: u16,
    }
}

impl LbVipDump {
    /// All VIPs, with the same values as VPP's own client.
    pub const ALL: Self = Self { prefix: Prefix::ZERO, matcher_le: 0, matcher_ge: 0, protocol: 255, port: 0 };
}

message! {
    Reply LbVipDetails = "lb_vip_details" 0x1329_ec9b {
        vip: WireVip,
        /// `lb_encap_type` (up to 26.06: VPP's internal VIP type).
        encap: u32,
        /// The code point, for L3DSR.
        dscp: u8,
        /// The code point in the highest byte; must not be compared.
        srv_type: u32,
        /// The backends' port, for NAT, **byte-swapped**: 8080 is reported as 36895.
        target_port: u16,
        /// Buckets of the new-flow table; 65536 is reported as 0 (up to 26.06: always 0).
        flow_table_length: u16,
    }
}

impl Dump for LbVipDump {
    type Details = LbVipDetails;
}

message! {
    /// Lists application servers, without their weights.
    Request LbAsDump = "lb_as_dump" 0x1063_f819 {
        /// The VIP, or [`WireVip::ZERO`] for all.
        vip: WireVip,
    }
}

message! {
    /// An application server.
    Reply LbAsDetails = "lb_as_details" 0x8d24_c29e {
        vip: WireVip,
        app_srv: IpAddr,
        flags: u8,
        /// Time of the last addition or removal, in VPP's clock.
        in_use_since: u32,
    }
}

impl Dump for LbAsDump {
    type Details = LbAsDetails;
}

message! {
    /// Lists application servers.
    Request LbAsV2Dump = "lb_as_v2_dump" 0x1063_f819 {
        /// [`WireVip::selecting`] a VIP, or [`WireVip::ZERO`] for all. An IPv4 prefix matches nothing.
        vip: WireVip,
    }
}

message! {
    /// An application server.
    Reply LbAsV2Details = "lb_as_v2_details" 0x9006_4aae {
        vip: WireVip,
        app_srv: IpAddr,
        flags: u8,
        /// Time of the last addition or removal, in VPP's clock.
        in_use_since: u32,
        weight: u8,
        /// Buckets of the new-flow table that point at the server.
        num_buckets: u32,
    }
}

impl Dump for LbAsV2Dump {
    type Details = LbAsV2Details;
}
