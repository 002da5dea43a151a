//! One term of leadership: the loop that feeds updates to the status engine and sends the writes.

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use jiff::Timestamp;
use maglev_net::sleep_until_some;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{
    Controller, ControllerMetrics,
    event_notes::{Regarding, event_notes},
    event_queue::EventQueue,
    links::LinkUpdate,
    services::{self, ServiceLoop},
    status::{Priority, Status},
    status_engine::{Action, Key, Now, StatusEngine},
    write_queue::WriteQueue,
};
use maglev_crd::BackendState;
use maglev_kube::{
    ClusterReceivers, ClusterWatch, EventRecorder, Leadership, ServiceWatch, ServiceWriter, StatusKind, StatusObject,
    StatusWriter, StoredStatus, WriteError,
};

/// Interval between computations of the statuses of dirty objects.
const RECONCILE_INTERVAL: Duration = Duration::from_millis(500);
/// Interval at which MaglevNodes and LoadBalancerConfigs are marked as dirty: the times of passes are not tracked.
const NODES_INTERVAL: Duration = Duration::from_secs(30);
/// Largest number of concurrent writes.
const MAX_WRITES: usize = 16;
/// A loop that has not run for this long counts as stalled.
const STALLED_AFTER: Duration = Duration::from_mins(1);
/// Largest number of updates from one channel that are applied in one turn of the loop.
const MAX_BATCH: usize = 32;

/// The progress of the present term, for health checks.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Time of the last reconciliation; `None` without a term.
    reconciled: Arc<watch::Sender<Option<Instant>>>,
    /// `None` once the term may write, or without a term.
    waits_for: Arc<watch::Sender<Option<WaitsFor>>>,
}

impl Progress {
    /// False if the loop of the present term has not run for a minute.
    pub fn alive(&self) -> bool {
        self.reconciled.borrow().is_none_or(|at| at.elapsed() < STALLED_AFTER)
    }

    /// The condition for the first write of the present term; `None` once it may write.
    pub fn waits_for(&self) -> Option<WaitsFor> {
        *self.waits_for.borrow()
    }
}

/// The condition that a term waits for before its first write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitsFor {
    /// The first complete list of every kind.
    Lists,
    /// The state of this number of agents.
    Agents(usize),
}

/// A finished write.
struct WriteOutcome {
    key: Key,
    action: Action,
    /// The stored status; `None` for a deleted object.
    result: Result<Option<StoredStatus>, WriteError>,
}

/// Runs a term until `end`.
pub async fn run(controller: Controller, leadership: Arc<Leadership>, end: CancellationToken) {
    let Controller { client, options, links, metrics, progress, runtime: _ } = controller;
    metrics.leader.set(1);
    let stop = end.child_token();
    let _stop = stop.clone().drop_guard();
    let (watch, receivers) = ClusterWatch::new(client.clone(), &options.namespace, options.delays);
    let links_rx = links.follow(stop.clone());
    let parts = ServiceLoop {
        allow_loopback: options.allow_loopback,
        writer: ServiceWriter::new(client.clone(), Arc::clone(&leadership)),
        recorder: EventRecorder::new(client.clone(), &options.identity, Arc::clone(&leadership)),
        metrics: metrics.clone(),
    };
    // A task of its own, so that neither loop delays the other.
    let _services = options.services.then(|| {
        let (watch, receivers) = ServiceWatch::new(client.clone(), options.delays);
        let (watch, services) = (watch.run(stop.clone()), services::run(parts, receivers));
        AbortOnDropHandle::new(tokio::spawn(async move {
            tokio::select! {
                () = watch => {}
                () = services => {}
            }
        }))
    });
    let term = Term {
        engine: StatusEngine::new(options.allow_loopback, options.services),
        queue: WriteQueue::default(),
        writer: StatusWriter::new(client.clone(), Arc::clone(&leadership)),
        events: EventQueue::new(EventRecorder::new(client, &options.identity, leadership), metrics.clone()),
        writes: JoinSet::new(),
        in_flight: HashSet::new(),
        collect_until: Some(Instant::now() + options.collect_for),
        metrics: metrics.clone(),
        progress: progress.clone(),
    };
    tokio::select! {
        () = end.cancelled() => {}
        () = watch.run(stop) => {}
        () = term.run(receivers, links_rx) => {}
    }
    progress.waits_for.send_replace(None);
    progress.reconciled.send_replace(None);
    metrics.leader.set(0);
    metrics.waiting.reset();
    metrics.links.reset();
    metrics.services.reset();
    metrics.service_addresses.set(0);
    metrics.policy_addresses.reset();
}

struct Term {
    engine: StatusEngine,
    queue: WriteQueue,
    writer: StatusWriter,
    events: EventQueue,
    /// Separate tasks, because the loop may be busy with updates for long.
    writes: JoinSet<WriteOutcome>,
    /// Objects with a write in flight.
    in_flight: HashSet<Key>,
    /// Nothing is written before this time, unless all agents' states were received; `None` once writes may start.
    collect_until: Option<Instant>,
    metrics: ControllerMetrics,
    progress: Progress,
}

fn now() -> Now {
    Now { monotonic: Instant::now(), wall: Timestamp::now() }
}

impl Term {
    async fn run(mut self, mut receivers: ClusterReceivers, mut links: mpsc::Receiver<LinkUpdate>) {
        let (mut reconcile, mut nodes) = (interval(RECONCILE_INTERVAL), interval(NODES_INTERVAL));
        for ticks in [&mut reconcile, &mut nodes] {
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        let (mut kind_updates, mut link_updates) = (Vec::new(), Vec::new());
        let mut links_open = true;
        loop {
            let ready_at = self.queue.ready_at().filter(|_| self.may_write());
            tokio::select! {
                // Updates from agents come last, because they may never cease.
                biased;
                Some(Ok(outcome)) = self.writes.join_next() => self.handle_outcome(outcome),
                _ = reconcile.tick() => self.reconcile(),
                count = receivers.kinds.recv_many(&mut kind_updates, MAX_BATCH) => {
                    if count == 0 {
                        return;
                    }
                    let demands = self.engine.apply_kinds(std::mem::take(&mut kind_updates));
                    if let Some(number) = demands.namespaces {
                        receivers.namespaces.send_replace(number);
                    }
                    if let Some(watch) = demands.slices {
                        receivers.slices.send_replace(watch);
                    }
                }
                Ok(()) = receivers.nodes.changed() => {
                    let list = receivers.nodes.borrow_and_update().clone();
                    list.into_iter().for_each(|nodes| self.engine.set_nodes(nodes, now()));
                }
                Ok(()) = receivers.pods.changed() => {
                    let list = receivers.pods.borrow_and_update().clone();
                    list.iter().for_each(|pods| self.engine.set_pods(pods, now()));
                }
                Ok(()) = receivers.maglev_nodes.changed() => {
                    let list = receivers.maglev_nodes.borrow_and_update().clone();
                    list.iter().for_each(|maglev_nodes| self.engine.set_maglev_nodes(maglev_nodes, now()));
                }
                _ = nodes.tick() => self.engine.mark_nodes(),
                () = self.events.publish_next() => {}
                () = sleep_until_some(ready_at), if ready_at.is_some_and(|at| at > Instant::now()) => {}
                count = links.recv_many(&mut link_updates, MAX_BATCH), if links_open => {
                    links_open = count > 0;
                    link_updates.drain(..).for_each(|update| self.engine.apply_link(update));
                }
            }
            self.start_writes();
        }
    }

    fn may_write(&self) -> bool {
        self.collect_until.is_none()
    }

    /// Computes the statuses of all dirty objects and queues the necessary writes.
    fn reconcile(&mut self) {
        let now = now();
        self.progress.reconciled.send_replace(Some(now.monotonic));
        self.engine.update_nodes(now);
        self.engine.update_tables(now);
        if !self.check_collected(now.monotonic) {
            return;
        }
        let timer = self.metrics.reconcile.start_timer();
        for (kind, name) in self.queue.due_rechecks(now.monotonic) {
            self.engine.mark(kind, name);
        }
        // The end of a write marks its object as dirty again.
        let dirty = self.engine.take_dirty();
        let keys: Vec<Key> = dirty.into_iter().filter(|key| !self.in_flight.contains(key)).collect();
        let actions = self.engine.actions(&keys, now);
        for (key, action) in keys.into_iter().zip(actions) {
            self.queue.set(key, action.map(|action| action.priority()), now.monotonic);
        }
        timer.observe_duration();
        self.set_gauges();
        self.set_address_gauges();
    }

    fn set_gauges(&self) {
        let waiting = self.queue.waiting();
        for priority in Priority::ALL {
            let count = waiting.get(&priority).copied().unwrap_or(0);
            self.metrics.waiting.with_label_values(&[priority.as_str()]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        let (nodes, connected) = (self.engine.serving_node_count(), self.engine.connected_agent_count());
        for (state, count) in [("up", connected), ("down", nodes.saturating_sub(connected))] {
            self.metrics.links.with_label_values(&[state]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    fn set_address_gauges(&self) {
        self.metrics.policy_addresses.reset();
        for (policy, counts) in self.engine.policy_addresses() {
            let allocated = i64::try_from(counts.allocated).unwrap_or(i64::MAX);
            let available = i64::try_from(counts.available).unwrap_or(i64::MAX);
            for (state, count) in [("allocated", allocated), ("available", available)] {
                self.metrics.policy_addresses.with_label_values(&[policy.as_str(), state]).set(count);
            }
        }
    }

    /// True once enough agents' states were received to write.
    fn check_collected(&mut self, now: Instant) -> bool {
        let Some(until) = self.collect_until else { return true };
        let silent = self.engine.silent_node_count();
        let waits_for = if !self.engine.is_listed() {
            Some(WaitsFor::Lists)
        } else if silent > 0 && now < until {
            Some(WaitsFor::Agents(silent))
        } else {
            None
        };
        if waits_for.is_none() {
            self.collect_until = None;
            tracing::info!(nodes = self.engine.serving_node_count(), silent, "status writing started");
            if !self.engine.has_policies() {
                tracing::warn!("no AddressPolicy exists, so every namespace may use every address");
            }
        }
        self.progress.waits_for.send_replace(waits_for);
        self.collect_until.is_none()
    }

    fn start_writes(&mut self) {
        if !self.may_write() {
            return;
        }
        while self.writes.len() < MAX_WRITES {
            let now = now();
            let Some(key) = self.queue.pop(now.monotonic) else { return };
            // An object may wait for minutes and change meanwhile, so its status is computed again.
            let Some(action) = self.engine.action(&key, now) else { continue };
            self.queue.start_interval(action.priority(), now.monotonic);
            self.in_flight.insert(key.clone());
            self.writes.spawn(write(self.writer.clone(), key, action));
        }
    }

    fn handle_outcome(&mut self, WriteOutcome { key, action, result }: WriteOutcome) {
        let (kind, now) = (key.0, now());
        self.in_flight.remove(&key);
        match result {
            Ok(written) => {
                self.metrics.count_write(kind.as_str(), action.priority());
                self.queue.succeeded(&key);
                if let Some(written) = written {
                    self.queue_events(&key, &action);
                    self.engine.set_written(key, written);
                } else {
                    self.engine.mark(key.0, key.1);
                }
            }
            Err(error) => {
                self.metrics.count_error(kind.as_str(), &error);
                match &error {
                    WriteError::Gone => self.queue.forget(&key),
                    // The watch delivers the changed object soon; until then a retry would fail again.
                    WriteError::Conflict => self.queue.recheck_at(key, now.monotonic + RECONCILE_INTERVAL),
                    WriteError::NotLeading => {}
                    WriteError::Timeout | WriteError::Refused(_) => {
                        let name = key.1.as_str();
                        tracing::warn!(kind = kind.as_str(), name, %error, "cannot write status");
                        self.queue.failed(&key, now.monotonic);
                    }
                }
            }
        }
    }

    /// Queues the Events that follow from a written status.
    fn queue_events(&mut self, (kind, name): &Key, action: &Action) {
        let Action::Write { from, old, status, .. } = action else { return };
        let state: Option<BackendState> = match &**status {
            Status::Backend(status) => status.state,
            _ => None,
        };
        let backend_note = self.engine.backend_note(name, state);
        let object = Regarding { kind: *kind, name, uid: &from.uid };
        for note in event_notes(object, old, status, backend_note.as_deref()) {
            self.events.add(note);
        }
    }
}

fn write(writer: StatusWriter, key: Key, action: Action) -> BoxFuture<'static, WriteOutcome> {
    async move {
        let (kind, name) = (key.0, &key.1);
        let result = match &action {
            Action::Write { from, status, .. } => {
                writer.write(StatusObject { kind, name }, from, &status.to_value()).await.map(Some)
            }
            Action::Create { node_uid } => writer.create_maglev_node(name.as_str(), node_uid).await.map(Some),
            Action::Delete { from } => writer.delete_maglev_node(name.as_str(), from).await.map(|()| None),
        };
        debug_assert!(kind != StatusKind::MaglevNode || name.namespace().is_empty());
        WriteOutcome { key, action, result }
    }
    .boxed()
}
