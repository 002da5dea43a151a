//! `set`: makes one operator change and waits until every node has applied the change.
//!
//! `maglev_fleet` does both; this file checks the flags and prints the result.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use serde::Serialize;

use super::{
    coverage::Ratio,
    flags::Flags,
    output::{Page, Printable},
    session::Session,
    style::Style,
};
use maglev_fleet::operator_change::{ChangeOutcome, roll_out};
use maglev_kube::{ChangeRequest, WriteOutcome, whoami};
use maglev_model::operator_change::OperatorChange;

/// Time limit for the nodes.
const LIMIT: Duration = Duration::from_secs(30);

/// The change and its progress on the nodes.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Changed {
    change: String,
    old: String,
    new: String,
    written: bool,
    by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    taken_from: Vec<String>,
    in_effect_on_nodes: Ratio,
    seconds: f64,
    /// The nodes that have not applied the change, each with the reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pending: BTreeMap<Arc<str>, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_failed: Option<String>,
    #[serde(skip)]
    generation: i64,
}

/// # Errors
/// The change was not written.
pub async fn set(session: &Session, flags: &Flags, change: OperatorChange) -> anyhow::Result<Changed> {
    if !flags.server.is_empty() {
        bail!("set writes to the API server: omit --server");
    }
    let client = session.kube().await?;
    let by = whoami(client).await.context("cannot get your user name from the API server")?;
    let handle = session.fleet().await?;
    let request = ChangeRequest { change, by, reason: flags.reason.clone(), force: flags.force };
    let outcome = roll_out(handle, client, &request, LIMIT).await?;
    Ok(Changed::new(request, outcome))
}

impl Changed {
    pub fn new(request: ChangeRequest, outcome: ChangeOutcome) -> Self {
        let ChangeRequest { change, by, reason, .. } = request;
        let ChangeOutcome { write, nodes, pending, duration } = outcome;
        let WriteOutcome { old, new, generation, written, taken_from, event_failed, .. } = write;
        let seconds = (duration.as_secs_f64() * 10.0).round() / 10.0;
        let (change, in_effect_on_nodes) = (change.to_string(), Ratio { count: nodes - pending.len(), total: nodes });
        Self {
            change,
            old,
            new,
            written,
            by,
            reason,
            taken_from,
            in_effect_on_nodes,
            seconds,
            pending,
            event_failed,
            generation,
        }
    }

    /// The object's `metadata.generation` after the change.
    pub fn generation(&self) -> i64 {
        self.generation
    }

    /// True if every node has applied the change.
    pub fn is_complete(&self) -> bool {
        self.pending.is_empty()
    }
}

impl Printable for Changed {
    fn page(&self, _: bool, _: Timestamp) -> Page {
        let mut page = Page::default();
        let Self { change, old, new, by, .. } = self;
        if self.written {
            page.line_with(format_args!("{change}: {old} -> "), Style::Strong, new);
        } else {
            page.line(format_args!("{change} is {new} already: nothing was written"));
        }
        if !self.taken_from.is_empty() {
            page.styled(
                Style::Warn,
                format_args!("ownership taken from {}, which may revert the change", self.taken_from.join(", ")),
            );
        }
        if let Some(error) = &self.event_failed {
            page.styled(Style::Warn, format_args!("cannot create the Kubernetes Event of the change: {error}"));
        }
        let effect = format!("in effect on {} nodes after {:.1} s", self.in_effect_on_nodes, self.seconds);
        page.styled(if self.pending.is_empty() { Style::Good } else { Style::Bad }, effect);
        for (node, reason) in &self.pending {
            page.line(format_args!("  {node}: {reason}"));
        }
        if self.written {
            page.styled(Style::Faint, format_args!("recorded for {by}"));
        }
        page
    }
}
