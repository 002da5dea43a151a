//! One process of maglevd, with the real index, checker and agent. It can end at any await of the agent.

use std::{
    path::Path,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use maglev_agent::{Accounting, Agent, AgentError, AgentOptions, AgentStatus, VppConnector};
use maglev_health::{Checker, HealthOptions, LastProbes, LoopBeat, PathMetrics, PathProber, ProbeMetrics};
use maglev_index::{Index, IndexOptions, Object};
use maglev_model::{
    config::{Config, Kind},
    health::HealthSnapshot,
};
use maglev_vpp::session::Dial;
use tokio::{sync::watch, task::spawn_local, time::Instant};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{clock, network::Network, objects::NODE, planted::PlantedBug, prober::SimulatedProber, recorder::Recorder};

/// Deadline of VPP's replies.
const DEADLINE: Duration = Duration::from_secs(2);

/// A running process. Dropping it ends it like SIGKILL.
pub struct Process {
    index: Index,
    config_rx: watch::Receiver<Option<Config>>,
    agent_config_tx: watch::Sender<Option<Config>>,
    checker_config_tx: watch::Sender<Option<Config>>,
    health_rx: watch::Receiver<HealthSnapshot>,
    agent_health_tx: watch::Sender<HealthSnapshot>,
    pub recorder: Arc<Recorder>,
    pub status: watch::Receiver<AgentStatus>,
    fuse: Fuse,
    agent: AbortOnDropHandle<Result<(), AgentError>>,
    _checker: AbortOnDropHandle<()>,
    network: Arc<Network>,
    bug: Option<PlantedBug>,
    /// Time of the first list; `None` once listed.
    list_at: Option<Instant>,
}

impl Process {
    /// Starts a process whose first list arrives after `list_after`.
    pub fn start(
        network: &Arc<Network>,
        prober: &SimulatedProber,
        socket: &Path,
        seed: u64,
        list_after: Duration,
        bug: Option<PlantedBug>,
    ) -> Self {
        network.monitor.lock().process_started();
        let recorder = Arc::new(Recorder::new(Arc::clone(&network.monitor), socket));
        let (index, config_rx) =
            Index::new(IndexOptions { node_name: Some(NODE.to_owned()), ..IndexOptions::default() });
        let (agent_config_tx, checker_config_tx) = (watch::Sender::new(None), watch::Sender::new(None));
        let (snapshot_tx, health_rx) = watch::channel(HealthSnapshot::default());
        let agent_health_tx = watch::Sender::default();
        let options = HealthOptions {
            version: "simulation".to_owned(),
            seed,
            clock: clock::now,
            max_in_flight: 64,
            max_kept_connections: 0,
            metrics: ProbeMetrics::default(),
            path_metrics: PathMetrics::default(),
            path_prober: PathProber::default(),
            beat: LoopBeat::default(),
            last_probes: LastProbes::default(),
        };
        let events = recorder.handle();
        let checker = Checker::new(prober.clone(), options, checker_config_tx.subscribe(), events.clone(), snapshot_tx);
        let connections = Arc::clone(network);
        let dial = Dial::new(move |_| {
            let network = Arc::clone(&connections);
            async move { network.connect().await }
        });
        let accounting = Accounting::Inline;
        let options =
            AgentOptions { deadline: DEADLINE, clock: clock::now, accounting, ..AgentOptions::new(NODE, socket) };
        let connector = VppConnector::new(socket, events.clone()).with_dial(dial);
        let agent = Agent::new(options, connector, agent_config_tx.subscribe(), agent_health_tx.subscribe(), events);
        let (status, fuse) = (agent.status(), Fuse::default());
        let fused = Fused { future: Some(agent.run(CancellationToken::new())), fuse: fuse.clone() };
        Self {
            index,
            config_rx,
            agent_config_tx,
            checker_config_tx,
            health_rx,
            agent_health_tx,
            recorder,
            status,
            fuse,
            agent: AbortOnDropHandle::new(tokio::spawn(fused)),
            _checker: AbortOnDropHandle::new(spawn_local(checker.run(CancellationToken::new()))),
            network: Arc::clone(network),
            bug,
            list_at: Some(Instant::now() + list_after),
        }
    }

    pub fn is_listed(&self) -> bool {
        self.list_at.is_none()
    }

    /// The time of the first list; `None` once listed.
    pub fn list_at(&self) -> Option<Instant> {
        self.list_at
    }

    /// A complete list of every kind arrives.
    pub fn list(&mut self, objects: &[Object]) {
        self.list_at = None;
        let mut batch = self.index.batch();
        for kind in Kind::ALL {
            batch.reset(kind, objects.iter().filter(|object| object.kind() == kind).cloned().collect());
        }
        batch.publish();
        let config = self.config_rx.borrow_and_update().clone();
        self.publish(config);
    }

    /// Waits for the next health snapshot, and passes it to the agent. Cancel safe.
    pub async fn pass_health(&mut self) {
        if self.health_rx.changed().await.is_err() {
            return std::future::pending().await;
        }
        let config = self.agent_config_tx.borrow().clone();
        let health = self.health_rx.borrow_and_update().clone();
        let snapshot = self.network.simulator.snapshot();
        self.network.monitor.lock().input(config, health.clone(), &snapshot);
        self.agent_health_tx.send_replace(health);
    }

    fn publish(&self, config: Option<Config>) {
        let health = self.agent_health_tx.borrow().clone();
        let snapshot = self.network.simulator.snapshot();
        self.network.monitor.lock().input(config.clone(), health, &snapshot);
        self.checker_config_tx.send_replace(config.clone());
        self.agent_config_tx.send_replace(PlantedBug::config(self.bug, config));
    }

    /// Ends the agent at one of its next awaits.
    pub fn crash_after(&self, polls: u32) {
        self.fuse.0.store(polls, Ordering::Relaxed);
    }

    /// True once the agent has ended.
    pub fn has_ended(&self) -> bool {
        self.agent.is_finished()
    }
}

/// The number of polls until the crash; 0 for none.
#[derive(Clone, Default)]
struct Fuse(Arc<AtomicU32>);

/// Polls a future until the fuse burns down.
struct Fused {
    future: Option<BoxFuture<'static, Result<(), AgentError>>>,
    fuse: Fuse,
}

impl Future for Fused {
    type Output = Result<(), AgentError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let left = self.fuse.0.load(Ordering::Relaxed);
        if left == 1 {
            self.future = None;
        }
        self.fuse.0.store(left.saturating_sub(1), Ordering::Relaxed);
        match &mut self.future {
            Some(future) => future.as_mut().poll(context),
            None => Poll::Ready(Ok(())),
        }
    }
}
