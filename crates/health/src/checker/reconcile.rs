//! What a new configuration means for the loops: only what differs from the last one is touched.

use std::{sync::Arc, time::Duration};

use imbl::{OrdMap, ordmap::DiffItem};
use tokio::time::Instant;

use crate::Prober;
use maglev_model::{
    config::{Backend, Config},
    name::Name,
    vip::Family,
};

use super::{BackendLoop, Checker, index};

/// Loops that start together after the first configuration are spread at this distance. One alone
/// starts at once.
const SPREAD: Duration = Duration::from_millis(1);

impl<P: Prober> Checker<P> {
    /// Brings the loops in line with `config`.
    pub fn reconcile(&mut self, config: Config) {
        let old = self.config.take();
        self.publisher.limit_history(config.node.probe.transition_history);
        if let Some(shortest) = config.health_checks.values().map(|check| check.timeout).min() {
            self.lag.watch(shortest);
        }
        let none = OrdMap::new();
        let before = old.as_ref().map_or(&none, |old| &old.backends);
        let mut starting = Vec::new();
        for change in before.diff(&config.backends) {
            match change {
                DiffItem::Add(name, backend) => self.add(name, backend, &mut starting),
                DiffItem::Update { new: (name, backend), .. } => self.update(name, backend, &mut starting),
                DiffItem::Remove(name, _) => self.remove(name),
            }
        }
        self.stagger(&starting, old.is_none(), config.node.sync.startup_min_delay);
        self.review_suspicions(config.node.probe.fail_open);
        self.config = Some(config);
    }

    fn add(&mut self, name: &Name, backend: &Arc<Backend>, starting: &mut Vec<Name>) {
        let mut added = BackendLoop::new(Arc::clone(backend));
        self.publisher.note(name, &added.finding(None));
        if let Some(check) = added.check() {
            added.tally = Some(self.options.metrics.track(name, check.probe.type_name()));
            starting.push(name.clone());
        }
        self.loops.insert(name.clone(), added);
    }

    fn update(&mut self, name: &Name, backend: &Arc<Backend>, starting: &mut Vec<Name>) {
        let Some(of) = self.loops.get_mut(name) else { return };
        let family = of.family();
        if !of.adopt(Arc::clone(backend)) {
            return;
        }
        if let Some(due) = of.due.take() {
            self.due.remove(&(due, name.clone()));
        }
        of.tally = of.check().map(|check| self.options.metrics.track(name, check.probe.type_name()));
        if of.tally.is_some() {
            starting.push(name.clone());
        }
        self.publisher.note(name, &of.finding(None));
        self.options.book.forget(name);
        self.paths[index(family)].forget(name);
    }

    fn remove(&mut self, name: &Name) {
        let Some(gone) = self.loops.remove(name) else { return };
        if let Some(due) = gone.due {
            self.due.remove(&(due, name.clone()));
        }
        self.paths[index(gone.family())].forget(name);
        self.options.book.forget(name);
        self.publisher.remove(name);
        self.options.metrics.forget(name);
    }

    /// Has the loops start one after the other, evenly: after an agent's start over all of
    /// min(interval, `startupMinDelay`), later as soon as their number allows.
    fn stagger(&mut self, starting: &[Name], first: bool, startup_min_delay: Duration) {
        let now = Instant::now();
        let count = u32::try_from(starting.len()).unwrap_or(u32::MAX);
        for (place, name) in (0u32..).zip(starting) {
            let Some(check) = self.loops.get(name).and_then(BackendLoop::check) else { continue };
            let mut window = check.interval.min(startup_min_delay);
            if !first {
                window = window.min(SPREAD * count);
            }
            let share = (f64::from(place) + self.rng.f64()) / f64::from(count);
            self.schedule_at(name, now + window.mul_f64(share));
        }
    }

    /// Ends a suspicion that is no longer wanted, or that no probe is left to end.
    fn review_suspicions(&mut self, fail_open: bool) {
        self.probed = [0; 2];
        let mut certain = [0; 2];
        for of in self.loops.values().filter(|of| of.check().is_some()) {
            self.probed[index(of.family())] += 1;
            certain[index(of.family())] += usize::from(!of.is_in_doubt());
        }
        for family in [Family::V4, Family::V6] {
            let (path, of) = (&mut self.paths[index(family)], index(family));
            // Of those that one asks whether it is the path, nobody is left.
            let unasked = path.is_doubtful() && !path.is_active() && certain[of] == 0;
            if path.is_doubtful() && (!fail_open || self.probed[of] == 0 || unasked) {
                if path.end() {
                    self.publisher.suspect(family, false);
                }
                if !fail_open || unasked {
                    self.believe(family);
                }
            }
        }
    }

    /// Nobody in `family` is in doubt any more: down is down.
    fn believe(&mut self, family: Family) {
        for (name, of) in self.loops.iter_mut().filter(|(_, of)| of.family() == family) {
            of.believe();
            self.publisher.note(name, &of.finding(None));
        }
    }
}
