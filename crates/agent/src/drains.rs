//! The drains of the Backends that are paused or disabled, and the flushes at their deadlines.
//!
//! ```text
//!  config ── paused and disabled Backends ─┐
//!  VPP's weights, flows, flow timeout ─────┼─▶ Tracker per Backend ─▶ drain-transition, Change::Drain
//!  counters of packets ────────────────────┘         └─ deadline ─▶ drain-deadline, requested flushes
//! ```
//!
//! Evaluated once a second, only while a Backend is paused or disabled. Owned by the agent's task, which plans the
//! requested flushes like any other change.

mod losses;
mod publication;
mod server;
mod tracker;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use imbl::{OrdMap, ordmap::DiffItem};
use jiff::Timestamp;
use tokio::{sync::watch, time::Instant};

use self::{
    losses::LossWatch,
    publication::Published,
    server::{Counted, VipsOfBackend},
    tracker::{Observation, Tracker},
};
use super::{inputs::Inputs, stats::Publication, sync_session::ReadBack};
use maglev_model::{
    Name,
    config::{AdminState, Backend, Config},
    drain::{Drain, OnDeadline},
    event::{Event, Events},
    flushes::Flushes,
};

/// Interval between evaluations.
const INTERVAL: Duration = Duration::from_secs(1);

/// The drains of a node.
pub struct Drains {
    events: Events,
    clock: fn() -> Timestamp,
    /// Switches readings of the counters every second on.
    frequent_tx: watch::Sender<bool>,
    /// The Backends of the last configuration.
    backends: OrdMap<Name, Arc<Backend>>,
    drained: BTreeMap<Name, Drained>,
    counted: Counted,
    /// Time of the next evaluation; `None` while no Backend is drained.
    next: Option<Instant>,
    /// Increased with each configuration: the VIPs of a Backend may have changed.
    configs: u64,
}

/// A Backend that is paused or disabled.
struct Drained {
    backend: Arc<Backend>,
    tracker: Tracker,
    losses: LossWatch,
    vips: VipsOfBackend,
    published: Published,
}

/// The agent's state that the drains are computed from.
pub struct DrainInputs<'a> {
    pub inputs: &'a Inputs,
    /// `None` without a session.
    pub vpp: Option<ReadBack<'a>>,
    pub stats: Publication,
}

impl Drains {
    pub fn new(events: Events, clock: fn() -> Timestamp, frequent_tx: watch::Sender<bool>) -> Self {
        Self {
            events,
            clock,
            frequent_tx,
            backends: OrdMap::new(),
            drained: BTreeMap::new(),
            counted: Counted::default(),
            next: None,
            configs: 0,
        }
    }

    /// Follows the admin states of a new configuration. The work is proportional to the change.
    pub fn set_config(&mut self, config: &Config, now: Instant) {
        self.configs += 1;
        let before = std::mem::replace(&mut self.backends, config.backends.clone());
        for change in before.diff(&config.backends) {
            match change {
                DiffItem::Add(name, backend) | DiffItem::Update { new: (name, backend), .. } => {
                    self.set_backend(name, backend);
                }
                DiffItem::Remove(name, _) => self.forget(name),
            }
        }
        if self.drained.is_empty() {
            self.next = None;
            self.counted = Counted::default();
        } else {
            self.next = Some(now);
        }
        let is_frequent = !self.drained.is_empty();
        self.frequent_tx.send_if_modified(|frequent| std::mem::replace(frequent, is_frequent) != is_frequent);
    }

    fn set_backend(&mut self, name: &Name, backend: &Arc<Backend>) {
        if backend.admin_state == AdminState::Enabled {
            return self.forget(name);
        }
        match self.drained.get_mut(name) {
            Some(drained) if drained.backend.address == backend.address => drained.backend = Arc::clone(backend),
            Some(drained) => {
                // Another server: nothing is known about its flows.
                drained.backend = Arc::clone(backend);
                (drained.tracker, drained.losses, drained.vips) = Default::default();
            }
            None => {
                let (tracker, losses, vips, published) = Default::default();
                let drained = Drained { backend: Arc::clone(backend), tracker, losses, vips, published };
                self.drained.insert(name.clone(), drained);
            }
        }
    }

    fn forget(&mut self, name: &Name) {
        if let Some(drained) = self.drained.remove(name) {
            drained.published.end(name, &self.events);
        }
    }

    /// Time of the next evaluation; `None` while no Backend is drained.
    pub fn next_timer(&self) -> Option<Instant> {
        self.next
    }

    /// Evaluates the drains if it is time. Requests the flushes of deadlines that have passed, and returns the addresses of
    /// their VIPs, to be planned.
    pub fn update(&mut self, now: Instant, inputs: &DrainInputs<'_>, flushes: &mut Flushes) -> BTreeSet<IpAddr> {
        let mut to_plan = BTreeSet::new();
        if self.next.is_none_or(|next| now < next) {
            return to_plan;
        }
        self.next = Some(now + INTERVAL);
        self.counted.update(now, &inputs.stats);
        let (events, counted, configs) = (&self.events, &self.counted, self.configs);
        let evaluation = Evaluation { now, at: (self.clock)(), inputs, events, counted, configs };
        for (name, drained) in &mut self.drained {
            to_plan.extend(drained.evaluate(name, &evaluation, flushes));
        }
        to_plan
    }
}

/// One evaluation of all drains.
struct Evaluation<'a> {
    now: Instant,
    /// Time of day.
    at: Timestamp,
    inputs: &'a DrainInputs<'a>,
    events: &'a Events,
    counted: &'a Counted,
    configs: u64,
}

impl Drained {
    /// Evaluates the drain and publishes it. Returns the addresses of the VIPs whose flows are to be flushed.
    fn evaluate(&mut self, name: &Name, evaluation: &Evaluation<'_>, flushes: &mut Flushes) -> BTreeSet<IpAddr> {
        let Evaluation { now, at, events, counted, .. } = *evaluation;
        let observation = self.observe(evaluation, flushes);
        let state = self.tracker.observe(now, &observation);
        let Backend { address, admin_state, drain: conf, revision, .. } = &*self.backend;
        let is_paused = *admin_state == AdminState::Paused;
        let action = if is_paused { self.tracker.take_due_action(now, *conf) } else { None };
        let reading = match &observation {
            Observation::Read(reading) => Some(reading),
            Observation::Unread | Observation::Weightless => None,
        };
        let drain = Drain {
            generation: revision.generation,
            bits_per_second: counted.bits_per_second(*address).filter(|_| reading.is_some()),
            is_overdue: is_paused && self.tracker.is_overdue(now, *conf),
            losses: self.losses.losses(),
            ..publication::drain(state, reading, self.tracker.idle(), at)
        };
        self.published.publish(name, drain, now, events);
        action.map(|action| self.meet_deadline(name, action, events, flushes)).unwrap_or_default()
    }

    fn observe(&mut self, evaluation: &Evaluation<'_>, flushes: &Flushes) -> Observation {
        let Some(vpp) = evaluation.inputs.vpp else { return Observation::Unread };
        if vpp.actual.weightless {
            return Observation::Weightless;
        }
        self.vips.update(&self.backend, evaluation.inputs.inputs, &vpp, evaluation.configs);
        let reading = self.vips.read(self.backend.address, &vpp, evaluation.counted, flushes);
        if reading.vips.iter().any(|vip| vip.weight > 0) {
            self.losses = LossWatch::default();
        } else {
            self.losses.observe(self.vips.signs(&vpp, evaluation.counted));
        }
        Observation::Read(reading)
    }

    /// Carries out the action at the deadline. Returns the addresses of the VIPs whose flows are to be flushed.
    fn meet_deadline(
        &self,
        name: &Name,
        action: OnDeadline,
        events: &Events,
        flushes: &mut Flushes,
    ) -> BTreeSet<IpAddr> {
        let keys: BTreeSet<_> = self.vips.keys().collect();
        let vips = u32::try_from(keys.len()).unwrap_or(u32::MAX);
        events.emit(Event::DrainDeadline { name: name.clone(), action, vips });
        if action == OnDeadline::Keep {
            return BTreeSet::new();
        }
        keys.iter().for_each(|vip| flushes.request(*vip, self.backend.address));
        keys.into_iter().map(|vip| vip.address).collect()
    }
}
