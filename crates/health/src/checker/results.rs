//! The results of probes: counted for each backend that the probe stands for, and once for the path of the family.

use std::{iter, time::Duration};

use jiff::SignedDuration;
use tokio::time::Instant;

use maglev_model::{
    event::Event,
    health::{LastProbe, ProbeCode},
    name::Name,
};

use crate::{
    probe_path::{CONFIRMATION_PROBES, CountedProbe, ProbeEffect},
    prober::{ProbeOutcome, Probed, Prober},
    suspicion::{FailureEffect, SuccessEffect},
};

use super::{BackendLoop, Checker, FamilyProbes, probe_queue::FinishedProbe, shared_probes::SharedTarget};

/// A probe without a usable result is repeated after this time, or earlier if the backend's interval is shorter.
const RETRY: Duration = Duration::from_secs(1);

/// The backends that a probe stands for.
struct Probees<'n> {
    /// The backend whose loop sent the probe.
    leader: &'n Name,
    /// The others, which are few if there are any.
    followers: Vec<Name>,
}

impl Probees<'_> {
    fn all(&self) -> impl Iterator<Item = &Name> {
        iter::once(self.leader).chain(&self.followers)
    }
}

impl<P: Prober> Checker<P> {
    /// Handles the result of a backend's current probe. Aborted probes never get here.
    pub(super) fn finish(&mut self, probe: FinishedProbe, now: Instant) {
        let FinishedProbe { name, elapsed, probed: Probed { outcome, connection } } = probe;
        let Some(backend_loop) = self.loops.get_mut(&name) else { return };
        let (Some(in_flight), Some(check)) = (backend_loop.in_flight.take(), backend_loop.check().cloned()) else {
            return;
        };
        backend_loop.connection = connection;
        let target = SharedTarget::new(&backend_loop.backend);
        let followers = target.map_or(Vec::new(), |target| self.shared.followers(&target).to_vec());
        let probees = Probees { leader: &name, followers };
        match outcome {
            ProbeOutcome::NotProbed { detail } => {
                self.options.metrics.not_probed.inc();
                if let Some(suppressed) = self.log_throttle.admit("not-probed") {
                    tracing::warn!(backend = %name, %detail, suppressed, "this node cannot send a probe and retries");
                }
                self.retry(&probees, now);
            }
            ProbeOutcome::Completed { code, .. }
                if may_be_starved(code) && self.starvation.is_starved(in_flight.sample, check.timeout, now) =>
            {
                self.options.metrics.discarded.inc();
                if let Some(suppressed) = self.log_throttle.admit("starved") {
                    tracing::warn!(
                        backend = %name, %code, suppressed,
                        "a failed probe is discarded because this process got too little CPU time"
                    );
                }
                self.retry(&probees, now);
            }
            ProbeOutcome::Completed { code, detail } => {
                let kind = check.probe.type_name();
                tracing::trace!(backend = %name, %code, %detail, "probe");
                let metrics = |backend: &Name| self.loops.get(backend)?.metrics.as_ref();
                // It was one probe, although each backend counts its result.
                if let Some(metrics) = metrics(&name) {
                    metrics.duration.observe(elapsed.as_secs_f64());
                }
                for backend in probees.all() {
                    if let Some(metrics) = metrics(backend) {
                        metrics.counts.add(code);
                    }
                    self.events.emit_probe(|| Event::ProbeDone {
                        backend: backend.clone(),
                        kind,
                        code,
                        duration: elapsed,
                    });
                }
                self.count(&probees, code, in_flight.started, now);
                let started = (self.options.clock)() - SignedDuration::try_from(elapsed).unwrap_or_default();
                let last = LastProbe { started, duration: elapsed, code, detail };
                for follower in &probees.followers {
                    self.record(follower, last.clone());
                }
                self.record(&name, last);
                if let Some(interval) = self.interval(&probees) {
                    self.schedule(&name, in_flight.started, interval, now);
                }
            }
        }
    }

    /// Schedules another probe after one without a usable result.
    fn retry(&mut self, probees: &Probees<'_>, now: Instant) {
        let interval = self.interval(probees).unwrap_or(RETRY);
        self.schedule(probees.leader, now, interval.min(RETRY), now);
    }

    /// The shortest interval that the state of one of the backends asks for.
    fn interval(&self, probees: &Probees<'_>) -> Option<Duration> {
        let interval = |name: &Name| {
            let backend_loop = self.loops.get(name)?;
            Some(backend_loop.machine.cadence().interval(backend_loop.check()?))
        };
        probees.all().filter_map(interval).min()
    }

    fn record(&self, name: &Name, last: LastProbe) {
        if let Some(backend_loop) = self.loops.get(name) {
            self.options.last_probes.record(name, backend_loop.machine.counter(), last);
        }
    }

    /// Counts a result for its backends and, once, for the path of their family.
    fn count(&mut self, probees: &Probees<'_>, code: ProbeCode, started: Instant, now: Instant) {
        let fail_open = self.config.as_ref().is_some_and(|config| config.node.probe.fail_open);
        let is_about_to_fall =
            probees.all().filter_map(|name| self.loops.get(name)).any(|probed| probed.machine.is_about_to_fall());
        let Some(leader) = self.loops.get_mut(probees.leader) else { return };
        let family = leader.family();
        let FamilyProbes { path, probed } = &mut self.families[family];
        let probe = CountedProbe {
            backend: probees.leader,
            success: code.is_success(),
            started,
            is_about_to_fall,
            has_peers: *probed > 1,
            fail_open,
        };
        let effect = path.count(&probe, &mut leader.failing_since, now);
        let failing_since = leader.failing_since;
        // The suspicion is published before the transition that it explains, in the same batch.
        let ProbeEffect { failure, success, .. } = effect;
        let (begins, ends) = (failure == FailureEffect::PathSuspect, success == SuccessEffect::SuspicionEnded);
        if begins || ends {
            self.publisher.set_suspect(family, begins);
        }
        for name in probees.all() {
            let Some(backend_loop) = self.loops.get_mut(name) else { continue };
            let before = backend_loop.health_update(Some(code));
            backend_loop.failing_since = failing_since;
            backend_loop.observe(code.is_success(), effect);
            let after = backend_loop.health_update(Some(code));
            if after != before {
                self.publisher.update(name, &after);
            }
        }
        match (failure, success) {
            // When a suspicion begins, probes of the whole family soon show if the path is at fault; when it ends,
            // which backends are down.
            (FailureEffect::PathSuspect, _) | (_, SuccessEffect::SuspicionEnded) => self.probe_family(family, now),
            (FailureEffect::ConfirmationNeeded, _) => {
                self.probe_now(family, now, CONFIRMATION_PROBES, |peer| !peer.is_in_doubt());
            }
            (_, SuccessEffect::ConfirmationEnded) => self.probe_now(family, now, usize::MAX, BackendLoop::is_in_doubt),
            (FailureEffect::None, SuccessEffect::None) => {}
        }
    }
}

/// True if starvation of this process can produce the result. A refused connection is reported by the other end or by
/// the path, even if the report is handled late.
fn may_be_starved(code: ProbeCode) -> bool {
    !code.is_success() && code != ProbeCode::L4Connection
}
