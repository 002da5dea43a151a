//! A checker, a prober that answers by script, and what they did.

use std::{
    cell::RefCell,
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
    num::NonZeroU16,
    rc::Rc,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{FutureExt, future::LocalBoxFuture};
use jiff::Timestamp;
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{HealthOptions, Outcome, Prober, Target, checker::Checker};
use maglev_model::{
    config::{AdminState, Backend, Check, Config, HealthCheck, Listed, NodeConfig, Probe, Revision},
    event::{Event, EventSink, Events},
    health::{BackendHealth, BackendState, HealthSnapshot, ProbeCode},
    name::Name,
};

pub const MS: Duration = Duration::from_millis(1);
pub const SEC: Duration = Duration::from_secs(1);

/// How the prober answers for an address.
#[derive(Clone)]
pub struct Answer {
    pub(crate) after: Duration,
    pub(crate) outcome: Outcome,
}

pub fn succeeds() -> Answer {
    Answer { after: MS, outcome: Outcome::answer(ProbeCode::L7Ok, "fine") }
}

pub fn refuses() -> Answer {
    Answer { after: MS, outcome: Outcome::answer(ProbeCode::L4Connection, "refused") }
}

/// Nothing answers: the probe ends by its own timeout.
pub fn hangs() -> Answer {
    Answer { after: Duration::MAX, outcome: Outcome::answer(ProbeCode::L4Timeout, "too late") }
}

/// One probe that was started.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Start {
    pub(crate) at: Duration,
    pub(crate) address: IpAddr,
    pub(crate) source: Option<IpAddr>,
    /// Probes under way then, this one included; to all addresses, and to this one.
    pub(crate) under_way: (usize, usize),
}

#[derive(Default)]
struct Script {
    answers: HashMap<IpAddr, Answer>,
    starts: Vec<Start>,
    under_way: HashMap<IpAddr, usize>,
}

#[derive(Clone)]
pub struct Fake {
    script: Rc<RefCell<Script>>,
    epoch: Instant,
}

/// Notes that a probe is over, however it ended.
struct UnderWay(Fake, IpAddr);

impl Drop for UnderWay {
    fn drop(&mut self) {
        *self.0.script.borrow_mut().under_way.entry(self.1).or_default() -= 1;
    }
}

impl Prober for Fake {
    fn probe(&self, target: Target) -> LocalBoxFuture<'static, Outcome> {
        let mut script = self.script.borrow_mut();
        let address = target.address;
        *script.under_way.entry(address).or_default() += 1;
        let under_way = (script.under_way.values().sum(), script.under_way[&address]);
        script.starts.push(Start { at: self.epoch.elapsed(), address, source: target.source, under_way });
        let Answer { after, outcome } = script.answers.get(&address).cloned().unwrap_or_else(succeeds);
        let guard = UnderWay(self.clone(), address);
        async move {
            let _guard = guard;
            let _ = timeout(target.check.timeout, sleep(after)).await;
            outcome
        }
        .boxed_local()
    }
}

#[derive(Default)]
struct Collected(Mutex<Vec<Event>>);

impl EventSink for Collected {
    fn wants_probes(&self) -> bool {
        true
    }

    fn publish(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

pub struct World {
    pub(crate) config: Config,
    pub(crate) snapshot_rx: watch::Receiver<HealthSnapshot>,
    pub(crate) options: HealthOptions,
    config_tx: watch::Sender<Option<Config>>,
    fake: Fake,
    events: Arc<Collected>,
    _shutdown: DropGuard,
}

impl World {
    /// A checker for `backends`, started now. Must run inside a `LocalSet`.
    pub fn start(backends: impl IntoIterator<Item = Backend>) -> Self {
        Self::start_with(HealthOptions::new("test", 7), backends, |_| {})
    }

    pub fn start_with(
        mut options: HealthOptions,
        backends: impl IntoIterator<Item = Backend>,
        script: impl FnOnce(&Self),
    ) -> Self {
        options.clock = || Timestamp::UNIX_EPOCH;
        let listed = Listed::when(|_| true).unwrap();
        let mut config = Config::new(listed, Arc::new(NodeConfig::default()));
        config.backends = backends.into_iter().map(|backend| (backend.name.clone(), Arc::new(backend))).collect();
        let (config_tx, config_rx) = watch::channel(None);
        let (snapshot_tx, snapshot_rx) = watch::channel(HealthSnapshot::default());
        let fake = Fake { script: Rc::default(), epoch: Instant::now() };
        let events = Arc::new(Collected::default());
        let checker = Checker::new(fake.clone(), options.clone(), config_rx, Events::new(events.clone()), snapshot_tx);
        let shutdown = CancellationToken::new();
        tokio::task::spawn_local(checker.run(shutdown.clone()));
        let world = Self { config, snapshot_rx, options, config_tx, fake, events, _shutdown: shutdown.drop_guard() };
        script(&world);
        world.apply();
        world
    }

    fn apply(&self) {
        self.config_tx.send_replace(Some(self.config.clone()));
    }

    /// Changes the configuration, as the index would.
    pub fn edit(&mut self, change: impl FnOnce(&mut Config)) {
        change(&mut self.config);
        self.apply();
    }

    /// Changes one backend.
    pub fn edit_backend(&mut self, number: u8, change: impl FnOnce(&mut Backend)) {
        self.edit(|config| {
            let mut backend = Backend::clone(&config.backends[&name(number)]);
            change(&mut backend);
            config.backends.insert(backend.name.clone(), Arc::new(backend));
        });
    }

    /// Has probes to backend `number` answered so from now on.
    pub fn answer(&self, number: u8, answer: Answer) {
        self.answer_at(address(number), answer);
    }

    pub fn answer_at(&self, address: IpAddr, answer: Answer) {
        self.fake.script.borrow_mut().answers.insert(address, answer);
    }

    /// Waits for what the snapshot is to show.
    pub async fn until(&mut self, wanted: impl FnMut(&HealthSnapshot) -> bool) -> HealthSnapshot {
        let limit = Duration::from_hours(2);
        timeout(limit, self.snapshot_rx.wait_for(wanted)).await.expect("it happens in time").unwrap().clone()
    }

    /// Waits for a state of backend `number`.
    pub async fn until_state(&mut self, number: u8, state: BackendState) -> BackendHealth {
        let snapshot = self.until(|snapshot| state_in(snapshot, number) == Some(state)).await;
        snapshot.backends[&name(number)].clone()
    }

    pub fn starts(&self) -> Vec<Start> {
        self.fake.script.borrow().starts.clone()
    }

    /// When probes to backend `number` started.
    pub fn starts_of(&self, number: u8) -> Vec<Duration> {
        self.starts().iter().filter(|start| start.address == address(number)).map(|start| start.at).collect()
    }

    /// Time since the start.
    pub fn now(&self) -> Duration {
        self.fake.epoch.elapsed()
    }

    /// Probes under way now.
    pub fn under_way(&self) -> usize {
        self.fake.script.borrow().under_way.values().sum()
    }

    /// Everything told, but for the single probes.
    pub fn told(&self) -> Vec<Event> {
        let events = self.events.0.lock().unwrap();
        let probe = |event: &&Event| !matches!(event, Event::ProbeStart { .. } | Event::ProbeDone { .. });
        events.iter().filter(probe).cloned().collect()
    }

    /// Everything told about single probes.
    pub fn told_of_probes(&self) -> Vec<Event> {
        let events = self.events.0.lock().unwrap();
        let probe = |event: &&Event| matches!(event, Event::ProbeStart { .. } | Event::ProbeDone { .. });
        events.iter().filter(probe).cloned().collect()
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

/// Interval 2 s (1 s between, 4 s at 0), timeout 1 s, rise 2, fall 3.
pub fn check() -> HealthCheck {
    HealthCheck {
        name: Name::namespaced("shop", "http"),
        revision: Revision::default(),
        interval: 2 * SEC,
        fast_interval: SEC,
        down_interval: 4 * SEC,
        timeout: SEC,
        rise: 2,
        fall: 3,
        probe: Probe::Tcp { port: NonZeroU16::MIN, tls: None },
    }
}

pub fn backend(number: u8, check: &HealthCheck) -> Backend {
    Backend {
        name: name(number),
        revision: Revision::default(),
        address: address(number),
        admin_state: AdminState::Enabled,
        check: Check::Probe(Arc::new(check.clone())),
    }
}

pub fn transition(number: u8, from: BackendState, to: BackendState, code: Option<ProbeCode>) -> Event {
    Event::BackendTransition { name: name(number), from, to, code }
}

/// The distances between one start and the next.
pub fn gaps(starts: &[Duration]) -> Vec<Duration> {
    starts.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// Whether `gap` is `delay` ± 10 %, give or take what a timer of whole milliseconds adds.
pub fn is_about(gap: Duration, delay: Duration) -> bool {
    (delay.mul_f64(0.9)..=delay.mul_f64(1.1) + 3 * MS).contains(&gap)
}
