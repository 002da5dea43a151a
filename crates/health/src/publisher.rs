//! Keeps the health snapshot, emits an event for each transition and publishes changes in batches.

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

/// The time that a change waits for further changes before the batch is published.
const BATCH: Duration = Duration::from_millis(5);

pub struct Publisher {
    snapshot: HealthSnapshot,
    snapshot_tx: watch::Sender<HealthSnapshot>,
    events: Events,
    clock: fn() -> Timestamp,
    history_limit: usize,
    due: Option<Instant>,
}

/// The current health of one backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthUpdate {
    pub(crate) address: IpAddr,
    pub(crate) state: BackendState,
    pub(crate) ever_known: bool,
    pub(crate) in_doubt: bool,
    /// The code of the probe that caused the update, if a probe did.
    pub(crate) code: Option<ProbeCode>,
}

impl Publisher {
    pub fn new(
        snapshot_tx: watch::Sender<HealthSnapshot>,
        events: Events,
        clock: fn() -> Timestamp,
        history_limit: usize,
    ) -> Self {
        Self { snapshot: HealthSnapshot::default(), snapshot_tx, events, clock, history_limit, due: None }
    }

    /// The time of the next publication; `None` while nothing has changed.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Applies `update` to the snapshot, and emits a transition if the state changed.
    pub fn update(&mut self, name: &Name, update: &HealthUpdate) {
        let HealthUpdate { address, state, ever_known, in_doubt, code } = *update;
        let old = self.snapshot.backends.get(name);
        let is_same = |old: &BackendHealth| {
            (old.address, old.state, old.ever_known, old.in_doubt) == (address, state, ever_known, in_doubt)
        };
        if old.is_some_and(is_same) {
            return;
        }
        let from = old.map_or(BackendState::Unknown, |old| old.state);
        let mut history = old.map_or_else(|| Arc::from([]), |old| Arc::clone(&old.history));
        if from != state {
            let transition = Transition { from, to: state, at: (self.clock)(), code };
            history = newest(self.history_limit, history.iter().copied().chain([transition]));
        }
        let health = BackendHealth { address, state, ever_known, in_doubt, history };
        self.snapshot.backends.insert(name.clone(), health.clone());
        if from == state {
            self.events.emit_change(Change::Health(name.clone(), Some(health)));
        } else {
            self.events.emit(Event::BackendTransition { name: name.clone(), from, code, health });
        }
        self.schedule();
    }

    pub fn remove(&mut self, name: &Name) {
        if self.snapshot.backends.remove(name).is_some() {
            self.events.emit_change(Change::Health(name.clone(), None));
            self.schedule();
        }
    }

    /// Publishes that the probe path of `family` is suspect, or no longer is.
    pub fn set_suspect(&mut self, family: Family, active: bool) {
        match family {
            Family::V4 => self.snapshot.suspect_v4 = active,
            Family::V6 => self.snapshot.suspect_v6 = active,
        }
        self.events.emit(Event::ProbePathSuspect { family, active });
        self.schedule();
    }

    /// Sets the number of transitions to keep per backend, and shortens longer histories.
    pub fn limit_history(&mut self, limit: usize) {
        if limit < self.history_limit {
            let shortened = |(name, backend): (&Name, &BackendHealth)| {
                let history = newest(limit, backend.history.iter().copied());
                (name.clone(), BackendHealth { history, ..backend.clone() })
            };
            self.snapshot.backends = self.snapshot.backends.iter().map(shortened).collect();
            for (name, health) in &self.snapshot.backends {
                self.events.emit_change(Change::Health(name.clone(), Some(health.clone())));
            }
            self.schedule();
        }
        self.history_limit = limit;
    }

    /// Publishes the snapshot if a batch is due.
    pub fn publish(&mut self, now: Instant) {
        if self.due.is_some_and(|due| due <= now) {
            self.due = None;
            self.snapshot_tx.send_modify(|published| {
                // The path probe publishes the paths.
                let paths = std::mem::take(&mut published.paths);
                *published = HealthSnapshot { paths, ..self.snapshot.clone() };
            });
        }
    }

    fn schedule(&mut self) {
        self.due.get_or_insert_with(|| Instant::now() + BATCH);
    }
}

/// The newest `limit` transitions.
fn newest(limit: usize, transitions: impl Iterator<Item = Transition>) -> Arc<[Transition]> {
    let all: Vec<_> = transitions.collect();
    all[all.len().saturating_sub(limit)..].into()
}

#[cfg(test)]
mod tests {
    use maglev_model::path::{PathHealth, PathKey, PathState};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn paths_in_the_snapshot_stay_as_the_path_probe_published_them() {
        let clock = (|| Timestamp::UNIX_EPOCH) as fn() -> Timestamp;
        let (snapshot_tx, snapshot_rx) = watch::channel(HealthSnapshot::default());
        let mut publisher = Publisher::new(snapshot_tx.clone(), Events::discard(), clock, 1);
        let address = IpAddr::from([10, 0, 0, 1]);
        let (state, since, in_doubt) = (PathState::Ok, Timestamp::UNIX_EPOCH, false);
        let path = PathHealth { address, state, since, in_doubt, detail: "".into() };
        let name = Name::from("shop/web");
        let key = PathKey { frontend: name.clone(), backend: name.clone() };
        snapshot_tx.send_modify(|snapshot| {
            snapshot.paths.insert(key.clone(), path.clone());
        });
        let state = BackendState::Up;
        publisher.update(&name, &HealthUpdate { address, state, ever_known: true, in_doubt, code: None });
        tokio::time::sleep(BATCH).await;
        publisher.publish(Instant::now());
        let snapshot = snapshot_rx.borrow();
        assert_eq!((snapshot.backends.len(), snapshot.paths.get(&key)), (1, Some(&path)));
    }
}
