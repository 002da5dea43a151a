//! `set`: one change by hand, and the wait until every node has it.
//!
//! Writing is `k8s::operator_action`'s business; what a change would leave unserved and whether it is in effect, the
//! mirrored states say.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use super::{
    across::Share,
    flags::Flags,
    output::{Answer, Page},
    paint::Tone,
    session::Session,
};
use crate::{
    fleet::{FleetHandle, NodeState},
    k8s::{OperatorAction, Outcome, operator_action::perform, whoami},
    model::{Name, by_hand::HandChange},
};

/// How long nodes may take.
const LIMIT: Duration = Duration::from_secs(30);

/// What was changed, and who has it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Changed {
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
pub(super) async fn set(session: &Session, flags: &Flags, change: HandChange) -> anyhow::Result<Changed> {
    if !flags.server.is_empty() {
        bail!("set writes to the API server: leave out --server");
    }
    let client = session.kube().await?;
    let by = whoami(client).await.context("the API server does not say who you are")?;
    let handle = session.fleet().await?;
    let known: Vec<_> = handle.nodes().into_iter().filter(|node| node.as_of.is_some()).collect();
    if known.is_empty() && !flags.force {
        bail!("no agent answers, so nobody knows whom this would leave without traffic: --force does it all the same");
    }
    let unserved = |change: &HandChange| {
        let mut left: Vec<Name> = known.iter().flat_map(|node| change.leaves_unserved(&node.view)).collect();
        left.sort();
        left.dedup();
        left
    };
    let action = OperatorAction { change, by, reason: flags.reason.clone(), force: flags.force };
    let outcome = perform(client, &action, &unserved).await?;
    let (share, pending) = wait(handle, &action.change, outcome.generation, Instant::now() + LIMIT).await;
    let took = outcome.at.elapsed();
    Ok(Changed::new(action, outcome, share, pending, took))
}

type Pending = BTreeMap<Arc<str>, String>;

/// Waits until every node has it. A node that is silent is waited for as well: it is there.
async fn wait(handle: &FleetHandle, change: &HandChange, generation: i64, until: Instant) -> (Share, Pending) {
    let mut updates = handle.subscribe();
    loop {
        let nodes = handle.nodes();
        let pending: Pending = nodes
            .iter()
            .filter_map(|node| Some((Arc::clone(&node.node), what_keeps(node, change, generation)?)))
            .collect();
        let share = Share { of: nodes.len() - pending.len(), all: nodes.len() };
        if pending.is_empty() || !timeout_at(until, updates.next()).await.is_ok_and(|update| update.is_some()) {
            return (share, pending);
        }
    }
}

fn what_keeps(node: &NodeState, change: &HandChange, generation: i64) -> Option<String> {
    if node.reporting() {
        change.pending(&node.view, generation).map(str::to_owned)
    } else {
        Some(super::across::silence(node))
    }
}

impl Changed {
    fn new(action: OperatorAction, outcome: Outcome, share: Share, pending: Pending, took: Duration) -> Self {
        let OperatorAction { change, by, reason, .. } = action;
        let Outcome { old, new, written, taken_from, event_failed, .. } = outcome;
        let seconds = (took.as_secs_f64() * 10.0).round() / 10.0;
        let (change, in_effect_on_nodes) = (change.to_string(), share);
        Self { change, old, new, written, by, reason, taken_from, in_effect_on_nodes, seconds, pending, event_failed }
    }

    /// Whether every node has it.
    pub(super) fn is_complete(&self) -> bool {
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
