//! `show vpp lb counters`: the counters of each VIP and of each application server, summed over all nodes, and the sticky
//! tables of each node.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use jiff::Timestamp;
use serde::Serialize;

use super::failures;
use crate::{
    coverage::Ratio,
    fan_out::Responses,
    output::{Cell, Page, Printable, Table},
    style::Style,
    traffic::{self, ServerTraffic},
};
use maglev_model::{
    actual::VppVip,
    counters::{self, RouteCounters, StatsSnapshot, VipCounters, VipPackets},
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counters {
    vips: Vec<Vip>,
    application_servers: Vec<Server>,
    sticky_tables: Vec<StickyTable>,
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

/// An application server. An address that several VIPs have is one entry.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Server {
    address: String,
    /// Nodes with the server, out of the nodes with counters.
    on_nodes: Ratio,
    #[serde(flatten)]
    traffic: ServerTraffic,
}

/// The sticky table of one thread of a node's VPP.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StickyTable {
    node: Arc<str>,
    thread: u32,
    /// Tracked flows that have not expired.
    flows: u64,
    capacity: u64,
    used_percent: u64,
    #[serde(skip)]
    filling: bool,
}

impl Counters {
    pub fn new(responses: Responses<Arc<StatsSnapshot>>) -> Self {
        let (mut failed, mut counted) = (BTreeMap::new(), Vec::new());
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
            for (vip, vip_counters) in &counters.vips {
                vips.entry(*vip).or_default().push(vip_counters.clone());
            }
            counted.push((node, stats));
        }
        let counted: Vec<(&Arc<str>, &counters::Counters)> =
            counted.iter().filter_map(|(node, stats)| Some((node, stats.counters.as_ref()?))).collect();
        Self {
            vips: vips.into_iter().map(|(vip, counters)| Vip::new(&vip, &counters, counted.len())).collect(),
            application_servers: Server::all(&counted),
            sticky_tables: counted.iter().flat_map(|(node, counters)| StickyTable::all(node, counters)).collect(),
            failed,
        }
    }
}

impl Server {
    fn all(counted: &[(&Arc<str>, &counters::Counters)]) -> Vec<Self> {
        let mut servers: BTreeMap<IpAddr, (usize, ServerTraffic)> = BTreeMap::new();
        for (address, traffic) in counted.iter().flat_map(|(_, counters)| ServerTraffic::by_address(counters)) {
            let (nodes, sum) = servers.entry(address).or_default();
            (*nodes, *sum) = (*nodes + 1, sum.plus(traffic));
        }
        let server = |(address, (nodes, traffic)): (IpAddr, (usize, ServerTraffic))| Self {
            address: address.to_string(),
            on_nodes: Ratio { count: nodes, total: counted.len() },
            traffic,
        };
        servers.into_iter().map(server).collect()
    }
}

impl StickyTable {
    fn all(node: &Arc<str>, counters: &counters::Counters) -> Vec<Self> {
        let table = |table: &counters::StickyTable| Self {
            node: Arc::clone(node),
            thread: table.thread,
            flows: table.entries,
            capacity: table.capacity,
            used_percent: table.percent(),
            filling: table.is_filling(),
        };
        counters.sticky_tables.iter().map(table).collect()
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
            existing_flow: self.existing_flow.saturating_add(added.existing),
            first_of_flow: self.first_of_flow.saturating_add(added.first),
            untracked: self.untracked.saturating_add(added.untracked),
            no_server: self.no_server.saturating_add(added.no_server),
        }
    }
}

impl Route {
    fn plus(self, added: RouteCounters) -> Self {
        Self { packets: self.packets.saturating_add(added.packets), bytes: self.bytes.saturating_add(added.bytes) }
    }
}

impl Printable for Counters {
    fn page(&self, _: bool, _: Timestamp) -> Page {
        let mut page = Page::default();
        page.table(&self.vips(), "no VIPs");
        page.heading("Application servers");
        page.table(&self.application_servers(), "none with counters");
        traffic::explain(&mut page, self.application_servers.iter().map(|server| &server.traffic));
        page.heading("Sticky tables");
        page.table(&self.sticky_tables(), "no thread has forwarded a packet to a VIP");
        failures(&mut page, &self.failed);
        page
    }
}

impl Counters {
    fn vips(&self) -> Table {
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
        table
    }

    fn application_servers(&self) -> Table {
        let mut table = Table::new(["SERVER", "VIPS", "NODES"].into_iter().chain(traffic::HEAD));
        for server in &self.application_servers {
            let vips = server.traffic.vips();
            let style = if vips > 1 { Style::Warn } else { Style::Plain };
            let first =
                [Cell::from(server.address.clone()), Cell::styled(vips.to_string(), style), server.on_nodes.cell()];
            table.row(first.into_iter().chain(server.traffic.cells()));
        }
        table
    }

    fn sticky_tables(&self) -> Table {
        let mut table = Table::new(["NODE", "THREAD", "FLOWS", "CAPACITY", "USED"]);
        for sticky in &self.sticky_tables {
            let style = if sticky.filling { Style::Warn } else { Style::Plain };
            table.row([
                sticky.node.to_string().into(),
                sticky.thread.to_string().into(),
                sticky.flows.to_string().into(),
                sticky.capacity.to_string().into(),
                Cell::styled(format!("{}%", sticky.used_percent), style),
            ]);
        }
        table
    }
}
