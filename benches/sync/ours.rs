//! One full sync by our agent.

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use maglev_agent::{Agent, AgentOptions, VppConnector};
use maglev_model::event::{Event, EventSink, Events, Scope, SyncCounts};
use tokio::{
    sync::{Notify, watch},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::workload::Workload;

/// How long a full sync may take at most.
const LIMIT: Duration = Duration::from_secs(120);

/// A full sync.
#[derive(Clone, Copy, Debug)]
pub struct Pass {
    /// From the beginning of the first pass to its end.
    pub took: Duration,
    /// From the start of the agent: connecting and reading what VPP has are in it.
    pub whole: Duration,
}

/// Drops the events once it has looked at them.
#[derive(Default)]
struct Clock {
    seen: Mutex<Seen>,
    done: Notify,
}

#[derive(Clone, Debug, Default)]
struct Seen {
    began: Option<Instant>,
    ended: Option<(Instant, SyncCounts)>,
    error: Option<String>,
}

impl Clock {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EventSink for Clock {
    fn wants_probes(&self) -> bool {
        false
    }

    fn publish(&self, event: Event) {
        match event {
            Event::SyncStart { scope: Scope::All } => {
                self.seen().began.get_or_insert_with(Instant::now);
            }
            Event::SyncDone { scope: Scope::All, counts, .. } => {
                self.seen().ended.get_or_insert_with(|| (Instant::now(), counts));
                self.done.notify_one();
            }
            Event::SyncError { err, .. } | Event::VppConnectFailed { err, .. } => {
                self.seen().error.get_or_insert(err);
            }
            // Dropping it is part of what an event costs.
            _ => {}
        }
    }
}

/// Starts an agent on the VPP at `socket`, which has none of the VIPs, and stops it after its first
/// pass.
pub async fn sync(socket: &Path, workload: &Workload) -> anyhow::Result<Pass> {
    // The agent's own files must not lie beside a real VPP's socket.
    let scratch = tempfile::tempdir()?;
    let clock = Arc::new(Clock::default());
    let events = Events::new(clock.clone());
    let config_tx = watch::Sender::new(Some(workload.config.clone()));
    let health_tx = watch::Sender::new(workload.health.clone());
    let start = Instant::now();
    let agent = Agent::new(
        AgentOptions::new("bench", scratch.path().join("api.sock")),
        VppConnector::new(socket, events.clone()),
        config_tx.subscribe(),
        health_tx.subscribe(),
        events,
    );
    let stop = CancellationToken::new();
    let running = tokio::spawn(agent.run(stop.clone()));
    let waited = timeout(LIMIT, clock.done.notified()).await;
    stop.cancel();
    running.await??;
    let seen = clock.seen().clone();
    ensure!(seen.error.is_none(), "the agent failed: {}", seen.error.unwrap_or_default());
    waited.context("the agent did not end its first pass")?;
    let (began, (ended, counts)) = (seen.began.context("no pass began")?, seen.ended.context("no pass ended")?);
    let added = counts.vip_added + counts.as_added;
    ensure!(added == workload.operations(), "the agent made {counts:?}");
    Ok(Pass { took: ended - began, whole: ended - start })
}
