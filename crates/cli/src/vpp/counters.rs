//! `show vpp lb counters`: what the VPPs have counted for each VIP, summed over nodes.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use serde::Serialize;

use super::failures;
use crate::{
    across::Share,
    ask::Answers,
    output::{Answer, Cell, Page, Table},
    paint::Tone,
};
use maglev_model::{
    actual::VppVip,
    counters::{RouteCounters, StatsSnapshot, VipCounters, VipPackets},
};

/// What was counted.
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
    /// Nodes that have the VIP, of those that counted.
    on_nodes: Share,
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
    pub fn of(answers: Answers<Arc<StatsSnapshot>>) -> Self {
        let (mut failed, mut counted) = (BTreeMap::new(), 0);
        let mut vips: BTreeMap<VppVip, Vec<VipCounters>> = BTreeMap::new();
        for (node, answer) in answers {
            let stats = match answer {
                Ok(stats) => stats,
                Err(error) => {
                    failed.insert(node, error);
                    continue;
                }
            };
            let Some(counters) = &stats.counters else {
                failed.insert(node, "VPP's counters cannot be read".to_owned());
                continue;
            };
            counted += 1;
            for (vip, of) in &counters.vips {
                vips.entry(*vip).or_default().push(*of);
            }
        }
        Self { vips: vips.into_iter().map(|(vip, of)| Vip::of(&vip, &of, counted)).collect(), failed }
    }
}

impl Vip {
    fn of(vip: &VppVip, counted: &[VipCounters], all: usize) -> Self {
        let packets = counted
            .iter()
            .filter_map(|of| of.packets)
            .fold(None, |sum: Option<Packets>, of| Some(sum.unwrap_or_default().plus(of)));
        let route = counted
            .iter()
            .filter_map(|of| of.route)
            .fold(None, |sum: Option<Route>, of| Some(sum.unwrap_or_default().plus(of)));
        Self {
            prefix: format!("{}/{}", vip.address, vip.length),
            protocol: vip.protocol_text().to_string(),
            port: vip.port,
            on_nodes: Share { of: counted.len(), all },
            packets,
            route,
        }
    }
}

impl Packets {
    fn plus(self, of: VipPackets) -> Self {
        Self {
            existing_flow: self.existing_flow + of.existing,
            first_of_flow: self.first_of_flow + of.first,
            untracked: self.untracked + of.untracked,
            no_server: self.no_server + of.no_server,
        }
    }
}

impl Route {
    fn plus(self, of: RouteCounters) -> Self {
        Self { packets: self.packets + of.packets, bytes: self.bytes + of.bytes }
    }
}

impl Answer for Counters {
    fn page(&self, _: bool, _: Timestamp) -> Page {
        let head = ["VIP", "PROTO", "PORT", "NODES", "EXISTING", "FIRST", "UNTRACKED", "NO-SERVER", "ROUTED", "BYTES"];
        let mut table = Table::new(head);
        for vip in &self.vips {
            let packets = |of: fn(&Packets) -> u64| vip.packets.as_ref().map(of);
            let text = |number: Option<u64>| number.map_or_else(Cell::none, |number| number.to_string().into());
            let dropped = packets(|of| of.no_server);
            let tone = if dropped.unwrap_or(0) > 0 { Tone::Warn } else { Tone::Plain };
            table.row([
                vip.prefix.clone().into(),
                vip.protocol.clone().into(),
                if vip.port == 0 { "all".into() } else { vip.port.to_string().into() },
                vip.on_nodes.cell(),
                text(packets(|of| of.existing_flow)),
                text(packets(|of| of.first_of_flow)),
                text(packets(|of| of.untracked)),
                dropped.map_or_else(Cell::none, |of| Cell::toned(of.to_string(), tone)),
                text(vip.route.as_ref().map(|of| of.packets)),
                text(vip.route.as_ref().map(|of| of.bytes)),
            ]);
        }
        let mut page = Page::default();
        page.table(&table, "no VIPs");
        failures(&mut page, &self.failed);
        page
    }
}
