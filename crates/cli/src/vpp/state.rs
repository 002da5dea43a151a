//! `show vpp lb state`: the VIPs and application servers in VPP.
//!
//! Equal state on several nodes is one row with the number of nodes; differing state has one row per variant.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use jiff::Timestamp;
use serde::Serialize;

use super::failures;
use crate::{
    coverage::Ratio,
    fan_out::Responses,
    output::{Cell, Page, Printable, Table},
    style::Style,
};
use maglev_fleet::survey::{NodeTables, TableDifference};
use maglev_model::{
    actual::{ActualConf, ActualEncap, ActualVip, LbDump, VppVip},
    change::VipState,
    table_change::TableSpec,
    table_fingerprint::TableFingerprint,
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    vips: Vec<Vip>,
    settings: Vec<Settings>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    failed: BTreeMap<Arc<str>, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Vip {
    prefix: String,
    protocol: String,
    port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    encap: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sticky: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    table_length: Option<u16>,
    on_nodes: Ratio,
    application_servers: Vec<Server>,
    /// The new-flow tables of the nodes.
    tables: Vec<NodesTable>,
    /// The difference between the tables of all variants.
    #[serde(skip)]
    difference: Option<TableDifference>,
}

/// A new-flow table, and the nodes that have it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NodesTable {
    fingerprint: String,
    nodes: Vec<Arc<str>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Server {
    address: String,
    weight: u8,
    /// Minimum and maximum over the nodes.
    buckets: (u32, u32),
    /// The first number of `buckets`, by name.
    min_buckets: u32,
    /// The second number of `buckets`, by name.
    max_buckets: u32,
    on_nodes: Ratio,
}

#[derive(PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Settings {
    #[serde(skip_serializing_if = "Option::is_none")]
    ipv4_source_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ipv6_source_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sticky_buckets_per_core: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flow_timeout_seconds: Option<u32>,
    nodes: Vec<Arc<str>>,
}

impl State {
    pub fn new(responses: Responses<LbDump>) -> Self {
        let (mut dumps, mut failed) = (BTreeMap::new(), BTreeMap::new());
        for (node, response) in responses {
            match response {
                Ok(dump) => drop(dumps.insert(node, dump)),
                Err(error) => drop(failed.insert(node, error)),
            }
        }
        let vips: BTreeSet<&VppVip> = dumps.values().flat_map(|dump| dump.actual.vips.keys()).collect();
        let vips = vips.into_iter().flat_map(|vip| Vip::all(vip, &dumps)).collect();
        let mut settings: Vec<Settings> = Vec::new();
        for (node, dump) in &dumps {
            let own = Settings::new(&dump.conf);
            match settings.iter_mut().find(|existing| existing.same(&own)) {
                Some(existing) => existing.nodes.push(Arc::clone(node)),
                None => settings.push(Settings { nodes: vec![Arc::clone(node)], ..own }),
            }
        }
        Self { vips, settings, failed }
    }
}

impl Vip {
    /// One entry per variant of the VIP.
    fn all(vip: &VppVip, dumps: &BTreeMap<Arc<str>, LbDump>) -> Vec<Self> {
        type Shape = (Option<&'static str>, Option<bool>, Option<u16>);
        let mut shapes: BTreeMap<Shape, BTreeMap<&Arc<str>, &ActualVip>> = BTreeMap::new();
        for (node, actual) in dumps.iter().filter_map(|(node, dump)| Some((node, dump.actual.vips.get(vip)?))) {
            let shape = (actual.encap.map(ActualEncap::as_str), actual.sticky, actual.table_length);
            shapes.entry(shape).or_default().insert(node, actual);
        }
        let difference = TableDifference::between(&tables(vip, dumps));
        let one = |((encap, sticky, table_length), on): (Shape, BTreeMap<&Arc<str>, &ActualVip>)| Self {
            prefix: format!("{}/{}", vip.address, vip.length),
            protocol: vip.protocol_text().to_string(),
            port: vip.port,
            encap,
            sticky,
            table_length,
            on_nodes: Ratio { count: on.len(), total: dumps.len() },
            tables: NodesTable::all(&on),
            application_servers: Server::all(&on.into_values().collect::<Vec<_>>(), dumps.len()),
            difference: None,
        };
        let mut variants: Vec<Self> = shapes.into_iter().map(one).collect();
        if let Some(last) = variants.last_mut() {
            last.difference = difference;
        }
        variants
    }

    /// The fingerprint of the table that all nodes have, or the number of different tables.
    fn fingerprint(&self) -> Cell {
        match &self.tables[..] {
            [] => Cell::none(),
            [table] => table.fingerprint.clone().into(),
            tables => Cell::styled(format!("{} tables", tables.len()), Style::Warn),
        }
    }
}

/// The new-flow tables of a VIP.
fn tables(vip: &VppVip, dumps: &BTreeMap<Arc<str>, LbDump>) -> NodeTables {
    let table = |dump: &LbDump| TableSpec::simplest(&VipState::from(dump.actual.vips.get(vip)?));
    dumps.iter().filter_map(|(node, dump)| Some((Arc::clone(node), table(dump)?))).collect()
}

impl NodesTable {
    /// Each table once.
    fn all(on: &BTreeMap<&Arc<str>, &ActualVip>) -> Vec<Self> {
        let mut nodes: BTreeMap<String, Vec<Arc<str>>> = BTreeMap::new();
        for (node, vip) in on {
            if let Some(fingerprint) = TableFingerprint::new(&VipState::from(*vip)) {
                nodes.entry(fingerprint.to_string()).or_default().push(Arc::clone(node));
            }
        }
        nodes.into_iter().map(|(fingerprint, nodes)| Self { fingerprint, nodes }).collect()
    }
}

impl Server {
    fn all(on: &[&ActualVip], all: usize) -> Vec<Self> {
        let mut servers: BTreeMap<(IpAddr, u8), Vec<u32>> = BTreeMap::new();
        for (address, server) in on.iter().flat_map(|vip| &vip.ases) {
            servers.entry((*address, server.weight)).or_default().push(server.buckets);
        }
        let one = |((address, weight), buckets): ((IpAddr, u8), Vec<u32>)| {
            let min_buckets = buckets.iter().copied().min().unwrap_or(0);
            let max_buckets = buckets.iter().copied().max().unwrap_or(0);
            Self {
                address: address.to_string(),
                weight,
                buckets: (min_buckets, max_buckets),
                min_buckets,
                max_buckets,
                on_nodes: Ratio { count: buckets.len(), total: all },
            }
        };
        servers.into_iter().map(one).collect()
    }
}

impl Settings {
    fn new(conf: &ActualConf) -> Self {
        let if_known = |number: u32| (number != ActualConf::UNKNOWN).then_some(number);
        Self {
            ipv4_source_address: conf.ipv4().map(|address| address.to_string()),
            ipv6_source_address: conf.ipv6().map(|address| address.to_string()),
            sticky_buckets_per_core: if_known(conf.sticky_buckets_per_core),
            flow_timeout_seconds: if_known(conf.flow_timeout),
            nodes: Vec::new(),
        }
    }

    fn same(&self, other: &Self) -> bool {
        let key = |settings: &Self| {
            let sources = (settings.ipv4_source_address.clone(), settings.ipv6_source_address.clone());
            (sources, settings.sticky_buckets_per_core, settings.flow_timeout_seconds)
        };
        key(self) == key(other)
    }
}

impl Printable for State {
    fn page(&self, wide: bool, _: Timestamp) -> Page {
        let mut head = vec!["VIP", "PROTO", "PORT", "ENCAP", "NODES", "SERVER", "WEIGHT", "BUCKETS", "ON"];
        if wide {
            head.extend(["STICKY", "TABLE", "FINGERPRINT"]);
        }
        let mut table = Table::new(head);
        let text = |text: Option<String>| text.map_or_else(Cell::none, Cell::from);
        for vip in &self.vips {
            let mut first = vec![
                Cell::from(vip.prefix.clone()),
                vip.protocol.clone().into(),
                if vip.port == 0 { "all".into() } else { vip.port.to_string().into() },
                text(vip.encap.map(str::to_owned)),
                vip.on_nodes.cell(),
            ];
            let more = [
                text(vip.sticky.map(|sticky| sticky.to_string())),
                text(vip.table_length.map(|length| length.to_string())),
                vip.fingerprint(),
            ];
            for server in &vip.application_servers {
                let buckets = match server.buckets {
                    (least, most) if least == most => most.to_string(),
                    (least, most) => format!("{least}-{most}"),
                };
                let repeated = vec![Cell::default(); first.len()];
                let mut row = std::mem::replace(&mut first, repeated);
                row.extend([server.address.clone().into(), server.weight.to_string().into(), buckets.into()]);
                row.push(server.on_nodes.cell());
                row.extend(wide.then(|| more.clone()).into_iter().flatten());
                table.row(row);
            }
            if vip.application_servers.is_empty() {
                first.extend([Cell::none(), Cell::none(), Cell::none(), Cell::none()]);
                first.extend(wide.then_some(more).into_iter().flatten());
                table.row(first);
            }
        }
        let mut page = Page::default();
        page.table(&table, "no VIPs");
        page.gap();
        let differences = self.vips.iter().filter_map(|vip| Some((vip, vip.difference.as_ref()?)));
        for (Vip { prefix, protocol, port, .. }, difference) in differences.clone() {
            page.styled(Style::Warn, format_args!("{prefix} {protocol} {port}: {difference}"));
        }
        if differences.count() > 0 {
            page.gap();
        }
        page.table(&self.settings_table(), "no VPP responded");
        failures(&mut page, &self.failed);
        page
    }
}

impl State {
    fn settings_table(&self) -> Table {
        let mut table = Table::new(["IPV4-SOURCE", "IPV6-SOURCE", "STICKY-BUCKETS", "FLOW-TIMEOUT", "NODES"]);
        let text = |text: Option<String>| text.map_or_else(Cell::none, Cell::from);
        for settings in &self.settings {
            table.row([
                text(settings.ipv4_source_address.clone()),
                text(settings.ipv6_source_address.clone()),
                text(settings.sticky_buckets_per_core.map(|buckets| buckets.to_string())),
                text(settings.flow_timeout_seconds.map(|seconds| format!("{seconds}s"))),
                settings.nodes.iter().map(|node| &**node).collect::<Vec<_>>().join(" ").into(),
            ]);
        }
        table
    }
}
