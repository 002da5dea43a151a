//! One full sync by the agent.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use maglev_agent::{Agent, AgentOptions, VppConnector};
use maglev_model::event::{Event, EventSink, Events, Scope, SyncCounts};
use parking_lot::{Mutex, MutexGuard};
use tokio::{
    sync::{Notify, watch},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::workload::Workload;

/// The maximum time of a full sync.
const TIMEOUT: Duration = Duration::from_secs(120);

/// The times of a full sync.
#[derive(Clone, Copy, Debug)]
pub struct Pass {
    /// From the start of the first full sync to its end.
    pub took: Duration,
    /// From the start of the agent, including the connection and the first dump of VPP.
    pub from_start: Duration,
}

/// Records the times of the first full sync and drops all events.
#[derive(Default)]
struct SyncTimer {
    times: Mutex<SyncTimes>,
    done: Notify,
}

#[derive(Clone, Debug, Default)]
struct SyncTimes {
    started: Option<Instant>,
    ended: Option<(Instant, SyncCounts)>,
    error: Option<String>,
}

impl SyncTimer {
    fn times(&self) -> MutexGuard<'_, SyncTimes> {
        self.times.lock()
    }
}

impl EventSink for SyncTimer {
    fn wants_probes(&self) -> bool {
        false
    }

    fn publish(&self, event: Event) {
        match event {
            Event::SyncStart { scope: Scope::All } => {
                self.times().started.get_or_insert_with(Instant::now);
            }
            Event::SyncDone { scope: Scope::All, counts, .. } => {
                self.times().ended.get_or_insert_with(|| (Instant::now(), counts));
                self.done.notify_one();
            }
            Event::SyncError { error, .. } | Event::VppConnectFailed { error, .. } => {
                self.times().error.get_or_insert(error);
            }
            // Dropping an event is part of its cost.
            _ => {}
        }
    }
}

/// Starts an agent with the VPP at `socket`, which has none of the VIPs, and stops the agent after its first full sync.
pub async fn sync(socket: &Path, workload: &Workload) -> anyhow::Result<Pass> {
    // The agent's files must not be beside the socket of a real VPP.
    let scratch = tempfile::tempdir()?;
    let timer = Arc::new(SyncTimer::default());
    let events = Events::new(timer.clone());
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
    let done = timeout(TIMEOUT, timer.done.notified()).await;
    stop.cancel();
    running.await??;
    let times = timer.times().clone();
    ensure!(times.error.is_none(), "the agent failed: {}", times.error.unwrap_or_default());
    done.context("the agent did not finish its first full sync in time")?;
    let started = times.started.context("the agent started no full sync")?;
    let (ended, counts) = times.ended.context("the agent finished no full sync")?;
    let added = counts.vip_added + counts.as_added;
    ensure!(added == workload.operations(), "the agent made other changes than expected: {counts:?}");
    Ok(Pass { took: ended - started, from_start: ended - start })
}
