//! Agents simulated where their links end.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use maglev_controller::digest::Digest;
use maglev_controller::{AgentLinks, LinkNews};
use maglev_index::{Index, IndexOptions, Meta, Object, Stored};
use maglev_model::Name;
use maglev_model::change::{Change, Fold as _, Report, VppInfo};
use maglev_model::config::{Config, Frontend, Kind, Revision};
use maglev_model::event::{FrontendState, ProgramResult};
use maglev_model::fingerprint::Fingerprint;
use maglev_model::health::{BackendHealth, BackendState, ProbeCode, Transition};
use maglev_model::view::{StateSince, View};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::cluster::{Kept, Objects};

/// How often everything changes.
const EVERY: Duration = Duration::from_secs(5);

/// All agents of the cluster.
#[derive(Clone)]
pub struct Agents(Arc<Inner>);

struct Inner {
    runtime: Handle,
    nodes: Vec<Arc<str>>,
    config: Mutex<Option<Config>>,
    listener: Mutex<Option<mpsc::Sender<LinkNews>>>,
    changes: AtomicU64,
    began: Mutex<Instant>,
}

impl AgentLinks for Agents {
    fn follow(&self, _shutdown: CancellationToken) -> mpsc::Receiver<LinkNews> {
        let (news, news_rx) = mpsc::channel(4096);
        *self.0.listener.lock().unwrap() = Some(news);
        news_rx
    }
}

impl Agents {
    /// Agents of these nodes, which run on `runtime`.
    pub fn new(nodes: Vec<String>, runtime: Handle) -> Self {
        Self(Arc::new(Inner {
            runtime,
            nodes: nodes.into_iter().map(Into::into).collect(),
            config: Mutex::default(),
            listener: Mutex::default(),
            changes: AtomicU64::new(0),
            began: Mutex::new(Instant::now()),
        }))
    }

    /// They see the objects as they are stored now.
    pub fn follow_specs(&self, objects: &Objects) {
        let (mut index, config_rx) = Index::new(IndexOptions::default());
        fn of<S: serde::de::DeserializeOwned>(name: &str, kept: &Kept) -> Stored<S> {
            let revision = Revision { uid: kept.uid.as_str().into(), generation: kept.generation };
            let created = kept.created.parse().unwrap();
            let meta = Meta { name: Name::namespaced("default", name), revision, created };
            Stored { meta, spec: Ok(serde_json::from_value(kept.spec.clone()).unwrap()) }
        }
        let backends = objects.kept("Backend").iter().map(|(name, kept)| Object::Backend(of(name, kept))).collect();
        let frontends = objects.kept("Frontend").iter().map(|(name, kept)| Object::Frontend(of(name, kept))).collect();
        index.reset(Kind::Backend, backends);
        index.reset(Kind::Frontend, frontends);
        for kind in [Kind::HealthCheck, Kind::LoadBalancerConfig, Kind::Node] {
            index.reset(kind, Vec::new());
        }
        *self.0.config.lock().unwrap() = config_rx.borrow().clone();
    }

    fn config(&self) -> Config {
        self.0.config.lock().unwrap().clone().unwrap()
    }

    async fn send(&self, news: LinkNews) {
        let listener = loop {
            if let Some(listener) = self.0.listener.lock().unwrap().clone() {
                break listener;
            }
            sleep(Duration::from_millis(50)).await;
        };
        listener.send(news).await.unwrap();
    }

    fn reset(node: &Arc<str>, view: &View) -> LinkNews {
        let mut digest = Digest::default();
        digest.reset(view);
        LinkNews::Reset(Arc::clone(node), digest)
    }

    /// Every agent is there and has everything programmed and up.
    pub fn all_programmed(&self) {
        let agents = self.clone();
        self.0.runtime.spawn(async move {
            let view = agents.view(ProgramResult::Programmed, true);
            for node in &agents.0.nodes {
                agents.send(Self::reset(node, &view)).await;
                agents.send(LinkNews::Link(Arc::clone(node), Ok(()))).await;
                let info = VppInfo { version: "26.10".to_owned(), ..VppInfo::default() };
                let connected = (Change::VppConnected(Arc::new(info)), Timestamp::now());
                agents.send(LinkNews::Changes(Arc::clone(node), vec![connected])).await;
            }
        });
    }

    /// What an agent knows.
    fn view(&self, result: ProgramResult, known: bool) -> View {
        let config = self.config();
        let mut view = View { node: Some(Arc::clone(&config.node)), ..View::default() };
        for (name, frontend) in &config.frontends {
            view.reports.insert(name.clone(), report(frontend, result));
            if known {
                let up = StateSince { state: FrontendState::Up, since: Timestamp::now(), code: None };
                view.states.insert(name.clone(), up);
            }
        }
        for (name, backend) in &config.backends {
            let state = if known { BackendState::Up } else { BackendState::Unknown };
            view.health.backends.insert(name.clone(), health(backend.address, state));
        }
        (view.frontends, view.backends) = (config.frontends, config.backends);
        view
    }

    /// Everything of every agent changes its state every 5 s, each agent at its own moment, until the token is
    /// cancelled.
    pub fn flap(&self) -> CancellationToken {
        let end = CancellationToken::new();
        self.0.changes.store(0, Ordering::Relaxed);
        *self.0.began.lock().unwrap() = Instant::now();
        for (n, node) in self.0.nodes.iter().enumerate() {
            let (agents, node, end) = (self.clone(), Arc::clone(node), end.clone());
            let offset = EVERY.mul_f64(n as f64 / self.0.nodes.len() as f64);
            self.0.runtime.spawn(async move {
                let (mut at, mut up) = (Instant::now() + offset, n % 2 == 0);
                while end.run_until_cancelled(sleep_until(at)).await.is_some() {
                    agents.turn(&node, up).await;
                    up = !up;
                    at += EVERY;
                }
            });
        }
        end
    }

    /// Everything of one agent comes up or goes down.
    async fn turn(&self, node: &Arc<str>, up: bool) {
        let (config, now) = (self.config(), Timestamp::now());
        let state = if up { BackendState::Up } else { BackendState::Down };
        let backends =
            config.backends.iter().map(|(name, of)| Change::Health(name.clone(), Some(health(of.address, state))));
        let state = if up { FrontendState::Up } else { FrontendState::Down };
        let frontends = config.frontends.keys().map(|name| Change::Frontend(name.clone(), state, None));
        let changes: Vec<_> = backends.chain(frontends).map(|change| (change, now)).collect();
        self.0.changes.fetch_add(changes.len() as u64, Ordering::Relaxed);
        // As the bus does: at most 256 events in a batch.
        for batch in changes.chunks(256) {
            self.send(LinkNews::Changes(Arc::clone(node), batch.to_vec())).await;
        }
    }

    /// Changes a second since flapping began.
    pub fn rate(&self) -> u64 {
        let seconds = self.0.began.lock().unwrap().elapsed().as_secs().max(1);
        self.0.changes.load(Ordering::Relaxed) / seconds
    }

    /// Everything of every agent is up, once and for all.
    pub fn all_up(&self) {
        let agents = self.clone();
        self.0.runtime.spawn(async move {
            for node in &agents.0.nodes {
                agents.turn(node, true).await;
            }
        });
    }

    /// Every agent has programmed the Frontend of this number as it is now.
    pub fn report_one(&self, number: usize) {
        let agents = self.clone();
        self.0.runtime.spawn(async move {
            let config = agents.config();
            let frontend = &config.frontends[&Name::namespaced("default", &format!("f{number:04}"))];
            for node in &agents.0.nodes {
                let change = Change::Report(frontend.name.clone(), report(frontend, ProgramResult::Programmed));
                agents.send(LinkNews::Changes(Arc::clone(node), vec![(change, Timestamp::now())])).await;
            }
        });
    }

    /// Every agent ends and begins anew, one after the other: nothing is known, it warms up, it knows.
    pub async fn restart_all(&self) {
        let [nothing, warms_up, knows] =
            [View::default(), self.view(ProgramResult::Pending, false), self.view(ProgramResult::Programmed, true)];
        for node in &self.0.nodes {
            self.send(LinkNews::Link(Arc::clone(node), Err("the agent was stopped".into()))).await;
            self.send(LinkNews::Gone(Arc::clone(node))).await;
            sleep(Duration::from_millis(20)).await;
            self.send(LinkNews::Link(Arc::clone(node), Ok(()))).await;
            for view in [&nothing, &warms_up, &knows] {
                self.send(Self::reset(node, view)).await;
                sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

fn report(frontend: &Frontend, result: ProgramResult) -> Report {
    let Revision { uid, generation } = frontend.revision.clone();
    Report { uid, generation, fingerprint: Fingerprint::of(frontend), result, reason: "".into() }
}

fn health(address: std::net::IpAddr, state: BackendState) -> BackendHealth {
    let code = match state {
        BackendState::Up => Some(ProbeCode::L4Ok),
        BackendState::Down => Some(ProbeCode::L4Timeout),
        _ => None,
    };
    let at = Timestamp::now();
    let transition = Transition { from: BackendState::Unknown, to: state, at, code };
    let history = if code.is_some() { Arc::from([transition]) } else { Arc::from([]) };
    BackendHealth { address, state, ever_known: code.is_some(), in_doubt: false, history }
}
