//! The scheduling: one probe loop per backend, all on one thread, driven by what the configuration
//! says now.
//!
//! Everything happens in one place, between two waits: a configuration is applied, a result is
//! counted, due probes start, a batch leaves. A probe that a change made meaningless is dropped
//! there and then, so its result cannot arrive late.

mod backend_loop;
mod flight;
mod reconcile;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use fastrand::Rng;
use jiff::SignedDuration;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use maglev_model::{
    config::Config,
    event::{Event, Events},
    health::{HealthSnapshot, LastProbe, ProbeCode},
    name::Name,
    vip::Family,
};

use self::{
    backend_loop::BackendLoop,
    flight::{Flights, Landed, Landing},
};
use super::{
    HealthOptions,
    complaint::Complaint,
    lag::Lag,
    prober::{Outcome, Prober, Target},
    publisher::Publisher,
    suspicion::{Cleared, Suspicion, Verdict},
};

/// The others of a family whose path became suspect are probed within this time.
const SUSPECT_SPREAD: Duration = Duration::from_secs(1);

/// Probes that begin at once; then the others have their turn.
const BATCH: usize = 32;

/// So many others of the family are asked when one falls alone.
const WITNESSES: usize = 3;

/// A probe that told nothing about its backend is repeated after this time, or earlier if its
/// cadence says so.
const RETRY: Duration = Duration::from_secs(1);

/// Schedules the probes of every backend and publishes what they find.
pub struct Checker<P> {
    prober: P,
    config_rx: watch::Receiver<Option<Config>>,
    events: Events,
    options: HealthOptions,
    rng: Rng,
    /// The configuration in force; `None` before the first.
    config: Option<Config>,
    loops: HashMap<Name, BackendLoop>,
    /// When the next probe of each loop starts that has none under way.
    due: BTreeSet<(Instant, Name)>,
    flights: Flights,
    paths: [Suspicion; 2],
    /// How many backends of each family are probed.
    probed: [usize; 2],
    /// When each path was last known to be suspect: probes that began before say nothing of a backend.
    suspect_until: [Option<Instant>; 2],
    publisher: Publisher,
    lag: Lag,
    starved: Complaint,
    unable: Complaint,
    limited: Complaint,
    /// Probes that are due wait for others to end.
    is_limited: bool,
}

/// Why the checker came back from its wait.
enum Woken {
    Shutdown,
    Config,
    ConfigClosed,
    Landed(Landed),
    Timer,
}

impl<P: Prober> Checker<P> {
    pub fn new(
        prober: P,
        options: HealthOptions,
        config_rx: watch::Receiver<Option<Config>>,
        events: Events,
        snapshot_tx: watch::Sender<HealthSnapshot>,
    ) -> Self {
        Self {
            prober,
            config_rx,
            rng: Rng::with_seed(options.seed),
            config: None,
            loops: HashMap::new(),
            due: BTreeSet::new(),
            flights: Flights::default(),
            paths: Default::default(),
            probed: [0; 2],
            suspect_until: [None; 2],
            publisher: Publisher::new(snapshot_tx, events.clone(), options.clock, 0),
            lag: Lag::default(),
            starved: Complaint::default(),
            unable: Complaint::default(),
            limited: Complaint::default(),
            is_limited: false,
            events,
            options,
        }
    }

    /// Probes until `shutdown`.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut watching = true;
        self.take_config();
        loop {
            self.start_due();
            self.publisher.publish(Instant::now());
            let woken = self.wait(watching, &shutdown).await;
            match woken {
                Woken::Shutdown => return,
                Woken::Config => self.take_config(),
                Woken::ConfigClosed => watching = false,
                Woken::Landed(Landed::Probe(landing)) => self.land(landing, Instant::now()),
                Woken::Landed(Landed::Pulse(wanted)) => self.beat(wanted, Instant::now()),
                Woken::Landed(Landed::Dropped) | Woken::Timer => {}
            }
        }
    }

    /// When there is something to do without anything happening.
    fn wake(&self) -> Option<Instant> {
        let start = self.due.first().filter(|_| self.may_start()).map(|(due, _)| *due);
        [start, self.publisher.due()].into_iter().flatten().min()
    }

    async fn wait(&mut self, watching: bool, shutdown: &CancellationToken) -> Woken {
        let wake = self.wake();
        // In this order: what a configuration ends must not be counted first, and an answer that is
        // there must not lose against a clock.
        tokio::select! {
            biased;
            () = shutdown.cancelled() => Woken::Shutdown,
            changed = self.config_rx.changed(), if watching => {
                if changed.is_ok() { Woken::Config } else { Woken::ConfigClosed }
            }
            landed = self.flights.next() => Woken::Landed(landed),
            () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => Woken::Timer,
        }
    }

    /// Notes how late the pulse came, as late as everything else that was to be done then.
    fn beat(&mut self, wanted: Instant, now: Instant) {
        self.lag.woke(wanted, now);
        if self.flights.probes() > 0 {
            self.flights.pulse(now + self.lag.pulse());
        }
    }

    fn take_config(&mut self) {
        let config = self.config_rx.borrow_and_update().clone();
        if let Some(config) = config {
            self.reconcile(config);
        }
    }

    fn may_start(&self) -> bool {
        self.flights.probes() < self.options.max_in_flight.max(1)
    }

    /// Begins what is due, some at a time: what is under way goes on between.
    fn start_due(&mut self) {
        if !self.flights.has_room() {
            return;
        }
        let now = Instant::now();
        for _ in 0..BATCH {
            if self.due.first().is_none_or(|(due, _)| *due > now) {
                self.is_limited = false;
                return;
            }
            if !self.may_start() {
                self.wait_for_others(now);
                return;
            }
            if let Some((due, name)) = self.due.pop_first() {
                self.options.metrics.start_delay.observe((now - due).as_secs_f64());
                self.start_probe(name, now);
            }
        }
    }

    /// As many probes as may be are under way: those that are due have their turn, the longest due
    /// first, as others end.
    fn wait_for_others(&mut self, now: Instant) {
        if std::mem::replace(&mut self.is_limited, true) {
            return;
        }
        self.options.metrics.limited.inc();
        if let Some(unsaid) = self.limited.raise(now) {
            let limit = self.options.max_in_flight;
            tracing::warn!(limit, unsaid, "probes wait: as many as this process may have are under way");
        }
    }

    fn start_probe(&mut self, name: Name, now: Instant) {
        let (Some(config), Some(of)) = (&self.config, self.loops.get_mut(&name)) else { return };
        of.due = None;
        let Some(check) = of.check().cloned() else { return };
        let kind = check.probe.type_name();
        let source = config.node.probe.source(of.family());
        self.events.emit_probe(|| Event::ProbeStart { backend: name.clone(), kind });
        let probe = self.prober.probe(Target { address: of.backend.address, source, check });
        of.flight = Some(self.flights.begin(name, probe, now, self.lag.mark(now)));
        self.flights.pulse(now + self.lag.pulse());
    }

    /// Takes a result in. One that was dropped never gets here, so it is the current probe's.
    fn land(&mut self, landing: Landing, now: Instant) {
        let Landing { name, elapsed, outcome } = landing;
        let Some(of) = self.loops.get_mut(&name) else { return };
        let (Some(flight), Some(check)) = (of.flight.take(), of.check().cloned()) else { return };
        let cadence = |of: &BackendLoop| of.machine.cadence().of(&check);
        match outcome {
            Outcome::NotProbed { detail } => {
                self.options.metrics.not_probed.inc();
                if let Some(unsaid) = self.unable.raise(now) {
                    tracing::warn!(backend = %name, %detail, unsaid, "this node could not send a probe; it is repeated");
                }
                let delay = cadence(of).min(RETRY);
                self.schedule(&name, now, delay, now);
            }
            Outcome::Answer { code, .. }
                if may_be_own_fault(code) && self.lag.spoiled(flight.mark, check.timeout, now) =>
            {
                self.options.metrics.discarded.inc();
                if let Some(unsaid) = self.starved.raise(now) {
                    tracing::warn!(backend = %name, %code, unsaid, "a failed probe is discarded: this process got too little time");
                }
                let delay = cadence(of).min(RETRY);
                self.schedule(&name, now, delay, now);
            }
            Outcome::Answer { code, detail } => {
                let kind = check.probe.type_name();
                if let Some(tally) = &of.tally {
                    tally.duration.observe(elapsed.as_secs_f64());
                    tally.counts.add(code);
                }
                tracing::trace!(backend = %name, %code, %detail, "probe");
                self.events.emit_probe(|| Event::ProbeDone { backend: name.clone(), kind, code, duration: elapsed });
                self.count(&name, code, flight.started, now);
                if let Some(of) = self.loops.get(&name) {
                    let started = (self.options.clock)() - SignedDuration::try_from(elapsed).unwrap_or_default();
                    let last = LastProbe { started, duration: elapsed, code, detail };
                    self.options.book.note(&name, of.machine.counter(), last);
                    let delay = cadence(of);
                    self.schedule(&name, flight.started, delay, now);
                }
            }
        }
    }

    /// Counts an answer, for its backend and for the path of its family.
    fn count(&mut self, name: &Name, code: ProbeCode, started: Instant, now: Instant) {
        let fail_open = self.config.as_ref().is_some_and(|config| config.node.probe.fail_open);
        let Some(of) = self.loops.get_mut(name) else { return };
        let family = of.family();
        let path = &mut self.paths[index(family)];
        let (mut verdict, mut cleared) = (Verdict::Missed, Cleared::Nothing);
        if code.is_success() {
            of.first_miss = None;
            cleared = path.succeed();
        } else {
            path.miss(name);
            let since = *of.first_miss.get_or_insert(path.successes());
            if fail_open {
                let others = self.probed[index(family)] > 1;
                verdict = path.judge(of.machine.is_about_to_fall().then_some(since), others);
            }
        }
        if cleared != Cleared::Nothing {
            self.suspect_until[index(family)] = Some(now);
        }
        let began_before = self.suspect_until[index(family)].is_some_and(|until| started < until);
        of.observe(code.is_success(), path.is_doubtful() || began_before);
        // The suspicion is told before the fall that it is about, and leaves in the same batch.
        let (begins, ends) = (verdict == Verdict::Begins, cleared == Cleared::Suspicion);
        if begins || ends {
            self.publisher.suspect(family, begins);
        }
        self.publisher.note(name, &of.finding(Some(code)));
        match (verdict, cleared) {
            // Whether it is the path that fails, and then who is down in truth, is to be known soon.
            (Verdict::Begins, _) | (_, Cleared::Suspicion) => self.probe_family(family, now),
            (Verdict::Asks, _) => self.probe_soon(family, now, WITNESSES, |of| !of.is_in_doubt()),
            (_, Cleared::Question) => self.probe_soon(family, now, usize::MAX, BackendLoop::is_in_doubt),
            (Verdict::Missed, Cleared::Nothing) => {}
        }
    }

    /// Probes every backend of `family` soon, but not all at once.
    fn probe_family(&mut self, family: Family, now: Instant) {
        for name in self.waiting(family, usize::MAX, |_| true) {
            let soon = now + SUSPECT_SPREAD.mul_f64(self.rng.f64());
            if self.loops.get(&name).and_then(|of| of.due).is_some_and(|due| due > soon) {
                self.schedule_at(&name, soon);
            }
        }
    }

    /// Probes at most so many backends of `family` at once: the next ones in turn of those that `which`
    /// chooses. One that is being probed answers anyway.
    fn probe_soon(&mut self, family: Family, now: Instant, most: usize, which: impl Fn(&BackendLoop) -> bool) {
        for name in self.waiting(family, most, which) {
            self.schedule_at(&name, now);
        }
    }

    /// Who of `family` waits for its next probe, in turn.
    fn waiting(&self, family: Family, most: usize, which: impl Fn(&BackendLoop) -> bool) -> Vec<Name> {
        let wanted = |name: &Name| self.loops.get(name).is_some_and(|of| of.family() == family && which(of));
        self.due.iter().map(|(_, name)| name).filter(|name| wanted(name)).take(most).cloned().collect()
    }

    /// Has the next probe of `name` start `delay` ± 10 % after `from`, or now if that is past.
    fn schedule(&mut self, name: &Name, from: Instant, delay: Duration, now: Instant) {
        let jittered = delay.mul_f64(0.9 + 0.2 * self.rng.f64());
        self.schedule_at(name, (from + jittered).max(now));
    }

    fn schedule_at(&mut self, name: &Name, at: Instant) {
        let Some(of) = self.loops.get_mut(name) else { return };
        if let Some(due) = of.due.replace(at) {
            self.due.remove(&(due, name.clone()));
        }
        self.due.insert((at, name.clone()));
    }
}

/// Whether a result can come from this process having got too little time. That a connection was
/// refused is told by the other end, or by the path, however late it is heard.
fn may_be_own_fault(code: ProbeCode) -> bool {
    !code.is_success() && code != ProbeCode::L4Connection
}

fn index(family: Family) -> usize {
    match family {
        Family::V4 => 0,
        Family::V6 => 1,
    }
}
