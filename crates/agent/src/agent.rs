//! The agent's task: owns the state and the session manager, and processes one event at a time.

use std::{future::ready, sync::Arc, time::Duration};

use futures::future::{BoxFuture, FutureExt};
use tokio::{
    sync::{mpsc, watch},
    task::yield_now,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    dataplane::VppConnector,
    handle::{self, AgentHandle, HoldId, SyncRefused},
    inputs::Affected,
    options::{AgentError, AgentOptions},
    owned_vips::OwnedVips,
    session_manager::{ManagerEvent, SessionManager},
    state::{AgentState, TurnBudget},
    status::{AgentStatus, Watchdog},
    warmup::Gate,
};
use maglev_model::{actual::LbDump, config::Config, event::Events, health::HealthSnapshot};

/// One `kubectl apply` of many objects is one pass: changes of the configuration wait so long for
/// others.
const COALESCE: Duration = Duration::from_millis(250);

pub struct Agent {
    options: AgentOptions,
    config_rx: watch::Receiver<Option<Config>>,
    health_rx: watch::Receiver<HealthSnapshot>,
    state: AgentState,
    sessions: SessionManager,
    status: watch::Sender<AgentStatus>,
    ready: watch::Sender<Result<(), String>>,
    watchdog: Arc<Watchdog>,
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
    Session(ManagerEvent),
    Request(handle::Request),
    /// The next slice, or a timer: each turn looks at them.
    Turn,
}

impl Agent {
    /// An agent that reaches its data plane through `connect`.
    pub fn new(
        options: AgentOptions,
        connector: VppConnector,
        config_rx: watch::Receiver<Option<Config>>,
        mut health_rx: watch::Receiver<HealthSnapshot>,
        events: Events,
    ) -> Self {
        // What was known before counts too.
        health_rx.mark_changed();
        let ours = OwnedVips::load_or_empty(&options.api_socket);
        let (handle, requests_rx) = handle::channel();
        Self {
            sessions: SessionManager::new(connector, events.clone(), &options),
            state: AgentState::new(events, ours, &options),
            options,
            config_rx,
            health_rx,
            status: watch::Sender::default(),
            ready: watch::Sender::new(AgentStatus::default().ready()),
            watchdog: Arc::default(),
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
    pub fn watchdog(&self) -> Arc<Watchdog> {
        Arc::clone(&self.watchdog)
    }

    /// What VPP had when it was last read; `None` while there is no session. Read after each change and with each
    /// pass.
    pub fn dumps(&self) -> watch::Receiver<Option<Arc<LbDump>>> {
        self.state.dump.subscribe()
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
                self.watchdog.feed();
                self.tick(now);
                if std::mem::replace(&mut self.gate, self.state.gate(now)) != self.gate {
                    self.sessions.gate_opened();
                }
                let due = self.state.removals_due(now);
                self.sessions.enqueue(due);
                let worked = self.work(now);
                self.state.publish_holds(now);
                self.publish_status();
                if worked {
                    // What was planned is sent by the session's task, which may wait for this one's thread.
                    yield_now().await;
                }
                match self.wait(&shutdown, worked).await {
                    Wake::Stop => return Ok(()),
                    Wake::Config => self.config_due = self.config_due.or(Some(Instant::now() + COALESCE)),
                    Wake::Health => self.take_health(),
                    Wake::Session(event) => self.sessions.handle(event, &mut self.state).await?,
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
        let mut budget = TurnBudget::new();
        self.sessions.pump(&mut self.state, now, &mut budget);
        self.state.publish_states(&mut budget, self.sessions.actual());
        if !budget.is_used() {
            self.state.mass_removals.forget_totals();
        }
        budget.is_used()
    }

    async fn wait(&mut self, shutdown: &CancellationToken, worked: bool) -> Wake {
        let now = Instant::now();
        // At least every few seconds, so that the beat is seen.
        let mut timer = now + Duration::from_secs(5);
        let warm = self.state.warmup.next(now, &self.state.sync_conf());
        for at in [self.config_due, warm, self.state.mass_removals.next_timer(), self.sessions.next_timer()]
            .into_iter()
            .flatten()
        {
            timer = timer.min(at);
        }
        tokio::select! {
            biased;
            () = shutdown.cancelled() => Wake::Stop,
            // Before VPP's answers: there are many of them in a pass, and of these one in a few milliseconds.
            Ok(()) = self.health_rx.changed() => Wake::Health,
            event = self.sessions.wait() => Wake::Session(event),
            Ok(()) = self.config_rx.changed() => Wake::Config,
            Some(request) = self.requests_rx.recv() => Wake::Request(request),
            // One event and one slice in queue: neither keeps the other waiting.
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
        if self.sessions.actual().is_none() {
            return Err(SyncRefused::Disconnected);
        }
        if let Some(id) = accept {
            let due = self.state.mass_removals.accept(id).ok_or_else(|| SyncRefused::UnknownHold(id.clone()))?;
            self.sessions.enqueue(due);
        }
        self.sessions.request_pass();
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
        self.state.warmup.listed(now);
        let affected = self.state.inputs.set_config(config);
        self.state.forget(&affected);
        self.state.recreates.forget(&affected.addresses);
        self.sessions.forget_failures(&affected.addresses);
        self.enqueue_affected(affected);
    }

    fn take_health(&mut self) {
        let snapshot = self.health_rx.borrow_and_update().clone();
        let affected = self.state.inputs.set_health(snapshot);
        self.enqueue_affected(affected);
    }

    fn enqueue_affected(&mut self, affected: Affected) {
        self.state.states_changed(&affected);
        if affected.everything {
            self.sessions.request_pass();
        }
        self.sessions.enqueue(affected.addresses);
    }

    fn publish_status(&self) {
        let status = AgentStatus {
            listed: self.state.inputs.config().is_some(),
            locked: self.sessions.is_locked(),
            vpp_connected: self.sessions.actual().is_some(),
            gate: self.gate,
            synced: self.sessions.is_synced(),
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
