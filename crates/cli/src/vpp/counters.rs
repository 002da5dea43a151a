//! `show vpp lb counters`: packet counters of each VIP, summed over all nodes.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use serde::Serialize;

use super::failures;
use crate::{
    coverage::Ratio,
    fan_out::Responses,
    output::{Cell, Page, Printable, Table},
    style::Style,
};
use maglev_model::{
    actual::VppVip,
    counters::{RouteCounters, StatsSnapshot, VipCounters, VipPackets},
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counters {
    vips: Vec<Vip>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    failed: BTreeMap<Arc<str>, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Vip {
    prefix: String,
    protocol: String,
    port: u16,
    /// Nodes with the VIP, out of the nodes with counters.
    on_nodes: Ratio,
    #[serde(skip_serializing_if = "Option::is_none")]
    packets: Option<Packets>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<Route>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Packets {
    existing_flow: u64,
    first_of_flow: u64,
    untracked: u64,
    no_server: u64,
}

#[derive(Default, Serialize)]
struct Route {
    packets: u64,
    bytes: u64,
}

impl Counters {
    pub fn new(responses: Responses<Arc<StatsSnapshot>>) -> Self {
        let (mut failed, mut counted) = (BTreeMap::new(), 0);
        let mut vips: BTreeMap<VppVip, Vec<VipCounters>> = BTreeMap::new();
        for (node, response) in responses {
            let stats = match response {
                Ok(stats) => stats,
                Err(error) => {
                    failed.insert(node, error);
                    continue;
                }
            };
            let Some(counters) = &stats.counters else {
                failed.insert(node, "cannot read VPP's counters".to_owned());
                continue;
            };
            counted += 1;
            for (vip, vip_counters) in &counters.vips {
                vips.entry(*vip).or_default().push(vip_counters.clone());
            }
        }
        Self { vips: vips.into_iter().map(|(vip, counters)| Vip::new(&vip, &counters, counted)).collect(), failed }
    }
}

impl Vip {
    fn new(vip: &VppVip, counted: &[VipCounters], all: usize) -> Self {
        let packets = counted
            .iter()
            .filter_map(|packets| packets.packets)
            .fold(None, |sum: Option<Packets>, packets| Some(sum.unwrap_or_default().plus(packets)));
        let route = counted
            .iter()
            .filter_map(|route| route.route)
            .fold(None, |sum: Option<Route>, route| Some(sum.unwrap_or_default().plus(route)));
        Self {
            prefix: format!("{}/{}", vip.address, vip.length),
            protocol: vip.protocol_text().to_string(),
            port: vip.port,
            on_nodes: Ratio { count: counted.len(), total: all },
            packets,
            route,
        }
    }
}

impl Packets {
    fn plus(self, added: VipPackets) -> Self {
        Self {
            existing_flow: self.existing_flow + added.existing,
            first_of_flow: self.first_of_flow + added.first,
            untracked: self.untracked + added.untracked,
            no_server: self.no_server + added.no_server,
        }
    }
}

impl Route {
    fn plus(self, added: RouteCounters) -> Self {
        Self { packets: self.packets + added.packets, bytes: self.bytes + added.bytes }
    }
}

impl Printable for Counters {
    fn page(&self, _: bool, _: Timestamp) -> Page {
        let head = ["VIP", "PROTO", "PORT", "NODES", "EXISTING", "FIRST", "UNTRACKED", "NO-SERVER", "ROUTED", "BYTES"];
        let mut table = Table::new(head);
        for vip in &self.vips {
            let packets = |field: fn(&Packets) -> u64| vip.packets.as_ref().map(field);
            let text = |number: Option<u64>| number.map_or_else(Cell::none, |number| number.to_string().into());
            let dropped = packets(|packets| packets.no_server);
            let style = if dropped.unwrap_or(0) > 0 { Style::Warn } else { Style::Plain };
            table.row([
                vip.prefix.clone().into(),
                vip.protocol.clone().into(),
                if vip.port == 0 { "all".into() } else { vip.port.to_string().into() },
                vip.on_nodes.cell(),
                text(packets(|packets| packets.existing_flow)),
                text(packets(|packets| packets.first_of_flow)),
                text(packets(|packets| packets.untracked)),
                dropped.map_or_else(Cell::none, |count| Cell::styled(count.to_string(), style)),
                text(vip.route.as_ref().map(|route| route.packets)),
                text(vip.route.as_ref().map(|route| route.bytes)),
            ]);
        }
        let mut page = Page::default();
        page.table(&table, "no VIPs");
        failures(&mut page, &self.failed);
        page
    }
}
