//! Applies a new configuration to the paths. Only the paths of Frontends that differ are touched.

use std::sync::Arc;

use imbl::{OrdMap, ordmap::DiffItem};
use tokio::time::Instant;

use super::{GAP, PathChecker, PathLoop, network::PathNetwork, target::PathTarget};
use maglev_model::{
    change::Change,
    config::Frontend,
    name::Name,
    path::{PathHealth, PathKey},
};

impl<N: PathNetwork> PathChecker<N> {
    /// Applies the configuration. Paths that stay the same go on.
    pub fn take_config(&mut self) {
        let Some(new) = self.config_rx.borrow_and_update().clone() else { return };
        let old = self.config.replace(new.clone());
        let none = OrdMap::new();
        let before = old.as_ref().map_or(&none, |old| &old.frontends);
        let mut starting = Vec::new();
        for change in before.diff(&new.frontends) {
            match change {
                DiffItem::Add(_, frontend) => self.replace(None, Some(frontend), &mut starting),
                DiffItem::Update { old: (_, old), new: (_, new) } if PathTarget::are_same(old, new) => {}
                DiffItem::Update { old: (_, old), new: (_, new) } => self.replace(Some(old), Some(new), &mut starting),
                DiffItem::Remove(_, frontend) => self.replace(Some(frontend), None, &mut starting),
            }
        }
        self.stagger(starting);
        self.review_suspicions();
    }

    /// Replaces the paths of one Frontend. Those that stay the same go on.
    fn replace(&mut self, old: Option<&Arc<Frontend>>, new: Option<&Arc<Frontend>>, starting: &mut Vec<PathKey>) {
        let targets = |frontend: Option<&Arc<Frontend>>| {
            frontend.map(|frontend| PathTarget::of_frontend(frontend)).unwrap_or_default()
        };
        let Some(frontend) = new.or(old) else { return };
        let key = |backend: &Name| PathKey { frontend: frontend.name.clone(), backend: backend.clone() };
        let (before, now) = (targets(old), targets(new));
        let required = new.is_some_and(|frontend| frontend.requires_path());
        for backend in before.keys().filter(|backend| !now.contains_key(backend)) {
            let key = key(backend);
            if self.stop(&key) {
                self.events.emit_change(Change::Path(key, None));
                self.replace_probed(backend, starting);
            }
        }
        for (backend, target) in now {
            let key = key(&backend);
            let is_same = before.get(&backend) == Some(&target);
            let is_probed = self.paths.contains_key(&key);
            if is_same && (is_probed || !required) {
                continue;
            }
            // A path keeps its place when its target changes.
            if self.stop(&key) || self.node_paths.admit(&key, required) {
                self.start(key.clone(), target);
                starting.push(key);
            }
        }
        if required || old.is_some_and(|frontend| frontend.requires_path()) {
            for backend in PathTarget::of_frontend(frontend).keys() {
                self.set_required(&key(backend), required);
            }
        }
    }

    /// Starts the path to a Node that takes the place of one that is no longer probed: that of the first Frontend by name.
    fn replace_probed(&mut self, backend: &Name, starting: &mut Vec<PathKey>) {
        if !self.node_paths.release(backend) {
            return;
        }
        let unprobed = |frontend: &Arc<Frontend>| {
            let key = PathKey { frontend: frontend.name.clone(), backend: backend.clone() };
            let mut members = frontend.pools.iter().flat_map(|pool| &pool.members);
            let is_candidate = !self.paths.contains_key(&key) && members.any(|member| member.backend == *backend);
            if !is_candidate {
                return None;
            }
            // Paths of the new configuration whose turn has not come yet are among them; they then go on.
            Some((key, PathTarget::of_frontend(frontend).remove(backend)?))
        };
        let next = self.config.as_ref().and_then(|config| config.frontends.values().find_map(unprobed));
        if let Some((key, target)) = next
            && self.node_paths.admit(&key, false)
        {
            self.start(key.clone(), target);
            starting.push(key);
        }
    }

    fn set_required(&mut self, key: &PathKey, required: bool) {
        let Some(path) = self.paths.get_mut(key) else { return };
        if std::mem::replace(&mut path.required, required) != required {
            self.required.set(key, required.then(|| path.health.clone()));
        }
    }

    /// Ends the probing of a path. Returns false if it was not probed.
    fn stop(&mut self, key: &PathKey) -> bool {
        let Some(stopped) = self.paths.remove(key) else { return false };
        self.timers.remove(&(stopped.timer, key.clone()));
        self.in_flight -= usize::from(stopped.in_flight.is_some());
        self.families[stopped.target.family()].forget(&key.backend);
        if stopped.required {
            self.required.set(key, None);
        }
        self.requests.record(key, None);
        true
    }

    fn start(&mut self, key: PathKey, target: PathTarget) {
        let (pair, timer) = (target.pair(), Instant::now());
        let health = PathHealth {
            address: target.backend,
            state: pair.state(),
            since: (self.clock)(),
            in_doubt: false,
            detail: pair.detail(),
        };
        self.events.emit_change(Change::Path(key.clone(), Some(health.clone())));
        let started = PathLoop {
            target,
            pair,
            timer,
            in_flight: None,
            last_syn: None,
            failing_since: None,
            in_doubt: false,
            required: false,
            health,
        };
        self.paths.insert(key, started);
    }

    /// Spreads the first probes of `starting`, [`GAP`] for each.
    fn stagger(&mut self, mut starting: Vec<PathKey>) {
        let mut at = Instant::now();
        self.rng.shuffle(&mut starting);
        for key in starting {
            self.schedule(&key, at);
            at += GAP;
        }
    }
}
