//! The messages of the `lb` plugin: decoding, calls of [`Lb`](super::lb::Lb), replies, and VPP's quirks.
//!
//! Called by `dispatch`. All writes are recorded in the journal with their results.

use std::net::{IpAddr, Ipv6Addr};

use super::{
    dispatch::{RequestContext, seconds},
    journal::Write,
    lb::Refusal,
    legacy,
    options::Release,
    prefix::Prefix,
    vip::{Server, Vip, VipSettings, identity},
};
use maglev_model::actual::{ActualConf, VppVip};
use maglev_vpp::messages::lb::{
    AS_USED, LbAddDelAs, LbAddDelAsReply, LbAddDelAsV2, LbAddDelAsV2Reply, LbAddDelVip, LbAddDelVipReply,
    LbAddDelVipV2, LbAddDelVipV2Reply, LbAsDetails, LbAsDump, LbAsSetWeight, LbAsSetWeightReply, LbAsV2Details,
    LbAsV2Dump, LbConf, LbConfGet, LbConfGetReply, LbConfReply, LbFlushVip, LbFlushVipReply, LbVipDetails, LbVipDump,
    WireVip,
};

/// Weight of a server added by `lb_add_del_as`, which has no weight, in releases with weights.
const WEIGHT_OF_V1: u8 = 100;
/// Weight in releases without weights.
const WEIGHT_OF_ALL: u8 = 1;

pub fn conf(context: &mut RequestContext<'_>, request: &LbConf) -> LbConfReply {
    let conf = ActualConf {
        ipv4_source: request.ip4_src_address,
        ipv6_source: request.ip6_src_address,
        sticky_buckets_per_core: request.sticky_buckets_per_core,
        flow_timeout: request.flow_timeout,
    };
    let result = context.lb().set_conf(conf);
    LbConfReply { retval: record(context, Write::Conf(conf), result) }
}

pub fn conf_get(context: &mut RequestContext<'_>, _: &LbConfGet) -> LbConfGetReply {
    let conf = context.lb().conf();
    LbConfGetReply {
        retval: 0,
        ip4_src_address: conf.ipv4_source,
        ip6_src_address: conf.ipv6_source,
        sticky_buckets_per_core: conf.sticky_buckets_per_core,
        flow_timeout: conf.flow_timeout,
    }
}

pub fn vip(context: &mut RequestContext<'_>, request: &LbAddDelVip) -> LbAddDelVipReply {
    let settings = VipSettings {
        encap: encap(context, request.encap),
        dscp: request.dscp,
        srv_type: low_byte(request.srv_type),
        target_port: request.target_port,
        table_length: request.new_flows_table_length,
        src_ip_sticky: false,
    };
    LbAddDelVipReply { retval: add_del_vip(context, request.vip, settings, request.is_del) }
}

pub fn vip_v2(context: &mut RequestContext<'_>, request: &LbAddDelVipV2) -> LbAddDelVipV2Reply {
    let settings = VipSettings {
        encap: encap(context, request.encap),
        dscp: request.dscp,
        srv_type: low_byte(request.srv_type),
        target_port: request.target_port,
        table_length: request.new_flows_table_length,
        src_ip_sticky: request.src_ip_sticky,
    };
    LbAddDelVipV2Reply { retval: add_del_vip(context, request.vip, settings, request.is_del) }
}

fn add_del_vip(context: &mut RequestContext<'_>, vip: WireVip, settings: VipSettings, is_del: bool) -> i32 {
    let Some(prefix) = prefix(context.release(), vip) else { return context.refused(Refusal::InvalidArgument) };
    let id = identity(prefix, vip.protocol, vip.port);
    if is_del {
        let result = context.lb().remove_vip(prefix, vip.protocol, vip.port);
        record(context, Write::RemoveVip(id), result)
    } else if context.state.faults.refuse_vips {
        record(context, Write::AddVip(id, settings), Err::<(), _>(Refusal::InvalidArgument))
    } else {
        let sticky = settings.src_ip_sticky && !context.state.faults.forget_sticky;
        let effective = VipSettings { src_ip_sticky: sticky, ..settings };
        let result = context.lb().add_vip(prefix, vip.protocol, vip.port, effective);
        record(context, Write::AddVip(id, settings), result)
    }
}

pub fn server(context: &mut RequestContext<'_>, request: &LbAddDelAs) -> LbAddDelAsReply {
    let LbAddDelAs { vip, as_address, is_del, is_flush } = *request;
    let weight = match context.release() {
        Release::V26_10 => WEIGHT_OF_V1,
        Release::V26_06 => WEIGHT_OF_ALL,
    };
    let retval = add_del_as(context, vip, as_address, weight, is_del.then_some(is_flush));
    flush_flows(context, vip, as_address, is_flush && retval == 0);
    LbAddDelAsReply { retval }
}

pub fn server_v2(context: &mut RequestContext<'_>, request: &LbAddDelAsV2) -> LbAddDelAsV2Reply {
    let LbAddDelAsV2 { vip, as_address, weight, is_del, is_flush } = *request;
    let retval = add_del_as(context, vip, as_address, weight, is_del.then_some(is_flush));
    flush_flows(context, vip, as_address, is_flush && retval == 0);
    LbAddDelAsV2Reply { retval }
}

fn flush_flows(context: &mut RequestContext<'_>, vip: WireVip, address: IpAddr, flush: bool) {
    let vip = requested_vip(context.release(), vip);
    if flush {
        context.lb().flush(vip, address);
    }
}

/// Adds or removes a server; `remove` is the flush flag of a removal.
fn add_del_as(
    context: &mut RequestContext<'_>,
    vip: WireVip,
    address: IpAddr,
    weight: u8,
    remove: Option<bool>,
) -> i32 {
    let vip = requested_vip(context.release(), vip);
    if let Some(flush) = remove {
        let result = context.lb().remove_as(vip, address);
        record(context, Write::RemoveAs { vip, address, flush }, result)
    } else {
        let result = context.lb().add_as(vip, address, weight);
        record(context, Write::AddAs(vip, address, weight), result)
    }
}

pub fn weight(context: &mut RequestContext<'_>, request: &LbAsSetWeight) -> LbAsSetWeightReply {
    let LbAsSetWeight { vip, as_address: address, weight, is_flush: flush } = *request;
    let requested = requested_vip(context.release(), vip);
    let result = context.lb().set_weight(requested, address, weight);
    let retval = record(context, Write::SetWeight { vip: requested, address, weight, flush }, result);
    flush_flows(context, vip, address, flush && retval == 0);
    LbAsSetWeightReply { retval }
}

/// VPP flushes an unrelated VIP and always succeeds.
pub fn flush(context: &mut RequestContext<'_>, request: &LbFlushVip) -> LbFlushVipReply {
    LbFlushVipReply { retval: record(context, Write::FlushVip(requested_vip(context.release(), request.vip)), Ok(())) }
}

/// All VIPs that are not deleted, regardless of the request; up to 26.06 deleted VIPs, too.
pub fn vips(context: &mut RequestContext<'_>, _: &LbVipDump) -> Vec<LbVipDetails> {
    let release = context.release();
    let vips = context.lb().vips.iter().map(|(_, vip)| vip);
    match release {
        Release::V26_10 => vips.filter(|vip| vip.used).map(vip_details).collect(),
        Release::V26_06 => vips.map(legacy::vip_details).collect(),
    }
}

fn vip_details(vip: &Vip) -> LbVipDetails {
    LbVipDetails {
        vip: vip.id.into(),
        encap: vip.kind.encap(),
        dscp: vip.argument(),
        // VPP swaps the bytes of a one-byte value, and of a port that is already swapped.
        srv_type: u32::from(vip.argument()) << 24,
        target_port: vip.target_port().swap_bytes(),
        // Only 16 bits of the length are sent.
        flow_table_length: (vip.settings.table_length & 0xffff) as u16,
    }
}

pub fn servers(context: &mut RequestContext<'_>, request: &LbAsDump) -> Vec<LbAsDetails> {
    let release = context.release();
    each_server(context, request.vip, |vip, server| LbAsDetails {
        vip: match release {
            Release::V26_10 => vip.id.into(),
            Release::V26_06 => legacy::vip(vip.id),
        },
        app_srv: server.address,
        flags: flags(server),
        in_use_since: seconds(server.removed_at),
    })
}

pub fn servers_v2(context: &mut RequestContext<'_>, request: &LbAsV2Dump) -> Vec<LbAsV2Details> {
    context.lb().settle();
    each_server(context, request.vip, |vip, server| LbAsV2Details {
        vip: vip.id.into(),
        app_srv: server.address,
        flags: flags(server),
        in_use_since: seconds(server.removed_at),
        weight: server.weight,
        num_buckets: server.buckets,
    })
}

/// The `details` of all servers of the VIPs that match `filter`, including removed servers and servers of deleted VIPs.
fn each_server<D>(context: &mut RequestContext<'_>, filter: WireVip, details: impl Fn(&Vip, &Server) -> D) -> Vec<D> {
    let release = context.release();
    let lb = context.lb();
    let matches = |vip: &Vip| matches_filter(release, filter, vip);
    let vips = lb.vips.iter().map(|(_, vip)| vip).filter(|vip| matches(vip));
    let servers = vips.flat_map(|vip| vip.servers.iter().map(move |(_, &slot)| (vip, slot)));
    servers.filter_map(|(vip, slot)| Some(details(vip, lb.servers.get(slot)?))).collect()
}

/// The filter of server dumps: the zero prefix matches everything. VPP 26.10 compares the 16 bytes of the address as sent with
/// those that it stores, so an IPv4 prefix matches nothing. Up to 26.06 all prefixes are supported and the port is ignored.
fn matches_filter(release: Release, filter: WireVip, vip: &Vip) -> bool {
    let everything = filter.prefix.address.is_unspecified() && filter.prefix.length == 0;
    everything
        || match release {
            Release::V26_10 => {
                let stored = match vip.id.address {
                    IpAddr::V4(address) => Ipv6Addr::from_bits(address.to_bits().into()),
                    IpAddr::V6(address) => address,
                };
                (filter.prefix.address, filter.protocol, filter.port) == (stored.into(), vip.id.protocol, vip.id.port)
            }
            Release::V26_06 => legacy::prefix(filter.prefix) == Some(vip.prefix),
        }
}

fn flags(server: &Server) -> u8 {
    if server.used { AS_USED } else { 0 }
}

/// Records a write with its result.
fn record<T>(context: &mut RequestContext<'_>, write: Write, result: Result<T, Refusal>) -> i32 {
    let retval = result.map_or_else(|refusal| context.refused(refusal), |_| 0);
    context.state.journal.record(write, retval);
    retval
}

fn prefix(release: Release, vip: WireVip) -> Option<Prefix> {
    match release {
        Release::V26_10 => Prefix::new(vip.prefix.address, vip.prefix.length),
        Release::V26_06 => legacy::prefix(vip.prefix),
    }
}

/// Up to 26.06 the encap is compared without a byte swap, so that clients must send it in little-endian.
fn encap(context: &RequestContext<'_>, sent: u32) -> u32 {
    match context.release() {
        Release::V26_10 => sent,
        Release::V26_06 => sent.swap_bytes(),
    }
}

/// The VIP of a request. An invalid prefix is kept, and matches no VIP.
fn requested_vip(release: Release, vip: WireVip) -> VppVip {
    prefix(release, vip).map_or_else(|| vip.into(), |prefix| identity(prefix, vip.protocol, vip.port))
}

/// VPP stores the service type in one byte.
fn low_byte(value: u32) -> u8 {
    value.to_be_bytes()[3]
}
