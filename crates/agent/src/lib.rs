//! maglevd's heart: keeps the node's VPP as the configuration and the backends' health say.
//!
//! ```text
//! config ─┐                       ┌─ Connection (one session with VPP)
//! health ─┴▶ Brain: World, Flushes │   picture ◀─ dump
//!            Warmup, Ours, Reports ┴▶  plan per address ─▶ steps ─▶ events
//! ```
//!
//! One task owns all of it. It never gives up: without VPP it reconnects, without the API server it
//! goes on with the last configuration, and when it ends VPP keeps what it has.

mod brain;
mod conf;
mod connection;
mod dataplane;
mod flushes;
mod handle;
mod job;
mod link;
mod lock;
mod metrics;
mod ours;
mod recreates;
mod removals;
mod reports;
mod slice;
mod stats;
mod status;
mod vpp_dataplane;
mod warmup;
mod withdraw;
mod world;

use std::{future::ready, path::PathBuf, sync::Arc, time::Duration};

use futures::future::{BoxFuture, FutureExt};
use jiff::Timestamp;
use tokio::{
    sync::{mpsc, watch},
    task::yield_now,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use self::{brain::Brain, link::Link, ours::Ours, slice::Slice, world::Concerned};
pub use self::{
    dataplane::{Answer, Connect, Dataplane, DataplaneError, DataplaneInfo, Ended},
    handle::{AgentHandle, HoldId, SyncRefused},
    lock::{AgentLock, LockError},
    metrics::Metrics,
    ours::OursError,
    stats::{Publication, VppMetrics},
    status::{AgentStatus, Beat, Gate},
    vpp_dataplane::VppConnect,
    withdraw::{WithdrawError, Withdrawn, withdraw},
};
use maglev_model::{actual::LbDump, config::Config, event::Events, health::HealthSnapshot};

/// One `kubectl apply` of many objects is one pass: changes of the configuration wait so long for
/// others.
const COALESCE: Duration = Duration::from_millis(250);

/// How an agent is set up.
#[derive(Clone, Debug)]
pub struct AgentOptions {
    /// The node's name, for the lock file.
    pub node_name: String,
    /// VPP's API socket; the lock and the list of our VIPs lie beside it.
    pub api_socket: PathBuf,
    /// How long VPP may be silent while it owes an answer, before the session is given up. It doubles
    /// for the next session, to 60 s at most, until one has had a complete dump.
    pub deadline: Duration,
    /// Tells the time of day at which held removals go.
    pub clock: fn() -> Timestamp,
    /// Counts what happens.
    pub metrics: Metrics,
}

impl AgentOptions {
    /// What maglevd uses: 10 s and the machine's clock.
    pub fn new(node_name: impl Into<String>, api_socket: impl Into<PathBuf>) -> Self {
        let (node_name, api_socket) = (node_name.into(), api_socket.into());
        Self {
            node_name,
            api_socket,
            deadline: Duration::from_secs(10),
            clock: Timestamp::now,
            metrics: Metrics::default(),
        }
    }
}

/// Why an agent ended.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The directory of VPP's sockets was replaced: what is mounted here is not it any more.
    #[error("{} was deleted; ending, so that the directory is mounted anew", .0.display())]
    SocketDirectoryDeleted(PathBuf),
}

pub struct Agent {
    options: AgentOptions,
    config_rx: watch::Receiver<Option<Config>>,
    health_rx: watch::Receiver<HealthSnapshot>,
    brain: Brain,
    link: Link,
    status: watch::Sender<AgentStatus>,
    ready: watch::Sender<Result<(), String>>,
    beat: Arc<Beat>,
    /// When the configuration that has changed is taken.
    config_due: Option<Instant>,
    gate: Gate,
    handle: AgentHandle,
    requests_rx: mpsc::Receiver<handle::Request>,
}

enum Wake {
    Stop,
    Config,
    Health,
    Link(link::Event),
    Request(handle::Request),
    /// The next slice, or a timer: each turn looks at them.
    Turn,
}

impl Agent {
    /// An agent that reaches its data plane through `connect`.
    pub fn new(
        options: AgentOptions,
        connect: Arc<dyn Connect>,
        config_rx: watch::Receiver<Option<Config>>,
        mut health_rx: watch::Receiver<HealthSnapshot>,
        events: Events,
    ) -> Self {
        // What was known before counts too.
        health_rx.mark_changed();
        let ours = Ours::beside(&options.api_socket);
        let (handle, requests_rx) = handle::channel();
        Self {
            link: Link::new(connect, events.clone(), &options),
            brain: Brain::new(events, ours, &options),
            options,
            config_rx,
            health_rx,
            status: watch::Sender::default(),
            ready: watch::Sender::new(AgentStatus::default().ready()),
            beat: Arc::default(),
            config_due: Some(Instant::now()),
            gate: Gate::Closed,
            handle,
            requests_rx,
        }
    }

    /// How far the agent is, for `/readyz`.
    pub fn status(&self) -> watch::Receiver<AgentStatus> {
        self.status.subscribe()
    }

    /// Whether the node does its job, or what it waits for: [`AgentStatus::ready`], told when it changes.
    pub fn readiness(&self) -> watch::Receiver<Result<(), String>> {
        self.ready.subscribe()
    }

    /// The sign of life of the agent's loop, for `/healthz`.
    pub fn beat(&self) -> Arc<Beat> {
        Arc::clone(&self.beat)
    }

    /// What VPP had when it was last read; `None` while there is no session. Read after each change and with each
    /// pass.
    pub fn dumps(&self) -> watch::Receiver<Option<Arc<LbDump>>> {
        self.brain.dump.subscribe()
    }

    /// A way to ask for something while the agent runs.
    pub fn handle(&self) -> AgentHandle {
        self.handle.clone()
    }

    /// Runs until `shutdown`; VPP then keeps what it has.
    ///
    /// # Errors
    /// [`AgentError`], where only a new start of the process can help.
    pub fn run(mut self, shutdown: CancellationToken) -> BoxFuture<'static, Result<(), AgentError>> {
        async move {
            loop {
                let now = Instant::now();
                self.beat.now();
                self.tick(now);
                if std::mem::replace(&mut self.gate, self.brain.gate(now)) != self.gate {
                    self.link.gate_opened();
                }
                let due = self.brain.removals_due(now);
                self.link.touch(due);
                let worked = self.work(now);
                self.brain.tell_held(now);
                self.tell_status();
                if worked {
                    // What was planned is sent by the session's task, which may wait for this one's thread.
                    yield_now().await;
                }
                match self.wait(&shutdown, worked).await {
                    Wake::Stop => return Ok(()),
                    Wake::Config => self.config_due = self.config_due.or(Some(Instant::now() + COALESCE)),
                    Wake::Health => self.take_health(),
                    Wake::Link(event) => self.link.handle(event, &mut self.brain).await?,
                    Wake::Request(request) => self.answer(request),
                    Wake::Turn => {}
                }
            }
        }
        .boxed()
    }

    /// Does a slice of what is to be done: plans first, and states only of addresses that cannot be
    /// planned now. Returns whether there was anything, so that there may be more.
    fn work(&mut self, now: Instant) -> bool {
        let mut slice = Slice::new();
        self.link.pump(&mut self.brain, now, &mut slice);
        self.brain.tell_states(&mut slice, self.link.actual());
        if !slice.is_begun() {
            self.brain.removals.rest();
        }
        slice.is_begun()
    }

    async fn wait(&mut self, shutdown: &CancellationToken, worked: bool) -> Wake {
        let now = Instant::now();
        // At least every few seconds, so that the beat is seen.
        let mut timer = now + Duration::from_secs(5);
        let warm = self.brain.warmup.next(now, &self.brain.sync_conf());
        for at in [self.config_due, warm, self.brain.removals.next(), self.link.next_timer()].into_iter().flatten() {
            timer = timer.min(at);
        }
        tokio::select! {
            biased;
            () = shutdown.cancelled() => Wake::Stop,
            // Before VPP's answers: there are many of them in a pass, and of these one in a few milliseconds.
            Ok(()) = self.health_rx.changed() => Wake::Health,
            event = self.link.wait() => Wake::Link(event),
            Ok(()) = self.config_rx.changed() => Wake::Config,
            Some(request) = self.requests_rx.recv() => Wake::Request(request),
            // One event and one slice in turns: neither keeps the other waiting.
            () = ready(()), if worked => Wake::Turn,
            () = sleep_until(timer) => Wake::Turn,
        }
    }

    fn answer(&mut self, request: handle::Request) {
        let answer = self.sync_now(request.accept.as_ref());
        // Who asked may have gone.
        let _ = request.answer.send(answer);
    }

    fn sync_now(&mut self, accept: Option<&HoldId>) -> Result<(), SyncRefused> {
        if self.gate == Gate::Closed {
            return Err(SyncRefused::WarmingUp);
        }
        if self.link.actual().is_none() {
            return Err(SyncRefused::Disconnected);
        }
        if let Some(id) = accept {
            let due = self.brain.removals.accept(id).ok_or_else(|| SyncRefused::UnknownHold(id.clone()))?;
            self.link.touch(due);
        }
        self.link.request_pass();
        Ok(())
    }

    fn tick(&mut self, now: Instant) {
        if self.config_due.is_some_and(|at| now >= at) {
            self.config_due = None;
            self.take_config(now);
        }
    }

    fn take_config(&mut self, now: Instant) {
        let Some(config) = self.config_rx.borrow_and_update().clone() else { return };
        self.brain.warmup.listed(now);
        let concerned = self.brain.world.set_config(config);
        self.brain.forget(&concerned);
        self.brain.recreates.forget(&concerned.addresses);
        self.link.forget_verdicts(&concerned.addresses);
        self.spread(concerned);
    }

    fn take_health(&mut self) {
        let snapshot = self.health_rx.borrow_and_update().clone();
        let concerned = self.brain.world.set_health(snapshot);
        self.spread(concerned);
    }

    fn spread(&mut self, concerned: Concerned) {
        self.brain.states_changed(&concerned);
        if concerned.everything {
            self.link.request_pass();
        }
        self.link.touch(concerned.addresses);
    }

    fn tell_status(&self) {
        let status = AgentStatus {
            listed: self.brain.world.config().is_some(),
            locked: self.link.is_locked(),
            vpp_connected: self.link.actual().is_some(),
            gate: self.gate,
            synced: self.link.is_synced(),
        };
        if self.status.send_if_modified(|old| std::mem::replace(old, status) != status) {
            let ready = status.ready();
            self.ready.send_if_modified(|old| std::mem::replace(old, ready.clone()) != ready);
        }
    }
}

impl std::fmt::Debug for Agent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Agent").field("options", &self.options).finish_non_exhaustive()
    }
}
