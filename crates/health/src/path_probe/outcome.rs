//! The consequences of an answer or of its absence: for the path, and for the other paths of its address family.

use std::{collections::BTreeSet, sync::Arc};

use tokio::time::Instant;

use super::{
    PathChecker, PathLoop,
    network::PathNetwork,
    pair::{self, Finished, Observed, SynResult},
    requests::PathRequest,
};
use crate::{
    probe_path::{CONFIRMATION_PROBES, CountedProbe, ProbeEffect, SUSPECT_SPREAD},
    suspicion::{FailureEffect, SuccessEffect},
};
use maglev_model::{
    change::Change,
    event::Event,
    path::{PathHealth, PathKey, PathState},
    vip::Family,
};

impl<N: PathNetwork> PathChecker<N> {
    /// Counts the result of the SYN that started at `started`, publishes the state and schedules the next SYN.
    pub fn finish(&mut self, key: &PathKey, started: Instant, result: SynResult, now: Instant) {
        let Some(path) = self.paths.get_mut(key) else { return };
        self.metrics.count(&result);
        let interval = path.target.interval;
        let not_sent = match &result {
            SynResult::NotSent { detail } => Some(Arc::clone(detail)),
            _ => None,
        };
        let Observed { mut delay, finished } = path.pair.observe(result, interval);
        if self.requests.are_pending() {
            self.reply(key, finished, not_sent);
        }
        let Some(path) = self.paths.get(key) else { return };
        if delay == interval {
            delay = delay.mul_f64(0.9 + self.rng.f64() / 5.0);
        }
        let family = path.target.family();
        let effect = finished.and_then(|finished| self.count(key, finished, started, now));
        self.publish(key);
        self.schedule(key, self.on_grid((started + delay.max(pair::PACE)).max(now)));
        if let Some(effect) = effect {
            self.probe_others(family, effect, now);
        }
    }

    /// Passes the result of one probe to those who requested it.
    fn reply(&mut self, key: &PathKey, finished: Option<Finished>, not_sent: Option<Arc<str>>) {
        let Some(path) = self.paths.get(key) else { return };
        let (state, detail) = match (finished, not_sent) {
            (Some(Finished { success: true, .. }), _) => (PathState::Ok, Arc::default()),
            (Some(_), _) => path.pair.last_failure(),
            (None, Some(detail)) => (PathState::Unable, detail),
            (None, None) => return,
        };
        let (address, since) = (path.target.backend, (self.clock)());
        self.requests.record(key, Some(&PathHealth { address, state, since, in_doubt: false, detail }));
    }

    /// Probes the paths to a Backend at once, as far as the pace of SYNs allows.
    pub fn take_request(&mut self, request: PathRequest, now: Instant) {
        let to_backend = |key: &&PathKey| key.backend == request.backend;
        let keys: BTreeSet<PathKey> = self.paths.keys().filter(to_backend).cloned().collect();
        for key in &keys {
            if let Some(path) = self.paths.get_mut(key) {
                path.pair.include_large();
                if path.in_flight.is_none() {
                    self.probe_by(key, now);
                }
            }
        }
        self.requests.add(request, keys);
    }

    /// Counts a finished probe for the paths of its address family, so that a fault of this node brings no backend down.
    fn count(&mut self, key: &PathKey, finished: Finished, started: Instant, now: Instant) -> Option<ProbeEffect> {
        let Finished { success, was_down, was_about_to_fall } = finished;
        let family = self.paths.get(key)?.target.family();
        let is_peer =
            |(other, path): (&PathKey, &PathLoop)| other.backend != key.backend && path.target.family() == family;
        let probe = CountedProbe {
            backend: &key.backend,
            success,
            started,
            is_about_to_fall: was_about_to_fall,
            has_peers: !success && was_about_to_fall && self.paths.iter().any(is_peer),
            fail_open: self.config.as_ref().is_some_and(|config| config.node.probe.fail_open),
        };
        let path = self.paths.get_mut(key)?;
        let effect = self.families[family].count(&probe, &mut path.failing_since, now);
        path.in_doubt = effect.in_doubt(success, path.in_doubt, was_down, path.pair.is_down());
        match (effect.failure, effect.success) {
            (FailureEffect::PathSuspect, _) => tracing::warn!(
                family = family.as_str(),
                "no path of this address family works: weights that depend on the paths are kept"
            ),
            (_, SuccessEffect::SuspicionEnded) => {
                tracing::info!(family = family.as_str(), "paths of this address family work again");
            }
            _ => {}
        }
        Some(effect)
    }

    /// Probes other paths of `family` soon if they show where the fault is, or if their own state is in doubt no longer.
    fn probe_others(&mut self, family: Family, effect: ProbeEffect, now: Instant) {
        match (effect.failure, effect.success) {
            (FailureEffect::PathSuspect, _) | (_, SuccessEffect::SuspicionEnded) => {
                for key in self.waiting(family, usize::MAX, |_| true) {
                    let soon = now + SUSPECT_SPREAD.mul_f64(self.rng.f64());
                    self.probe_by(&key, soon);
                }
            }
            (FailureEffect::ConfirmationNeeded, _) => {
                for key in self.waiting(family, CONFIRMATION_PROBES, |in_doubt| !in_doubt) {
                    self.probe_by(&key, now);
                }
            }
            (_, SuccessEffect::ConfirmationEnded) => {
                for key in self.waiting(family, usize::MAX, |in_doubt| in_doubt) {
                    self.probe_by(&key, now);
                }
            }
            (FailureEffect::None, SuccessEffect::None) => {}
        }
    }

    /// Up to `limit` paths of `family` whose doubt matches `filter` and that wait for their next SYN, the next due first.
    fn waiting(&self, family: Family, limit: usize, filter: impl Fn(bool) -> bool) -> Vec<PathKey> {
        let keys = self.timers.iter().map(|(_, key)| key);
        let matches = |key: &&PathKey| {
            self.paths
                .get(*key)
                .is_some_and(|path| path.in_flight.is_none() && path.target.family() == family && filter(path.in_doubt))
        };
        keys.filter(matches).take(limit).cloned().collect()
    }

    /// Advances the next SYN of a path to `at`, as far as the pace of SYNs to one backend allows.
    fn probe_by(&mut self, key: &PathKey, at: Instant) {
        let Some(path) = self.paths.get(key) else { return };
        let at = path.last_syn.map_or(at, |last| at.max(last + pair::PACE));
        if at < path.timer {
            self.schedule(key, at);
        }
    }

    /// Publishes the state of a path if it differs from the one last published.
    pub fn publish(&mut self, key: &PathKey) {
        let Some(path) = self.paths.get_mut(key) else { return };
        let (from, state) = (path.health.state, path.pair.state());
        let in_doubt = path.in_doubt && path.pair.is_down();
        if (from, path.health.in_doubt) == (state, in_doubt) {
            return;
        }
        let since = if from == state { path.health.since } else { (self.clock)() };
        let health = PathHealth { address: path.target.backend, state, since, in_doubt, detail: path.pair.detail() };
        path.health = health.clone();
        if path.required {
            self.required.set(key, Some(health.clone()));
        }
        if from == state {
            self.events.emit_change(Change::Path(key.clone(), Some(health)));
        } else {
            self.events.emit(Event::PathTransition { path: key.clone(), from, health });
        }
    }

    /// Ends suspicions that are disabled now, or that no probe is left to end.
    pub fn review_suspicions(&mut self) {
        let fail_open = self.config.as_ref().is_some_and(|config| config.node.probe.fail_open);
        for family in [Family::V4, Family::V6] {
            let path = &mut self.families[family];
            if !path.may_be_at_fault() {
                continue;
            }
            let mut targets = self.paths.values().filter(|path| path.target.family() == family);
            let is_probed = targets.clone().next().is_some();
            let review = path.review(fail_open, is_probed, || targets.any(|path| !path.in_doubt));
            if review.doubts_end {
                let in_doubt = |(key, path): (&PathKey, &mut PathLoop)| {
                    let ends = path.target.family() == family && std::mem::take(&mut path.in_doubt);
                    ends.then(|| key.clone())
                };
                let keys: Vec<PathKey> = self.paths.iter_mut().filter_map(in_doubt).collect();
                keys.iter().for_each(|key| self.publish(key));
            }
        }
    }
}
