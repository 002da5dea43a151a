//! What the checker knows, as others see it: keeps the snapshot, tells of transitions, and publishes
//! in batches.

use std::{net::IpAddr, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{sync::watch, time::Instant};

use maglev_model::{
    change::Change,
    event::{Event, Events},
    health::{BackendHealth, BackendState, HealthSnapshot, ProbeCode, Transition},
    name::Name,
    vip::Family,
};

/// How long a change waits for others to leave with it.
const BATCH: Duration = Duration::from_millis(5);

/// The snapshot in the making.
pub struct Publisher {
    snapshot: HealthSnapshot,
    snapshot_tx: watch::Sender<HealthSnapshot>,
    events: Events,
    clock: fn() -> Timestamp,
    history: usize,
    due: Option<Instant>,
}

/// What is known about a backend now.
pub struct Finding {
    pub(crate) address: IpAddr,
    pub(crate) state: BackendState,
    pub(crate) ever_known: bool,
    pub(crate) in_doubt: bool,
    /// The probe's code, where a probe decided it.
    pub(crate) code: Option<ProbeCode>,
}

impl Publisher {
    pub fn new(
        snapshot_tx: watch::Sender<HealthSnapshot>,
        events: Events,
        clock: fn() -> Timestamp,
        history: usize,
    ) -> Self {
        Self { snapshot: HealthSnapshot::default(), snapshot_tx, events, clock, history, due: None }
    }

    /// When the next batch is to leave; `None` while nothing has changed.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Notes what is known about `name`, and tells of it if the state changed.
    pub fn note(&mut self, name: &Name, finding: &Finding) {
        let Finding { address, state, ever_known, in_doubt, code } = *finding;
        let known = self.snapshot.backends.get(name);
        let same = |known: &BackendHealth| {
            (known.address, known.state, known.ever_known, known.in_doubt) == (address, state, ever_known, in_doubt)
        };
        if known.is_some_and(same) {
            return;
        }
        let from = known.map_or(BackendState::Unknown, |known| known.state);
        let mut history = known.map_or_else(|| Arc::from([]), |known| Arc::clone(&known.history));
        if from != state {
            let transition = Transition { from, to: state, at: (self.clock)(), code };
            history = last(self.history, history.iter().copied().chain([transition]));
        }
        let health = BackendHealth { address, state, ever_known, in_doubt, history };
        self.snapshot.backends.insert(name.clone(), health.clone());
        let change = Change::Health(name.clone(), Some(health));
        if from == state {
            self.events.change(change);
        } else {
            self.events.emit_change(Event::BackendTransition { name: name.clone(), from, to: state, code }, change);
        }
        self.changed();
    }

    /// Forgets a backend that is gone.
    pub fn remove(&mut self, name: &Name) {
        if self.snapshot.backends.remove(name).is_some() {
            self.events.change(Change::Health(name.clone(), None));
            self.changed();
        }
    }

    /// Tells that the probe path of `family` is, or is no longer, suspect.
    pub fn suspect(&mut self, family: Family, active: bool) {
        match family {
            Family::V4 => self.snapshot.suspect_v4 = active,
            Family::V6 => self.snapshot.suspect_v6 = active,
        }
        self.events.emit_change(Event::ProbePathSuspect { family, active }, Change::Suspect(family, active));
        self.changed();
    }

    /// Keeps `limit` transitions per backend from now on.
    pub fn limit_history(&mut self, limit: usize) {
        if limit < self.history {
            let shortened = |(name, backend): (&Name, &BackendHealth)| {
                let history = last(limit, backend.history.iter().copied());
                (name.clone(), BackendHealth { history, ..backend.clone() })
            };
            self.snapshot.backends = self.snapshot.backends.iter().map(shortened).collect();
            for (name, health) in &self.snapshot.backends {
                self.events.change(Change::Health(name.clone(), Some(health.clone())));
            }
            self.changed();
        }
        self.history = limit;
    }

    /// Publishes what has changed, if its time has come.
    pub fn publish(&mut self, now: Instant) {
        if self.due.is_some_and(|due| due <= now) {
            self.due = None;
            self.snapshot_tx.send_replace(self.snapshot.clone());
        }
    }

    fn changed(&mut self) {
        self.due.get_or_insert_with(|| Instant::now() + BATCH);
    }
}

/// The last `limit` of `transitions`.
fn last(limit: usize, transitions: impl Iterator<Item = Transition>) -> Arc<[Transition]> {
    let all: Vec<_> = transitions.collect();
    all[all.len().saturating_sub(limit)..].into()
}
