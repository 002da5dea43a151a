//! `show vpp info`. See [`state`] for `show vpp lb state` and [`counters`] for `show vpp lb counters`.

pub mod counters;
pub mod state;

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use super::{
    fan_out::Responses,
    output::{Cell, Page, Printable, Table, Time, age},
    style::Style,
};
use maglev_rpc::client::VppDetail;

/// The VPP of each node.
#[derive(Serialize)]
pub struct Infos(Vec<Info>);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    node: Arc<str>,
    #[serde(flatten)]
    vpp: Option<Vpp>,
    /// The error of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Vpp {
    version: String,
    build_date: String,
    pid: u32,
    capabilities: String,
    connected_since: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<Time>,
}

impl Infos {
    pub fn new(responses: Responses<VppDetail>) -> Self {
        let info = |(node, response): (Arc<str>, Result<VppDetail, String>)| match response {
            Ok(detail) => Info { node, vpp: Some(detail.into()), error: None },
            Err(error) => Info { node, vpp: None, error: Some(error) },
        };
        Self(responses.into_iter().map(info).collect())
    }
}

impl From<VppDetail> for Vpp {
    fn from(detail: VppDetail) -> Self {
        Self {
            version: detail.info.version,
            build_date: detail.info.build_date,
            pid: detail.info.pid,
            capabilities: detail.info.capabilities,
            connected_since: Time(detail.connected_since),
            started: detail.started.map(Time),
        }
    }
}

impl Printable for Infos {
    fn page(&self, wide: bool, now: Timestamp) -> Page {
        let mut head = vec!["NODE", "VERSION", "PID", "STARTED", "CONNECTED", "CAPABILITIES"];
        head.extend(wide.then_some("BUILT"));
        let mut table = Table::new(head);
        for info in &self.0 {
            let Some(vpp) = &info.vpp else {
                let error = info.error.clone().unwrap_or_default();
                table.row([info.node.to_string().into(), Cell::styled(error, Style::Bad)]);
                continue;
            };
            let mut row = vec![
                info.node.to_string().into(),
                vpp.version.clone().into(),
                vpp.pid.to_string().into(),
                vpp.started.map_or_else(Cell::none, |at| age(at.0, now).into()),
                age(vpp.connected_since.0, now).into(),
                vpp.capabilities.clone().into(),
            ];
            row.extend(wide.then(|| vpp.build_date.clone().into()));
            table.row(row);
        }
        let mut page = Page::default();
        page.table(&table, "no nodes");
        page
    }
}

/// Lists failed requests at the end of a page.
fn failures(page: &mut Page, failed: &std::collections::BTreeMap<Arc<str>, String>) {
    if !failed.is_empty() {
        page.gap();
    }
    for (node, error) in failed {
        page.line_with(format_args!("{node}: "), Style::Bad, error);
    }
}
