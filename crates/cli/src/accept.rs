//! `accept`: makes the changes of a hold now, through the MaglevNode of each node that has the hold.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::bail;
use jiff::Timestamp;
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use super::{
    flags::Flags,
    output::{Cell, Page, Printable, Table},
    session::Session,
    style::Style,
};
use maglev_fleet::{FleetHandle, NodeState};
use maglev_kube::accepted_removals::{AcceptError, accept_removals};
use maglev_model::change::SyncHold;

/// Time limit for the agents to release an accepted hold.
const LIMIT: Duration = Duration::from_secs(15);

/// The accepted hold, by node.
#[derive(Serialize)]
pub struct Accepted {
    hold: String,
    nodes: BTreeMap<Arc<str>, Released>,
}

/// The result of one node.
#[derive(Serialize)]
pub struct Released {
    /// Number of removals that were held; 0 for a held change of a Frontend.
    removals: u32,
    /// The held changes in words.
    subject: String,
    /// True if the agent has released the hold.
    released: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Accepts `hold` on every node that has it, or only on the node of `--node`, and waits until the agents have released
/// it.
///
/// # Errors
/// No node has the hold.
pub async fn accept(session: &Session, flags: &Flags, hold: &str) -> anyhow::Result<Accepted> {
    if !flags.server.is_empty() {
        bail!("accept writes to the API server: omit --server");
    }
    let mut nodes = session.nodes(flags.node.as_deref()).await?;
    nodes.retain(|node| node.view.holds.contains_key(hold));
    if nodes.is_empty() {
        bail!("hold {hold} not found on any node: `show nodes` lists the holds; this one may have ended");
    }
    let (client, handle, until) = (session.kube().await?, session.fleet().await?, Instant::now() + LIMIT);
    let mut accepted = Accepted::new(hold);
    for node in &nodes {
        let held = node.view.holds.keys().cloned().collect();
        let written = accept_removals(client, &node.node, hold, &held).await;
        let Some(hold) = node.view.holds.get(hold) else { continue };
        accepted.nodes.insert(Arc::clone(&node.node), Released::new(hold, written));
    }
    for (node, state) in accepted.nodes.iter_mut().filter(|(_, state)| state.error.is_none()) {
        state.released = released(handle, node, hold, until).await;
    }
    Ok(accepted)
}

/// Waits until the node's agent no longer has the hold.
async fn released(handle: &FleetHandle, node: &str, hold: &str, until: Instant) -> bool {
    let mut updates = handle.subscribe();
    let has_hold = |node: NodeState| node.view.holds.contains_key(hold);
    while handle.node(node).is_some_and(has_hold) {
        if !matches!(timeout_at(until, updates.next()).await, Ok(Some(_))) {
            return false;
        }
    }
    true
}

impl Released {
    /// The result of a write, before the agent has released the hold.
    pub fn new(hold: &SyncHold, written: Result<(), AcceptError>) -> Self {
        let error = written.err().map(|error| format!("{:#}", anyhow::Error::from(error)));
        Self { removals: hold.removals, subject: hold.subject(), released: false, error }
    }
}

impl Accepted {
    /// The hold before it is accepted on any node.
    pub fn new(hold: &str) -> Self {
        Self { hold: hold.to_owned(), nodes: BTreeMap::new() }
    }

    /// Adds the result of `node`.
    #[cfg(test)]
    pub fn with(mut self, node: &str, released: Released) -> Self {
        self.nodes.insert(node.into(), released);
        self
    }

    /// True if every agent has released the hold.
    pub fn is_complete(&self) -> bool {
        self.nodes.values().all(|node| node.released)
    }
}

impl Printable for Accepted {
    fn page(&self, _: bool, _: Timestamp) -> Page {
        let mut table = Table::new(["NODE", "HOLD", "CHANGES", "RESULT"]);
        for (node, state) in &self.nodes {
            let result = match (&state.error, state.released) {
                (Some(error), _) => Cell::styled(error.clone(), Style::Bad),
                (None, true) => Cell::styled("released", Style::Good),
                (None, false) => {
                    Cell::styled(format!("accepted, but not released within {} s", LIMIT.as_secs()), Style::Bad)
                }
            };
            table.row([node.to_string().into(), self.hold.clone().into(), state.subject.clone().into(), result]);
        }
        let mut page = Page::default();
        page.table(&table, "no nodes");
        page
    }
}
