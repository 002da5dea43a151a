//! `set`: one change by hand, and the wait until every node has it.
//!
//! `fleet::by_hand` does both; here stands what the user gave and is told.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use serde::Serialize;

use super::{
    across::Share,
    flags::Flags,
    output::{Answer, Page},
    paint::Tone,
    session::Session,
};
use maglev_fleet::by_hand::{Done, carry_out};
use maglev_kube::{OperatorAction, Outcome, whoami};
use maglev_model::by_hand::HandChange;

/// How long nodes may take.
const LIMIT: Duration = Duration::from_secs(30);

/// What was changed, and who has it.
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
    in_effect_on_nodes: Share,
    seconds: f64,
    /// What the others wait for.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pending: BTreeMap<Arc<str>, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_failed: Option<String>,
}

/// Makes the change.
///
/// # Errors
/// If it was not made.
pub async fn set(session: &Session, flags: &Flags, change: HandChange) -> anyhow::Result<Changed> {
    if !flags.server.is_empty() {
        bail!("set writes to the API server: leave out --server");
    }
    let client = session.kube().await?;
    let by = whoami(client).await.context("the API server does not say who you are")?;
    let handle = session.fleet().await?;
    let action = OperatorAction { change, by, reason: flags.reason.clone(), force: flags.force };
    let done = carry_out(handle, client, &action, LIMIT).await?;
    Ok(Changed::new(action, done))
}

impl Changed {
    fn new(action: OperatorAction, done: Done) -> Self {
        let OperatorAction { change, by, reason, .. } = action;
        let Done { outcome, nodes, pending, took } = done;
        let Outcome { old, new, written, taken_from, event_failed, .. } = outcome;
        let seconds = (took.as_secs_f64() * 10.0).round() / 10.0;
        let (change, in_effect_on_nodes) = (change.to_string(), Share { of: nodes - pending.len(), all: nodes });
        Self { change, old, new, written, by, reason, taken_from, in_effect_on_nodes, seconds, pending, event_failed }
    }

    /// Whether every node has it.
    pub fn is_complete(&self) -> bool {
        self.pending.is_empty()
    }
}

impl Answer for Changed {
    fn page(&self, _: bool, _: Timestamp) -> Page {
        let mut page = Page::default();
        let Self { change, old, new, by, .. } = self;
        if self.written {
            page.line(format_args!("{change}: {old} -> {}", Tone::Strong.paint(new)));
        } else {
            page.line(format_args!("{change} is {new} already: nothing was written"));
        }
        if !self.taken_from.is_empty() {
            page.line(Tone::Warn.paint(&format!("taken from {}, which may put it back", self.taken_from.join(", "))));
        }
        if let Some(error) = &self.event_failed {
            page.line(Tone::Warn.paint(&format!("the Kubernetes Event of it could not be written: {error}")));
        }
        let effect = format!("in effect on {} nodes after {:.1} s", self.in_effect_on_nodes, self.seconds);
        page.line(if self.pending.is_empty() { Tone::Good.paint(&effect) } else { Tone::Bad.paint(&effect) });
        for (node, why) in &self.pending {
            page.line(format_args!("  {node}: {why}"));
        }
        if self.written {
            page.line(Tone::Faint.paint(&format!("recorded for {by}")));
        }
        page
    }
}
