//! A checker with a scripted prober, and records of its probes and events.

use std::{
    cell::RefCell,
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use futures::{FutureExt, future::LocalBoxFuture};
use jiff::Timestamp;
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{HealthOptions, KeptConnection, ProbeOutcome, ProbeTarget, Probed, Prober, checker::Checker};
use maglev_model::{
    config::{Backend, Check, Config, HealthCheck, NodeConfig},
    event::Event,
    health::{BackendHealth, BackendState, HealthSnapshot, ProbeCode},
    name::Name,
};
use maglev_testkit::{
    EventCollector,
    objects::{self, health_check},
};

pub const MS: Duration = Duration::from_millis(1);
pub const SEC: Duration = Duration::from_secs(1);

/// The outcome of all probes to an address, and the time after which they end.
#[derive(Clone)]
pub struct ScriptedOutcome {
    pub(crate) after: Duration,
    pub(crate) outcome: ProbeOutcome,
}

pub fn succeeds() -> ScriptedOutcome {
    ScriptedOutcome { after: MS, outcome: ProbeOutcome::completed(ProbeCode::L7Ok, "fine") }
}

pub fn refuses() -> ScriptedOutcome {
    ScriptedOutcome { after: MS, outcome: ProbeOutcome::completed(ProbeCode::L4Connection, "refused") }
}

/// The backend does not answer: the probe ends by its own timeout.
pub fn hangs() -> ScriptedOutcome {
    ScriptedOutcome { after: Duration::MAX, outcome: ProbeOutcome::completed(ProbeCode::L4Timeout, "too late") }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StartedProbe {
    pub(crate) at: Duration,
    pub(crate) address: IpAddr,
    pub(crate) source: Option<IpAddr>,
    pub(crate) in_flight: InFlight,
}

/// Probes in flight at the start of a probe, which is included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InFlight {
    pub(crate) total: usize,
    pub(crate) to_address: usize,
}

#[derive(Default)]
struct Script {
    answers: HashMap<IpAddr, ScriptedOutcome>,
    starts: Vec<StartedProbe>,
    in_flight: HashMap<IpAddr, usize>,
}

#[derive(Clone)]
pub struct ScriptedProber {
    script: Rc<RefCell<Script>>,
    epoch: Instant,
}

/// Decrements the count of probes in flight when a probe ends or is aborted.
struct InFlightGuard(ScriptedProber, IpAddr);

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        *self.0.script.borrow_mut().in_flight.entry(self.1).or_default() -= 1;
    }
}

impl Prober for ScriptedProber {
    fn probe(&self, target: ProbeTarget, _: Option<KeptConnection>) -> LocalBoxFuture<'static, Probed> {
        let mut script = self.script.borrow_mut();
        let address = target.address;
        *script.in_flight.entry(address).or_default() += 1;
        let in_flight = InFlight { total: script.in_flight.values().sum(), to_address: script.in_flight[&address] };
        script.starts.push(StartedProbe { at: self.epoch.elapsed(), address, source: target.source, in_flight });
        let ScriptedOutcome { after, outcome } = script.answers.get(&address).cloned().unwrap_or_else(succeeds);
        let guard = InFlightGuard(self.clone(), address);
        async move {
            let _guard = guard;
            let _ = timeout(target.check.timeout, sleep(after)).await;
            outcome.into()
        }
        .boxed_local()
    }
}

/// An emitted event; transitions without the details of the health.
#[derive(Clone, Debug, PartialEq)]
pub enum EmittedEvent {
    Transition { name: Name, from: BackendState, to: BackendState, code: Option<ProbeCode> },
    Other(Event),
}

impl From<&Event> for EmittedEvent {
    fn from(event: &Event) -> Self {
        match event.clone() {
            Event::BackendTransition { name, from, code, health } => {
                Self::Transition { name, from, to: health.state, code }
            }
            event => Self::Other(event),
        }
    }
}

pub struct CheckerFixture {
    pub(crate) config: Config,
    pub(crate) snapshot_rx: watch::Receiver<HealthSnapshot>,
    pub(crate) options: HealthOptions,
    config_tx: watch::Sender<Option<Config>>,
    prober: ScriptedProber,
    events: Arc<EventCollector>,
    _shutdown: DropGuard,
}

impl CheckerFixture {
    /// Starts a checker for `backends`. Must run inside a `LocalSet`.
    pub fn start(backends: impl IntoIterator<Item = Backend>) -> Self {
        Self::start_with(HealthOptions::new("test", 7), backends, |_| {})
    }

    pub fn start_with(
        mut options: HealthOptions,
        backends: impl IntoIterator<Item = Backend>,
        script: impl FnOnce(&Self),
    ) -> Self {
        options.clock = || Timestamp::UNIX_EPOCH;
        let mut config = objects::config([], NodeConfig::default());
        config.backends = backends.into_iter().map(|backend| (backend.name.clone(), Arc::new(backend))).collect();
        let (config_tx, config_rx) = watch::channel(None);
        let (snapshot_tx, snapshot_rx) = watch::channel(HealthSnapshot::default());
        let prober = ScriptedProber { script: Rc::default(), epoch: Instant::now() };
        let events = Arc::new(EventCollector::default());
        events.want_probes(true);
        let checker = Checker::new(prober.clone(), options.clone(), config_rx, events.handle(), snapshot_tx);
        let shutdown = CancellationToken::new();
        tokio::task::spawn_local(checker.run(shutdown.clone()));
        let fixture =
            Self { config, snapshot_rx, options, config_tx, prober, events, _shutdown: shutdown.drop_guard() };
        script(&fixture);
        fixture.apply();
        fixture
    }

    fn apply(&self) {
        self.config_tx.send_replace(Some(self.config.clone()));
    }

    /// Changes the configuration.
    pub fn edit(&mut self, change: impl FnOnce(&mut Config)) {
        change(&mut self.config);
        self.apply();
    }

    pub fn edit_backend(&mut self, number: u8, change: impl FnOnce(&mut Backend)) {
        self.edit(|config| {
            let mut backend = Backend::clone(&config.backends[&name(number)]);
            change(&mut backend);
            config.backends.insert(backend.name.clone(), Arc::new(backend));
        });
    }

    /// Sets the outcome of future probes to backend `number`.
    pub fn answer(&self, number: u8, answer: ScriptedOutcome) {
        self.answer_at(address(number), answer);
    }

    pub fn answer_at(&self, address: IpAddr, answer: ScriptedOutcome) {
        self.prober.script.borrow_mut().answers.insert(address, answer);
    }

    /// Waits for a snapshot that matches `condition`.
    pub async fn until(&mut self, condition: impl FnMut(&HealthSnapshot) -> bool) -> HealthSnapshot {
        let limit = Duration::from_hours(2);
        timeout(limit, self.snapshot_rx.wait_for(condition))
            .await
            .expect("the condition holds in time")
            .unwrap()
            .clone()
    }

    /// Waits for `state` of backend `number`.
    pub async fn until_state(&mut self, number: u8, state: BackendState) -> BackendHealth {
        let snapshot = self.until(|snapshot| state_in(snapshot, number) == Some(state)).await;
        snapshot.backends[&name(number)].clone()
    }

    pub fn starts(&self) -> Vec<StartedProbe> {
        self.prober.script.borrow().starts.clone()
    }

    /// Start times of the probes to backend `number`.
    pub fn starts_of(&self, number: u8) -> Vec<Duration> {
        self.starts().iter().filter(|start| start.address == address(number)).map(|start| start.at).collect()
    }

    /// Time since the start of the fixture.
    pub fn now(&self) -> Duration {
        self.prober.epoch.elapsed()
    }

    /// The number of probes in flight.
    pub fn in_flight(&self) -> usize {
        self.prober.script.borrow().in_flight.values().sum()
    }

    /// All events, except those of single probes.
    pub fn events(&self) -> Vec<EmittedEvent> {
        let events = self.events.events();
        let is_probe = |event: &Event| matches!(event, Event::ProbeStart { .. } | Event::ProbeDone { .. });
        events.iter().filter(|event| !is_probe(event)).map(EmittedEvent::from).collect()
    }

    /// All events of single probes.
    pub fn probe_events(&self) -> Vec<Event> {
        let is_probe = |event: &Event| matches!(event, Event::ProbeStart { .. } | Event::ProbeDone { .. });
        self.events.events().into_iter().filter(is_probe).collect()
    }
}

pub fn state_in(snapshot: &HealthSnapshot, number: u8) -> Option<BackendState> {
    snapshot.backends.get(&name(number)).map(|backend| backend.state)
}

pub fn name(number: u8) -> Name {
    Name::namespaced("shop", &format!("web-{number:03}"))
}

pub fn address(number: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, number).into()
}

/// Interval 2 s (fast 1 s, down 4 s), timeout 1 s, rise 2, fall 3.
pub fn check() -> HealthCheck {
    HealthCheck { fast_interval: SEC, down_interval: 4 * SEC, ..health_check("shop/http") }
}

pub fn backend(number: u8, check: &HealthCheck) -> Backend {
    let check = Check::Probe(Arc::new(check.clone()));
    Backend { name: name(number), check, ..objects::backend("web", &address(number).to_string()) }
}

pub fn transition(number: u8, from: BackendState, to: BackendState, code: Option<ProbeCode>) -> EmittedEvent {
    EmittedEvent::Transition { name: name(number), from, to, code }
}

/// Times between consecutive starts.
pub fn gaps(starts: &[Duration]) -> Vec<Duration> {
    starts.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// True if `gap` is `delay` ± 10 %, with a tolerance for timers of whole milliseconds.
pub fn is_about(gap: Duration, delay: Duration) -> bool {
    (delay.mul_f64(0.9)..=delay.mul_f64(1.1) + 3 * MS).contains(&gap)
}
