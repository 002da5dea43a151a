//! VPP's counters.

use std::{net::IpAddr, sync::Arc, time::Duration};

use super::{Malformed, scalar::read_address, vpp::read_id};
use crate::proto;
use maglev_model::{
    actual::VppVip,
    counters::{BackendCounters, Counters, RouteCounters, StatsSnapshot, StickyTable, VipCounters, VipPackets},
};

impl From<&StatsSnapshot> for proto::GetVppLbCountersResponse {
    fn from(snapshot: &StatsSnapshot) -> Self {
        let StatsSnapshot { version, build_date, pid, counters } = snapshot;
        let info = proto::VppInfo {
            version: version.clone(),
            build_date: build_date.clone(),
            pid: *pid,
            capabilities: String::new(),
        };
        Self { info: Some(info), counters: counters.as_ref().map(proto::LbCounters::from) }
    }
}

pub fn read_counters(response: proto::GetVppLbCountersResponse) -> Result<Arc<StatsSnapshot>, Malformed> {
    let proto::VppInfo { version, build_date, pid, capabilities: _ } = response.info.unwrap_or_default();
    let counters = response.counters.map(Counters::try_from).transpose()?;
    Ok(Arc::new(StatsSnapshot { version, build_date, pid, counters }))
}

impl From<&Counters> for proto::LbCounters {
    fn from(counters: &Counters) -> Self {
        let Counters { boot_time, heartbeat, vips, backends, sticky_tables, interval } = counters;
        Self {
            boot_time: *boot_time,
            heartbeat: *heartbeat,
            vips: vips.iter().map(|(vip, counters)| vip_counters(*vip, counters)).collect(),
            backends: backends.iter().map(|(address, counters)| backend_counters(*address, *counters)).collect(),
            sticky_tables: sticky_tables.iter().map(|table| (*table).into()).collect(),
            interval_ms: interval.as_millis().try_into().unwrap_or(u32::MAX),
        }
    }
}

impl TryFrom<proto::LbCounters> for Counters {
    type Error = Malformed;

    fn try_from(counters: proto::LbCounters) -> Result<Self, Malformed> {
        let proto::LbCounters { boot_time, heartbeat, vips, backends, sticky_tables, interval_ms } = counters;
        Ok(Self {
            boot_time,
            heartbeat,
            vips: vips.into_iter().map(read_vip_counters).collect::<Result<_, Malformed>>()?,
            backends: backends.into_iter().map(read_backend_counters).collect::<Result<_, Malformed>>()?,
            sticky_tables: sticky_tables.into_iter().map(Into::into).collect(),
            interval: Duration::from_millis(interval_ms.into()),
        })
    }
}

fn vip_counters(vip: VppVip, counters: &VipCounters) -> proto::VipCounters {
    let VipCounters { packets, route, flows } = counters;
    let server_flows =
        |(address, flows): (&IpAddr, &u32)| proto::ServerFlows { address: address.to_string(), flows: *flows };
    proto::VipCounters {
        id: Some(vip.into()),
        packets: packets.map(Into::into),
        route: route.map(Into::into),
        flows: flows.iter().map(server_flows).collect(),
    }
}

fn read_vip_counters(counters: proto::VipCounters) -> Result<(VppVip, VipCounters), Malformed> {
    let proto::VipCounters { id, packets, route, flows } = counters;
    let server_flows = |server: proto::ServerFlows| Ok((read_address(&server.address, "address")?, server.flows));
    let counters = VipCounters {
        packets: packets.map(Into::into),
        route: route.map(Into::into),
        flows: flows.into_iter().map(server_flows).collect::<Result<_, Malformed>>()?,
    };
    Ok((read_id(id)?, counters))
}

fn backend_counters(address: IpAddr, counters: BackendCounters) -> proto::BackendCounters {
    let BackendCounters { packets, bytes, vips, recent } = counters;
    proto::BackendCounters { address: address.to_string(), packets, bytes, vips, recent: Some(recent.into()) }
}

fn read_backend_counters(counters: proto::BackendCounters) -> Result<(IpAddr, BackendCounters), Malformed> {
    let proto::BackendCounters { address, packets, bytes, vips, recent } = counters;
    let recent = recent.map(Into::into).unwrap_or_default();
    Ok((read_address(&address, "address")?, BackendCounters { packets, bytes, vips, recent }))
}

impl From<VipPackets> for proto::VipPackets {
    fn from(VipPackets { existing, first, untracked, no_server }: VipPackets) -> Self {
        Self { existing, first, untracked, no_server }
    }
}

impl From<proto::VipPackets> for VipPackets {
    fn from(proto::VipPackets { existing, first, untracked, no_server }: proto::VipPackets) -> Self {
        Self { existing, first, untracked, no_server }
    }
}

impl From<RouteCounters> for proto::RouteCounters {
    fn from(RouteCounters { packets, bytes }: RouteCounters) -> Self {
        Self { packets, bytes }
    }
}

impl From<proto::RouteCounters> for RouteCounters {
    fn from(proto::RouteCounters { packets, bytes }: proto::RouteCounters) -> Self {
        Self { packets, bytes }
    }
}

impl From<StickyTable> for proto::StickyTable {
    fn from(StickyTable { thread, entries, capacity }: StickyTable) -> Self {
        Self { thread, entries, capacity }
    }
}

impl From<proto::StickyTable> for StickyTable {
    fn from(proto::StickyTable { thread, entries, capacity }: proto::StickyTable) -> Self {
        Self { thread, entries, capacity }
    }
}
