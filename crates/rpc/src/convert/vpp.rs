//! VPP's state.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::{
    Malformed,
    scalar::{number, read_address, read_optional_address, read_time, time},
};
use crate::proto;
use maglev_model::{
    Name,
    actual::{Actual, ActualAs, ActualConf, ActualEncap, ActualVip, LbDump, VppVip},
    change::{HeldChange, SyncHold, VipState, VppInfo},
    table_fingerprint::TableFingerprint,
};

impl From<&VppInfo> for proto::VppInfo {
    fn from(VppInfo { version, build_date, pid, capabilities }: &VppInfo) -> Self {
        let (version, build_date, capabilities) = (version.clone(), build_date.clone(), capabilities.clone());
        Self { version, build_date, pid: *pid, capabilities }
    }
}

impl From<proto::VppInfo> for VppInfo {
    fn from(proto::VppInfo { version, build_date, pid, capabilities }: proto::VppInfo) -> Self {
        Self { version, build_date, pid, capabilities }
    }
}

impl From<VppVip> for proto::VipId {
    fn from(VppVip { address, length, protocol, port }: VppVip) -> Self {
        Self {
            address: address.to_string(),
            prefix_length: length.into(),
            protocol: protocol.into(),
            port: port.into(),
        }
    }
}

impl TryFrom<proto::VipId> for VppVip {
    type Error = Malformed;

    fn try_from(id: proto::VipId) -> Result<Self, Malformed> {
        Ok(Self {
            address: read_address(&id.address, "address")?,
            length: number(id.prefix_length, "prefix_length")?,
            protocol: number(id.protocol, "protocol")?,
            port: number(id.port, "port")?,
        })
    }
}

pub fn read_id(id: Option<proto::VipId>) -> Result<VppVip, Malformed> {
    id.ok_or(Malformed::missing("vip"))?.try_into()
}

impl From<ActualEncap> for proto::LbEncap {
    fn from(ActualEncap { kind, dscp, target_port }: ActualEncap) -> Self {
        Self { kind, dscp: dscp.into(), target_port: target_port.into() }
    }
}

impl TryFrom<proto::LbEncap> for ActualEncap {
    type Error = Malformed;

    fn try_from(encap: proto::LbEncap) -> Result<Self, Malformed> {
        let (dscp, target_port) = (number(encap.dscp, "dscp")?, number(encap.target_port, "target_port")?);
        Ok(Self { kind: encap.kind, dscp, target_port })
    }
}

impl From<ActualConf> for proto::LbConf {
    fn from(conf: ActualConf) -> Self {
        let ActualConf { ipv4_source, ipv6_source, sticky_buckets_per_core, flow_timeout } = conf;
        let (ipv4_source, ipv6_source) = (ipv4_source.to_string(), ipv6_source.to_string());
        Self { ipv4_source, ipv6_source, sticky_buckets_per_core, flow_timeout }
    }
}

impl TryFrom<proto::LbConf> for ActualConf {
    type Error = Malformed;

    fn try_from(conf: proto::LbConf) -> Result<Self, Malformed> {
        let (v4, v6) = ("ipv4_source", "ipv6_source");
        Ok(Self {
            ipv4_source: read_optional_address::<Ipv4Addr>(&conf.ipv4_source, v4)?.ok_or(Malformed::missing(v4))?,
            ipv6_source: read_optional_address::<Ipv6Addr>(&conf.ipv6_source, v6)?.ok_or(Malformed::missing(v6))?,
            sticky_buckets_per_core: conf.sticky_buckets_per_core,
            flow_timeout: conf.flow_timeout,
        })
    }
}

/// A VIP as read from VPP, including buckets.
fn dumped_vip(vip: VppVip, actual: &ActualVip) -> proto::LbVip {
    let ActualVip { encap, sticky, table_length, pool_index, ases } = actual;
    let server = |(address, server): (&IpAddr, &ActualAs)| proto::LbServer {
        address: address.to_string(),
        weight: server.weight.into(),
        buckets: Some(server.buckets),
    };
    proto::LbVip {
        id: Some(vip.into()),
        encap: encap.map(Into::into),
        sticky: *sticky,
        table_length: table_length.map(Into::into),
        pool_index: *pool_index,
        servers: ases.iter().map(server).collect(),
        table_fingerprint: TableFingerprint::new(&VipState::from(actual)).map(|fingerprint| fingerprint.to_string()),
    }
}

/// A VIP after the steps since the last dump.
pub fn vip(vip: VppVip, state: &VipState) -> proto::LbVip {
    let VipState { encap, sticky, table_length, servers } = state;
    proto::LbVip {
        id: Some(vip.into()),
        encap: encap.map(Into::into),
        sticky: *sticky,
        table_length: table_length.map(Into::into),
        pool_index: None,
        servers: self::servers(servers.iter()),
        table_fingerprint: None,
    }
}

/// Application servers with their weights, without buckets.
pub fn servers<'a>(servers: impl Iterator<Item = (&'a IpAddr, &'a u8)>) -> Vec<proto::LbServer> {
    let server = |(address, weight): (&IpAddr, &u8)| proto::LbServer {
        address: address.to_string(),
        weight: (*weight).into(),
        buckets: None,
    };
    servers.map(server).collect()
}

pub fn read_vip(vip: proto::LbVip) -> Result<(VppVip, VipState), Malformed> {
    let (id, actual) = read_dumped_vip(vip)?;
    Ok((id, VipState::from(&actual)))
}

fn read_dumped_vip(vip: proto::LbVip) -> Result<(VppVip, ActualVip), Malformed> {
    let server = |server: proto::LbServer| {
        let (weight, buckets) = (number(server.weight, "weight")?, server.buckets.unwrap_or(0));
        Ok((read_address(&server.address, "address")?, ActualAs { weight, buckets }))
    };
    let actual = ActualVip {
        encap: vip.encap.map(ActualEncap::try_from).transpose()?,
        sticky: vip.sticky,
        table_length: vip.table_length.map(|length| number(length, "table_length")).transpose()?,
        pool_index: vip.pool_index,
        ases: vip.servers.into_iter().map(server).collect::<Result<_, Malformed>>()?,
    };
    Ok((read_id(vip.id)?, actual))
}

pub fn lb_state(conf: ActualConf, actual: &Actual) -> proto::LbState {
    let Actual { vips, weightless } = actual;
    proto::LbState {
        conf: Some(conf.into()),
        vips: vips.iter().map(|(vip, actual)| dumped_vip(*vip, actual)).collect(),
        weightless: *weightless,
    }
}

pub fn read_lb_state(state: proto::LbState) -> Result<(ActualConf, Actual), Malformed> {
    let vips = state.vips.into_iter().map(read_dumped_vip).collect::<Result<BTreeMap<_, _>, _>>()?;
    let conf = state.conf.ok_or(Malformed::missing("conf"))?.try_into()?;
    Ok((conf, Actual { vips, weightless: state.weightless }))
}

impl From<&LbDump> for proto::GetVppLbStateResponse {
    fn from(LbDump { at, conf, actual }: &LbDump) -> Self {
        Self { read_at: Some(time(*at)), state: Some(lb_state(*conf, actual)) }
    }
}

pub fn read_dump(dump: proto::GetVppLbStateResponse) -> Result<LbDump, Malformed> {
    let at = read_time(dump.read_at, "read_at")?;
    let (conf, actual) = read_lb_state(dump.state.ok_or(Malformed::missing("state"))?)?;
    Ok(LbDump { at, conf, actual })
}

impl From<&SyncHold> for proto::Hold {
    fn from(SyncHold { id, removals, change, until }: &SyncHold) -> Self {
        let change = change.as_ref().map(|change| proto::HeldChange {
            frontend: change.frontend.to_string(),
            moved_permille: change.moved_permille.into(),
        });
        Self { id: id.to_string(), removals: *removals, change, until: Some(time(*until)) }
    }
}

impl TryFrom<proto::Hold> for SyncHold {
    type Error = Malformed;

    fn try_from(hold: proto::Hold) -> Result<Self, Malformed> {
        let change = |change: proto::HeldChange| {
            let moved_permille = number(change.moved_permille, "moved_permille")?;
            Ok(HeldChange { frontend: Name::from(&*change.frontend), moved_permille })
        };
        let change = hold.change.map(change).transpose()?;
        Ok(Self { id: hold.id.into(), removals: hold.removals, change, until: read_time(hold.until, "until")? })
    }
}
