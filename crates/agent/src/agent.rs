//! The agent's task: owns the state and the session manager, and processes one event at a time.

use std::{collections::BTreeSet, future::ready, sync::Arc, time::Duration};

use futures::future::{BoxFuture, FutureExt};
use tokio::{
    sync::{mpsc, watch},
    task::yield_now,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    config_delay::{self, ConfigDelay},
    dataplane::VppConnector,
    drains::{DrainInputs, Drains},
    handle::{self, AgentHandle, SyncRefused},
    inputs::Affected,
    options::{AgentError, AgentOptions},
    owned_vips::OwnedVips,
    session_manager::{ManagerEvent, SessionManager},
    state::AgentState,
    stats::Publication,
    status::{AgentStatus, Watchdog},
    turn_budget::TurnBudget,
    warmup::Gate,
};
use maglev_model::{actual::LbDump, config::Config, event::Events, health::HealthSnapshot};

pub struct Agent {
    options: AgentOptions,
    config_rx: watch::Receiver<Option<Config>>,
    health_rx: watch::Receiver<HealthSnapshot>,
    state: AgentState,
    sessions: SessionManager,
    drains: Drains,
    stats_rx: watch::Receiver<Publication>,
    status: watch::Sender<AgentStatus>,
    ready: watch::Sender<Result<(), String>>,
    watchdog: Arc<Watchdog>,
    config_delay: ConfigDelay,
    gate: Gate,
    handle: AgentHandle,
    requests_rx: mpsc::Receiver<handle::SyncRequest>,
    accepted_rx: watch::Receiver<BTreeSet<Arc<str>>>,
}

enum Wake {
    Stop,
    Config,
    Health,
    Session(ManagerEvent),
    Request(handle::SyncRequest),
    /// Holds were accepted.
    Accepted,
    /// More work, or a timer. Every turn processes the timers.
    Turn,
}

impl Agent {
    /// An agent that connects to VPP through `connector`.
    pub fn new(
        options: AgentOptions,
        connector: VppConnector,
        config_rx: watch::Receiver<Option<Config>>,
        mut health_rx: watch::Receiver<HealthSnapshot>,
        events: Events,
    ) -> Self {
        // The initial value counts as a change.
        health_rx.mark_changed();
        let owned_vips = OwnedVips::load_or_empty(&options.api_socket);
        let (handle, requests_rx) = handle::channel();
        Self {
            state: AgentState::new(events.clone(), owned_vips, &options, connector.stats()),
            drains: Drains::new(events.clone(), options.clock, connector.frequent_readings()),
            stats_rx: connector.stats(),
            sessions: SessionManager::new(connector, events, &options),
            options,
            config_rx,
            health_rx,
            status: watch::Sender::default(),
            ready: watch::Sender::new(AgentStatus::default().ready()),
            watchdog: Arc::default(),
            config_delay: ConfigDelay::due(Instant::now()),
            gate: Gate::Closed,
            handle,
            requests_rx,
            // Without a sender, the receiver never changes.
            accepted_rx: watch::Sender::default().subscribe(),
        }
    }

    /// Adds the input of removal holds that operators accepted, by id. An unknown id has no effect.
    pub fn with_accepted_holds(self, accepted_rx: watch::Receiver<BTreeSet<Arc<str>>>) -> Self {
        Self { accepted_rx, ..self }
    }

    /// The agent's status, for `/readyz`.
    pub fn status(&self) -> watch::Receiver<AgentStatus> {
        self.status.subscribe()
    }

    /// [`AgentStatus::ready`], updated when it changes.
    pub fn readiness(&self) -> watch::Receiver<Result<(), String>> {
        self.ready.subscribe()
    }

    /// The watchdog of the agent's loop, for `/healthz`.
    pub fn watchdog(&self) -> Arc<Watchdog> {
        Arc::clone(&self.watchdog)
    }

    /// VPP's state as last read; `None` without a session. Updated after each change and with each pass.
    pub fn dumps(&self) -> watch::Receiver<Option<Arc<LbDump>>> {
        self.state.dump.subscribe()
    }

    /// A handle for requests to the running agent.
    pub fn handle(&self) -> AgentHandle {
        self.handle.clone()
    }

    /// Runs until `shutdown`; VPP keeps its state.
    ///
    /// # Errors
    /// [`AgentError`], if only a restart of the process can help.
    pub fn run(mut self, shutdown: CancellationToken) -> BoxFuture<'static, Result<(), AgentError>> {
        async move {
            loop {
                let now = Instant::now();
                self.watchdog.feed();
                self.tick(now);
                if std::mem::replace(&mut self.gate, self.state.gate(now)) != self.gate {
                    self.sessions.gate_opened();
                }
                let due = self.state.holds_due(now);
                self.sessions.enqueue(due);
                self.sessions.enqueue(self.state.ramps.take_due(now));
                self.update_drains(now);
                let worked = self.work(now);
                self.state.flow_accounting.publish_computed();
                self.state.publish_holds(now);
                self.publish_status();
                if worked {
                    // The session's task sends the planned steps; it may be waiting for this thread.
                    yield_now().await;
                }
                match self.wait(&shutdown, worked).await {
                    Wake::Stop => return Ok(()),
                    Wake::Config => self.config_changed(),
                    Wake::Health => self.take_health(),
                    Wake::Session(event) => self.sessions.handle(event, &mut self.state)?,
                    Wake::Request(request) => self.handle_request(request),
                    Wake::Accepted => self.accept_holds(),
                    Wake::Turn => {}
                }
            }
        }
        .boxed()
    }

    /// Does the work of one turn: plans first, then Frontend states of addresses that cannot be planned now. Returns
    /// true if any work was done, so there may be more.
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
        // At least every few seconds, to feed the watchdog.
        let mut timer = now + Duration::from_secs(5);
        let warm = self.state.warmup.next(now, &self.state.sync_conf());
        let (removals, session) = (self.state.mass_removals.next_timer(), self.sessions.next_timer());
        let (changes, drains) = (self.state.disruption.next_timer(), self.drains.next_timer());
        let (ramps, save) = (self.state.ramps.next_timer(), self.next_save());
        let (config, flows) = (self.config_delay.next_timer(), self.state.flow_accounting.next_timer(now));
        for at in [config, warm, removals, changes, session, drains, ramps, save, flows].into_iter().flatten() {
            timer = timer.min(at);
        }
        tokio::select! {
            biased;
            () = shutdown.cancelled() => Wake::Stop,
            // Before VPP's replies: a pass has many replies, but health changes arrive only every few milliseconds.
            Ok(()) = self.health_rx.changed() => Wake::Health,
            event = self.sessions.wait() => Wake::Session(event),
            Ok(()) = self.config_rx.changed() => Wake::Config,
            Some(request) = self.requests_rx.recv() => Wake::Request(request),
            Ok(()) = self.accepted_rx.changed() => Wake::Accepted,
            // Each iteration processes one event and plans one slice, so neither delays the other.
            () = ready(()), if worked => Wake::Turn,
            () = sleep_until(timer) => Wake::Turn,
        }
    }

    /// Evaluates the drains if it is time, and has the flushes of their deadlines planned.
    fn update_drains(&mut self, now: Instant) {
        if self.drains.next_timer().is_some_and(|at| now >= at) {
            let (vpp, stats) = (self.sessions.read_back(), self.stats_rx.borrow().clone());
            let inputs = DrainInputs { inputs: &self.state.inputs, vpp, stats };
            let to_plan = self.drains.update(now, &inputs, &mut self.state.flushes);
            self.sessions.enqueue(to_plan);
        }
    }

    fn handle_request(&mut self, request: handle::SyncRequest) {
        let reply = self.sync_now();
        // The caller may have been dropped.
        let _ = request.reply_tx.send(reply);
    }

    fn sync_now(&mut self) -> Result<(), SyncRefused> {
        if self.gate == Gate::Closed {
            return Err(SyncRefused::WarmingUp);
        }
        if self.sessions.actual().is_none() {
            return Err(SyncRefused::Disconnected);
        }
        self.sessions.request_pass();
        Ok(())
    }

    fn accept_holds(&mut self) {
        let accepted = self.accepted_rx.borrow_and_update().clone();
        self.sessions.enqueue(self.state.mass_removals.accept(&accepted));
        self.sessions.enqueue(self.state.disruption.accept(&accepted));
    }

    fn tick(&mut self, now: Instant) {
        if self.config_delay.take_due(now) {
            self.take_config(now);
        }
        if self.next_save().is_some_and(|at| now >= at) && self.state.save_owned_vips(now) {
            self.sessions.request_pass();
        }
    }

    /// Time at which the file of owned VIPs is to be written again; `None` without the lock.
    fn next_save(&self) -> Option<Instant> {
        self.state.next_save().filter(|_| self.sessions.is_locked())
    }

    fn config_changed(&mut self) {
        let only_endpoints = match (self.state.inputs.config(), &*self.config_rx.borrow()) {
            (Some(used), Some(new)) => config_delay::only_endpoints(used, new, &self.health_rx.borrow()),
            _ => false,
        };
        self.config_delay.changed(only_endpoints, Instant::now());
    }

    fn take_config(&mut self, now: Instant) {
        let Some(config) = self.config_rx.borrow_and_update().clone() else { return };
        self.state.warmup.listed(now);
        self.drains.set_config(&config, now);
        let affected = self.state.inputs.set_config(config);
        self.state.forget(&affected);
        self.state.recreates.forget(&affected.addresses);
        self.sessions.forget_failures(&affected.addresses);
        self.sessions.enqueue(self.state.held_addresses());
        self.enqueue_affected(affected);
    }

    fn take_health(&mut self) {
        let snapshot = self.health_rx.borrow_and_update().clone();
        let before = self.state.inputs.health().clone();
        let mut affected = self.state.inputs.set_health(snapshot);
        affected.addresses.extend(self.state.held_addresses_changed(&before));
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
