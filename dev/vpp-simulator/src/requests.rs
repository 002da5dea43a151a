//! The `lb` plugin's messages: from the wire to [`Lb`](super::lb::Lb) and back, with VPP's oddities.
//!
//! Called by `dispatch`; every write goes into the journal with its answer.

use std::net::IpAddr;

use super::{
    dispatch::{Turn, seconds},
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

/// What a server added by `lb_add_del_as`, which names no weight, gets where there are weights.
const WEIGHT_OF_V1: u8 = 100;
/// What it counts as where there are none.
const WEIGHT_OF_ALL: u8 = 1;

pub fn conf(turn: &mut Turn<'_>, request: &LbConf) -> LbConfReply {
    let conf = ActualConf {
        ipv4_source: request.ip4_src_address,
        ipv6_source: request.ip6_src_address,
        sticky_buckets_per_core: request.sticky_buckets_per_core,
        flow_timeout: request.flow_timeout,
    };
    let result = turn.lb().set_conf(conf);
    LbConfReply { retval: wrote(turn, Write::Conf(conf), result) }
}

pub fn conf_get(turn: &mut Turn<'_>, _: &LbConfGet) -> LbConfGetReply {
    let conf = turn.lb().conf();
    LbConfGetReply {
        retval: 0,
        ip4_src_address: conf.ipv4_source,
        ip6_src_address: conf.ipv6_source,
        sticky_buckets_per_core: conf.sticky_buckets_per_core,
        flow_timeout: conf.flow_timeout,
    }
}

pub fn vip(turn: &mut Turn<'_>, request: &LbAddDelVip) -> LbAddDelVipReply {
    let settings = VipSettings {
        encap: encap(turn, request.encap),
        dscp: request.dscp,
        srv_type: low_byte(request.srv_type),
        target_port: request.target_port,
        table_length: request.new_flows_table_length,
        src_ip_sticky: false,
    };
    LbAddDelVipReply { retval: add_del_vip(turn, request.vip, settings, request.is_del) }
}

pub fn vip_v2(turn: &mut Turn<'_>, request: &LbAddDelVipV2) -> LbAddDelVipV2Reply {
    let settings = VipSettings {
        encap: encap(turn, request.encap),
        dscp: request.dscp,
        srv_type: low_byte(request.srv_type),
        target_port: request.target_port,
        table_length: request.new_flows_table_length,
        src_ip_sticky: request.src_ip_sticky,
    };
    LbAddDelVipV2Reply { retval: add_del_vip(turn, request.vip, settings, request.is_del) }
}

fn add_del_vip(turn: &mut Turn<'_>, vip: WireVip, settings: VipSettings, is_del: bool) -> i32 {
    let Some(prefix) = prefix(turn.release(), vip) else { return turn.refused(Refusal::InvalidArgument) };
    let id = identity(prefix, vip.protocol, vip.port);
    if is_del {
        let result = turn.lb().remove_vip(prefix, vip.protocol, vip.port);
        wrote(turn, Write::RemoveVip(id), result)
    } else if turn.world.faults.refuse_vips {
        wrote(turn, Write::AddVip(id, settings), Err::<(), _>(Refusal::InvalidArgument))
    } else {
        let sticky = settings.src_ip_sticky && !turn.world.faults.forget_sticky;
        let made = VipSettings { src_ip_sticky: sticky, ..settings };
        let result = turn.lb().add_vip(prefix, vip.protocol, vip.port, made);
        wrote(turn, Write::AddVip(id, settings), result)
    }
}

pub fn server(turn: &mut Turn<'_>, request: &LbAddDelAs) -> LbAddDelAsReply {
    let LbAddDelAs { vip, as_address, is_del, is_flush } = *request;
    let weight = match turn.release() {
        Release::V26_10 => WEIGHT_OF_V1,
        Release::V26_06 => WEIGHT_OF_ALL,
    };
    LbAddDelAsReply { retval: add_del_as(turn, vip, as_address, weight, is_del.then_some(is_flush)) }
}

pub fn server_v2(turn: &mut Turn<'_>, request: &LbAddDelAsV2) -> LbAddDelAsV2Reply {
    let LbAddDelAsV2 { vip, as_address, weight, is_del, is_flush } = *request;
    LbAddDelAsV2Reply { retval: add_del_as(turn, vip, as_address, weight, is_del.then_some(is_flush)) }
}

/// Adds the server, or removes it with or without its flows.
fn add_del_as(turn: &mut Turn<'_>, vip: WireVip, address: IpAddr, weight: u8, remove: Option<bool>) -> i32 {
    let vip = named(turn.release(), vip);
    if let Some(flush) = remove {
        let result = turn.lb().remove_as(vip, address);
        wrote(turn, Write::RemoveAs { vip, address, flush }, result)
    } else {
        let result = turn.lb().add_as(vip, address, weight);
        wrote(turn, Write::AddAs(vip, address, weight), result)
    }
}

pub fn weight(turn: &mut Turn<'_>, request: &LbAsSetWeight) -> LbAsSetWeightReply {
    let LbAsSetWeight { vip, as_address: address, weight, is_flush: flush } = *request;
    let vip = named(turn.release(), vip);
    let result = turn.lb().set_weight(vip, address, weight);
    LbAsSetWeightReply { retval: wrote(turn, Write::SetWeight { vip, address, weight, flush }, result) }
}

/// VPP flushes some VIP or other, whatever was asked, and is content.
pub fn flush(turn: &mut Turn<'_>, request: &LbFlushVip) -> LbFlushVipReply {
    LbFlushVipReply { retval: wrote(turn, Write::FlushVip(named(turn.release(), request.vip)), Ok(())) }
}

/// All VIPs that are not deleted, whatever was asked; up to 26.06 deleted ones too.
pub fn vips(turn: &mut Turn<'_>, _: &LbVipDump) -> Vec<LbVipDetails> {
    let release = turn.release();
    let vips = turn.lb().vips.iter().map(|(_, vip)| vip);
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
        // VPP swaps the bytes of what is only one byte, and of a port that is swapped already.
        srv_type: u32::from(vip.argument()) << 24,
        target_port: vip.target_port().swap_bytes(),
        // Only 16 bits of the length are sent.
        flow_table_length: (vip.settings.table_length & 0xffff) as u16,
    }
}

pub fn servers(turn: &mut Turn<'_>, request: &LbAsDump) -> Vec<LbAsDetails> {
    let release = turn.release();
    each_server(turn, request.vip, |vip, server| LbAsDetails {
        vip: match release {
            Release::V26_10 => vip.id.into(),
            Release::V26_06 => legacy::vip(vip.id),
        },
        app_srv: server.address,
        flags: flags(server),
        in_use_since: seconds(server.removed_at),
    })
}

pub fn servers_v2(turn: &mut Turn<'_>, request: &LbAsV2Dump) -> Vec<LbAsV2Details> {
    turn.lb().settle();
    each_server(turn, request.vip, |vip, server| LbAsV2Details {
        vip: vip.id.into(),
        app_srv: server.address,
        flags: flags(server),
        in_use_since: seconds(server.removed_at),
        weight: server.weight,
        num_buckets: server.buckets,
    })
}

/// What `details` makes of each server of the VIPs that `asked` stands for, removed servers and
/// servers of deleted VIPs among them.
fn each_server<D>(turn: &mut Turn<'_>, asked: WireVip, details: impl Fn(&Vip, &Server) -> D) -> Vec<D> {
    let release = turn.release();
    let lb = turn.lb();
    let wanted = |vip: &Vip| matches_filter(release, asked, vip);
    let vips = lb.vips.iter().map(|(_, vip)| vip).filter(|vip| wanted(vip));
    let servers = vips.flat_map(|vip| vip.servers.iter().map(move |(_, &slot)| (vip, slot)));
    servers.filter_map(|(vip, slot)| Some(details(vip, lb.servers.get(slot)?))).collect()
}

/// The filter of the dumps of servers: the zero prefix stands for everything, and an IPv4 prefix
/// matches nothing. Up to 26.06 any prefix does, and the port does not count.
fn matches_filter(release: Release, asked: WireVip, vip: &Vip) -> bool {
    let everything = asked.prefix.address.is_unspecified() && asked.prefix.length == 0;
    everything
        || match release {
            Release::V26_10 => asked.prefix.address.is_ipv6() && named(release, asked) == vip.id,
            Release::V26_06 => legacy::prefix(asked.prefix) == Some(vip.prefix),
        }
}

fn flags(server: &Server) -> u8 {
    if server.used { AS_USED } else { 0 }
}

/// Notes a write with its answer.
fn wrote<T>(turn: &mut Turn<'_>, write: Write, result: Result<T, Refusal>) -> i32 {
    let retval = result.map_or_else(|refusal| turn.refused(refusal), |_| 0);
    turn.world.journal.wrote(write, retval);
    retval
}

fn prefix(release: Release, vip: WireVip) -> Option<Prefix> {
    match release {
        Release::V26_10 => Prefix::new(vip.prefix.address, vip.prefix.length),
        Release::V26_06 => legacy::prefix(vip.prefix),
    }
}

/// Up to 26.06 the encap is compared without a byte swap, so it has to be sent in little-endian.
fn encap(turn: &Turn<'_>, sent: u32) -> u32 {
    match turn.release() {
        Release::V26_10 => sent,
        Release::V26_06 => sent.swap_bytes(),
    }
}

/// The VIP that a request means. One with an impossible prefix is left as it is: there is none.
fn named(release: Release, vip: WireVip) -> VppVip {
    prefix(release, vip).map_or_else(|| vip.into(), |prefix| identity(prefix, vip.protocol, vip.port))
}

/// VPP keeps the service type in one byte.
fn low_byte(value: u32) -> u8 {
    value.to_be_bytes()[3]
}
