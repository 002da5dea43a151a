//! The loop that feeds updates to the engine and sends the writes of its plans.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::Duration,
};

use futures::{FutureExt as _, future::BoxFuture};
use jiff::Timestamp;
use maglev_net::sleep_until_some;
use serde_json::Value;
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};

use super::{
    engine::ServiceEngine,
    plan::{FrontendDeletion, FrontendWrite, ServicePlan},
};
use crate::{ControllerMetrics, event_queue::EventQueue, write_queue::WRITE_INTERVAL};
use maglev_kube::{
    EventRecorder, ServiceReceivers, ServiceWriter, ServicesUpdate, WriteError, service_objects::FrontendObject,
};
use maglev_model::{Name, config::Kind};

/// Delay after an update, so that updates that arrive together are one.
const SETTLE: Duration = Duration::from_millis(50);
/// Interval of the look at Frontends that the watch does not deliver.
const EXPIRE_INTERVAL: Duration = Duration::from_secs(10);
/// Largest number of Services that are written at the same time.
const MAX_WRITES: usize = 8;
/// Delay before a Service whose writes failed is looked at again; doubles with each failure.
const MIN_RETRY: Duration = Duration::from_secs(1);
const MAX_RETRY: Duration = Duration::from_mins(1);
/// Delay before a Service is looked at again whose object has changed since the write was computed: the watch delivers it.
const CONFLICT_RETRY: Duration = Duration::from_millis(500);

/// The loop before it runs.
pub(crate) struct ServiceLoop {
    pub allow_loopback: bool,
    pub writer: ServiceWriter,
    pub recorder: EventRecorder,
    pub metrics: ControllerMetrics,
}

/// A write that the API server has accepted.
enum Written {
    Frontend { object: Box<FrontendObject>, manifest: Value },
    Deletion(FrontendDeletion),
    Status,
}

/// The end of the writes for one Service.
struct PlanOutcome {
    plan: ServicePlan,
    written: Vec<Written>,
    /// The write that failed: its kind and error. The writes after it were not sent.
    failed: Option<(&'static str, WriteError)>,
}

/// A Service whose writes failed.
struct Retry {
    /// The Service is not looked at before this time; `None` once it is.
    at: Option<Instant>,
    delay: Duration,
}

struct State {
    engine: ServiceEngine,
    writer: ServiceWriter,
    events: EventQueue,
    metrics: ControllerMetrics,
    writes: JoinSet<PlanOutcome>,
    busy: HashSet<Name>,
    /// Services with a status that nobody waits for.
    unhurried: BTreeSet<Name>,
    next_unhurried: Instant,
    retries: HashMap<Name, Retry>,
    /// The time of the next look at the dirty Services.
    settle_at: Option<Instant>,
    /// The number of the watch of Namespaces while it runs.
    namespaces: Option<u64>,
    last_namespaces: u64,
}

/// Runs until the sender of the updates is dropped.
pub(crate) fn run(parts: ServiceLoop, receivers: ServiceReceivers) -> BoxFuture<'static, ()> {
    let ServiceLoop { allow_loopback, writer, recorder, metrics } = parts;
    let state = State {
        engine: ServiceEngine::new(allow_loopback),
        writer,
        events: EventQueue::new(recorder, metrics.clone()),
        metrics,
        writes: JoinSet::new(),
        busy: HashSet::new(),
        unhurried: BTreeSet::new(),
        next_unhurried: Instant::now(),
        retries: HashMap::new(),
        settle_at: None,
        namespaces: None,
        last_namespaces: 0,
    };
    state.run(receivers).boxed()
}

impl State {
    async fn run(mut self, mut receivers: ServiceReceivers) {
        let mut expire = interval(EXPIRE_INTERVAL);
        expire.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let wake_at = self.wake_at();
            tokio::select! {
                biased;
                Some(Ok(outcome)) = self.writes.join_next() => self.handle_outcome(outcome),
                () = sleep_until_some(wake_at), if wake_at.is_some() => self.look(),
                update = receivers.updates.recv() => {
                    let Some(update) = update else { return };
                    self.update(update);
                    if let Some(number) = self.namespace_demand() {
                        receivers.namespaces.send_replace(number);
                    }
                }
                Ok(()) = receivers.services.changed() => {
                    let listed = receivers.services.borrow_and_update().clone();
                    listed.into_iter().for_each(|services| self.engine.set_services(services));
                }
                _ = expire.tick() => self.engine.expire(Instant::now()),
                () = self.events.publish_next() => {}
            }
            let is_held = |name: &Name| Self::is_held(&self.busy, &self.retries, name);
            if self.settle_at.is_none() && self.engine.is_dirty(is_held) {
                self.settle_at = Some(Instant::now() + SETTLE);
            }
        }
    }

    fn update(&mut self, update: ServicesUpdate) {
        match update {
            ServicesUpdate::Frontends { first, deleted, objects } => {
                self.engine.update_frontends(first, &deleted, objects);
            }
            ServicesUpdate::Grants { kind, first, deleted, objects } => {
                debug_assert!(kind != Kind::Frontend);
                self.engine.update_grants(kind, first, &deleted, objects);
            }
        }
    }

    /// Starts or ends the watch of Namespaces. Returns the number to watch with, if it has changed.
    fn namespace_demand(&mut self) -> Option<Option<u64>> {
        let is_needed = self.engine.needs_namespaces();
        if is_needed == self.namespaces.is_some() {
            return None;
        }
        if is_needed {
            self.last_namespaces += 1;
            self.namespaces = Some(self.last_namespaces);
        } else {
            self.namespaces = None;
            self.engine.unlist_namespaces();
        }
        Some(self.namespaces)
    }

    /// True while the Service is being written, or waits for a retry.
    fn is_held(busy: &HashSet<Name>, retries: &HashMap<Name, Retry>, name: &Name) -> bool {
        busy.contains(name) || retries.get(name).is_some_and(|retry| retry.at.is_some())
    }

    /// The time of the next [`Self::look`]; `None` while nothing is due, or as many Services as possible are being written.
    fn wake_at(&self) -> Option<Instant> {
        if self.writes.len() >= MAX_WRITES {
            return None;
        }
        let unhurried = (!self.unhurried.is_empty()).then_some(self.next_unhurried);
        let retry = self.retries.values().filter_map(|retry| retry.at).min();
        [self.settle_at, unhurried, retry].into_iter().flatten().min()
    }

    /// Looks at the Services that are due, and starts the writes for them.
    fn look(&mut self) {
        let now = Instant::now();
        self.settle_at = None;
        for (name, retry) in &mut self.retries {
            if retry.at.take_if(|at| *at <= now).is_some() {
                self.engine.mark(name.clone());
            }
        }
        if now >= self.next_unhurried
            && let Some(name) = self.unhurried.pop_first()
        {
            self.next_unhurried = now + WRITE_INTERVAL;
            self.start(&name, true);
        }
        let (busy, retries) = (&self.busy, &self.retries);
        let dirty = self.engine.take_dirty(|name| Self::is_held(busy, retries, name));
        for name in dirty {
            if self.writes.len() < MAX_WRITES {
                self.start(&name, false);
            } else {
                self.engine.mark(name);
            }
        }
        self.set_gauges();
    }

    /// Computes the plan of a Service, and starts its writes unless they can wait.
    fn start(&mut self, name: &Name, is_unhurried: bool) {
        if Self::is_held(&self.busy, &self.retries, name) {
            self.engine.mark(name.clone());
            return;
        }
        let plan = self.engine.plan(name, Timestamp::now());
        if plan.is_empty() {
            self.retries.remove(name);
        } else if plan.is_urgent() || is_unhurried {
            self.unhurried.remove(name);
            self.busy.insert(name.clone());
            self.writes.spawn(write(self.writer.clone(), plan));
        } else {
            self.unhurried.insert(name.clone());
        }
    }

    fn handle_outcome(&mut self, PlanOutcome { plan, written, failed }: PlanOutcome) {
        let now = Instant::now();
        self.busy.remove(&plan.name);
        for written in written {
            match written {
                Written::Frontend { object, manifest } => {
                    self.metrics.count_service_write("Frontend");
                    self.engine.frontend_written(*object, manifest, now);
                }
                Written::Deletion(FrontendDeletion { name, uid }) => {
                    self.metrics.count_service_write("Frontend");
                    self.engine.frontend_deleted(&name, &uid);
                }
                Written::Status => {
                    self.metrics.count_service_write("Service");
                    if let Some((service, status)) = &plan.status {
                        self.engine.status_written(service.name.clone(), service.version.clone(), status);
                        status.notes.iter().for_each(|note| self.events.add(note.clone()));
                    }
                }
            }
        }
        match failed {
            None => drop(self.retries.remove(&plan.name)),
            Some((kind, error)) => self.handle_error(&plan.name, kind, &error, now),
        }
        self.engine.mark(plan.name);
    }

    fn handle_error(&mut self, name: &Name, kind: &'static str, error: &WriteError, now: Instant) {
        self.metrics.count_error(kind, error);
        let delay = match error {
            // The watch delivers the changed object, or the deletion, soon.
            WriteError::Conflict | WriteError::Gone | WriteError::NotLeading => CONFLICT_RETRY,
            WriteError::Timeout | WriteError::Refused(_) => {
                tracing::warn!(kind, service = name.as_str(), %error, "cannot write for service");
                self.retries.get(name).map_or(MIN_RETRY, |retry| (retry.delay * 2).clamp(MIN_RETRY, MAX_RETRY))
            }
        };
        self.retries.insert(name.clone(), Retry { at: Some(now + delay), delay });
    }

    fn set_gauges(&self) {
        let counts = self.engine.counts();
        for (state, count) in [("served", counts.services.saturating_sub(counts.waiting)), ("waiting", counts.waiting)]
        {
            self.metrics.services.with_label_values(&[state]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        self.metrics.service_addresses.set(i64::try_from(counts.addresses).unwrap_or(i64::MAX));
    }
}

/// Sends the writes of a plan one after the other, until one fails.
fn write(writer: ServiceWriter, plan: ServicePlan) -> BoxFuture<'static, PlanOutcome> {
    async move {
        let mut written = Vec::new();
        let failed = send(&writer, &plan, &mut written).await.err();
        PlanOutcome { plan, written, failed }
    }
    .boxed()
}

async fn send(
    writer: &ServiceWriter,
    plan: &ServicePlan,
    written: &mut Vec<Written>,
) -> Result<(), (&'static str, WriteError)> {
    let of_frontend = |error| ("Frontend", error);
    for FrontendWrite { frontend, base } in &plan.apply {
        let applied = writer.apply_frontend(&frontend.name, base.as_ref(), &frontend.manifest).await;
        let object = Box::new(applied.map_err(of_frontend)?);
        written.push(Written::Frontend { object, manifest: frontend.manifest.clone() });
    }
    for deletion in &plan.delete {
        match writer.delete_frontend(&deletion.name, &deletion.uid).await {
            Ok(()) | Err(WriteError::Gone | WriteError::Conflict) => written.push(Written::Deletion(deletion.clone())),
            Err(error) => return Err(of_frontend(error)),
        }
    }
    if let Some((service, status)) = &plan.status {
        match writer.write_status(service, &status.status).await {
            // A Service that is gone needs no status.
            Ok(()) | Err(WriteError::Gone) => written.push(Written::Status),
            Err(error) => return Err(("Service", error)),
        }
    }
    Ok(())
}
