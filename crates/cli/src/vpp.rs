//! `show vpp info`; `show vpp lb state` is in [`state`], `show vpp lb counters` in [`counters`].

pub mod counters;
pub mod state;

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use super::{
    ask::Answers,
    output::{Answer, Cell, Page, Table, Time, age},
    paint::Tone,
};
use maglev_rpc::client::VppDetail;

/// Which VPP each node has.
#[derive(Serialize)]
pub struct Infos(Vec<Info>);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    node: Arc<str>,
    #[serde(flatten)]
    vpp: Option<Vpp>,
    /// Why nothing is known of it.
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
    pub fn of(answers: Answers<VppDetail>) -> Self {
        let info = |(node, answer): (Arc<str>, Result<VppDetail, String>)| match answer {
            Ok(of) => Info { node, vpp: Some(of.into()), error: None },
            Err(error) => Info { node, vpp: None, error: Some(error) },
        };
        Self(answers.into_iter().map(info).collect())
    }
}

impl From<VppDetail> for Vpp {
    fn from(of: VppDetail) -> Self {
        Self {
            version: of.info.version,
            build_date: of.info.build_date,
            pid: of.info.pid,
            capabilities: of.info.capabilities,
            connected_since: Time(of.connected_since),
            started: of.started.map(Time),
        }
    }
}

impl Answer for Infos {
    fn page(&self, wide: bool, now: Timestamp) -> Page {
        let mut head = vec!["NODE", "VERSION", "PID", "STARTED", "CONNECTED", "CAPABILITIES"];
        head.extend(wide.then_some("BUILT"));
        let mut table = Table::new(head);
        for info in &self.0 {
            let Some(vpp) = &info.vpp else {
                let error = info.error.clone().unwrap_or_default();
                table.row([info.node.to_string().into(), Cell::toned(error, Tone::Bad)]);
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

/// The nodes that did not answer, at the end of a page.
fn failures(page: &mut Page, failed: &std::collections::BTreeMap<Arc<str>, String>) {
    if !failed.is_empty() {
        page.gap();
    }
    for (node, error) in failed {
        page.line(format_args!("{node}: {}", Tone::Bad.paint(error)));
    }
}
