//! Applies a new configuration to the loops. Only loops whose backend differs from the last configuration are touched.

use std::{sync::Arc, time::Duration};

use imbl::{OrdMap, ordmap::DiffItem};
use tokio::time::Instant;

use crate::{Prober, per_family::PerFamily};
use maglev_model::{
    config::{Backend, Config},
    name::Name,
    vip::Family,
};

use super::{BackendLoop, Checker, FamilyProbes, shared_probes::SharedTarget};

/// The distance between first probes of loops that start together, after the first configuration. A single loop starts
/// at once.
const SPREAD: Duration = Duration::from_millis(1);

impl<P: Prober> Checker<P> {
    /// Brings the loops in line with `config`.
    pub fn reconcile(&mut self, config: Config) {
        let old = self.config.take();
        self.publisher.limit_history(config.node.probe.transition_history);
        if old.as_ref().is_none_or(|old| !old.health_checks.ptr_eq(&config.health_checks))
            && let Some(shortest) = config.health_checks.values().map(|check| check.timeout).min()
        {
            self.starvation.set_shortest_timeout(shortest);
        }
        let none = OrdMap::new();
        let before = old.as_ref().map_or(&none, |old| &old.backends);
        let (mut starting, mut is_changed) = (Vec::new(), false);
        for change in before.diff(&config.backends) {
            is_changed = true;
            match change {
                DiffItem::Add(name, backend) => self.add(name, backend, &mut starting),
                DiffItem::Update { new: (name, backend), .. } => self.update(name, backend, &mut starting),
                DiffItem::Remove(name, _) => self.remove(name, &mut starting),
            }
        }
        self.stagger(&starting, old.is_none(), config.node.sync.startup_min_delay);
        if is_changed || [Family::V4, Family::V6].iter().any(|family| self.families[*family].path.may_be_at_fault()) {
            self.review_suspicions(config.node.probe.fail_open);
        }
        self.config = Some(config);
    }

    fn add(&mut self, name: &Name, backend: &Arc<Backend>, starting: &mut Vec<Name>) {
        let mut added = BackendLoop::new(Arc::clone(backend));
        self.publisher.update(name, &added.health_update(None));
        if let Some(check) = added.check() {
            added.metrics = Some(self.options.metrics.track(name, check.probe.type_name()));
            starting.push(name.clone());
        }
        if let Some(target) = SharedTarget::new(backend) {
            self.shared.join(target, name);
        }
        self.loops.insert(name.clone(), added);
    }

    fn update(&mut self, name: &Name, backend: &Arc<Backend>, starting: &mut Vec<Name>) {
        let Some(updated) = self.loops.get_mut(name) else { return };
        let family = updated.family();
        let (before, after) = (SharedTarget::new(&updated.backend), SharedTarget::new(backend));
        if !updated.replace_backend(Arc::clone(backend)) {
            if before == after {
                return;
            }
            // A HealthCheck of another name with the same settings: the state stays, and other Backends share the probes.
            updated.restart();
        }
        if let Some(due) = updated.due.take() {
            self.starts.remove(due, name);
        }
        updated.metrics = updated.check().map(|check| self.options.metrics.track(name, check.probe.type_name()));
        if updated.metrics.is_some() {
            starting.push(name.clone());
        }
        self.publisher.update(name, &updated.health_update(None));
        self.options.last_probes.remove(name);
        self.families[family].path.forget(name);
        if let Some(target) = before {
            starting.extend(self.shared.leave(&target, name));
        }
        if let Some(target) = after {
            self.shared.join(target, name);
        }
    }

    fn remove(&mut self, name: &Name, starting: &mut Vec<Name>) {
        let Some(removed) = self.loops.remove(name) else { return };
        if let Some(due) = removed.due {
            self.starts.remove(due, name);
        }
        if let Some(target) = SharedTarget::new(&removed.backend) {
            starting.extend(self.shared.leave(&target, name));
        }
        self.families[removed.family()].path.forget(name);
        self.options.last_probes.remove(name);
        self.publisher.remove(name);
        self.options.metrics.remove(name);
    }

    /// Spreads the first probes of `starting` evenly: after the agent's start over min(interval, `startupMinDelay`),
    /// later over [`SPREAD`] per loop at most.
    fn stagger(&mut self, starting: &[Name], first: bool, startup_min_delay: Duration) {
        let now = Instant::now();
        let count = u32::try_from(starting.len()).unwrap_or(u32::MAX);
        for (position, name) in (0u32..).zip(starting) {
            let Some(started) = self.loops.get(name) else { continue };
            let Some((check, target)) = started.check().zip(SharedTarget::new(&started.backend)) else { continue };
            let mut window = check.interval.min(startup_min_delay);
            if !first {
                window = window.min(SPREAD * count);
            }
            let fraction = (f64::from(position) + self.rng.f64()) / f64::from(count);
            let at = now + window.mul_f64(fraction);
            // A probe of a backend that shares its probes is one of the leader. The result of one in flight counts, too.
            let Some(leader) = self.shared.leader(&target).cloned() else { continue };
            let is_later = |leader: &BackendLoop| leader.in_flight.is_none() && leader.due.is_none_or(|due| at < due);
            if self.loops.get(&leader).is_some_and(is_later) {
                self.schedule_at(&leader, at);
            }
        }
    }

    /// Counts the probed targets, and ends suspicions that are disabled now, or that no probe is left to end.
    fn review_suspicions(&mut self, fail_open: bool) {
        let (mut probed, mut certain) = (PerFamily::<usize>::default(), PerFamily::<usize>::default());
        for backend_loop in self.shared.leaders().filter_map(|name| self.loops.get(name)) {
            probed[backend_loop.family()] += 1;
            certain[backend_loop.family()] += usize::from(!backend_loop.is_in_doubt());
        }
        for family in [Family::V4, Family::V6] {
            let FamilyProbes { path, probed: count } = &mut self.families[family];
            *count = probed[family];
            let review = path.review(fail_open, probed[family] > 0, || certain[family] > 0);
            if review.suspicion_ended {
                self.publisher.set_suspect(family, false);
            }
            if review.doubts_end {
                self.clear_doubts(family);
            }
        }
    }

    /// Accepts the state down of every backend of `family` that is in doubt.
    fn clear_doubts(&mut self, family: Family) {
        for (name, backend_loop) in self.loops.iter_mut().filter(|(_, backend_loop)| backend_loop.family() == family) {
            backend_loop.clear_doubt();
            self.publisher.update(name, &backend_loop.health_update(None));
        }
    }
}
