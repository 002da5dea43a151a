//! `sync vpp lb state`: requests a full sync from the agents.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use super::{
    fan_out::Responses,
    output::{Cell, Page, Printable, Table},
    style::Style,
};

#[derive(Serialize)]
pub struct Synced(Vec<NodeSync>);

#[derive(Serialize)]
struct NodeSync {
    node: Arc<str>,
    /// True if the agent accepted the request.
    #[serde(rename = "asked")]
    accepted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Synced {
    pub fn new(responses: Responses<()>) -> Self {
        let node_sync = |(node, response): (Arc<str>, Result<(), String>)| NodeSync {
            node,
            accepted: response.is_ok(),
            error: response.err(),
        };
        Self(responses.into_iter().map(node_sync).collect())
    }

    /// True if every agent accepted the request.
    pub fn is_complete(&self) -> bool {
        self.0.iter().all(|sync| sync.accepted)
    }
}

impl Printable for Synced {
    fn page(&self, _: bool, _: Timestamp) -> Page {
        let mut table = Table::new(["NODE", "SYNC"]);
        for sync in &self.0 {
            let cell = match &sync.error {
                None => Cell::styled("started", Style::Good),
                Some(error) => Cell::styled(error.clone(), Style::Bad),
            };
            table.row([sync.node.to_string().into(), cell]);
        }
        let mut page = Page::default();
        page.table(&table, "no nodes");
        page
    }
}
