//! Agents simulated at the end of their links.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use maglev_controller::digest::Digest;
use maglev_controller::{AgentLinks, LinkUpdate};
use maglev_index::{Index, IndexOptions, Meta, Object, Stored};
use maglev_model::Name;
use maglev_model::change::{Change, Report, VppInfo};
use maglev_model::config::{Config, Frontend, Kind, Revision};
use maglev_model::event::{FrontendState, ProgramResult};
use maglev_model::fingerprint::Fingerprint;
use maglev_model::health::{BackendHealth, BackendState, ProbeCode, Transition};
use maglev_model::view::{Fold as _, StateSince, View};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::cluster::{Objects, StoredObject};

/// The time between changes of an agent's state.
const FLAP_INTERVAL: Duration = Duration::from_secs(5);

/// All agents of the cluster.
#[derive(Clone)]
pub struct Agents(Arc<Inner>);

struct Inner {
    runtime: Handle,
    nodes: Vec<Arc<str>>,
    config: Mutex<Option<Config>>,
    listener: Mutex<Option<mpsc::Sender<LinkUpdate>>>,
    changes: AtomicU64,
    flap_start: Mutex<Instant>,
}

impl AgentLinks for Agents {
    fn follow(&self, _shutdown: CancellationToken) -> mpsc::Receiver<LinkUpdate> {
        let (updates, updates_rx) = mpsc::channel(4096);
        *self.0.listener.lock().unwrap() = Some(updates);
        updates_rx
    }
}

impl Agents {
    /// Agents of `nodes` that run on `runtime`.
    pub fn new(nodes: Vec<String>, runtime: Handle) -> Self {
        Self(Arc::new(Inner {
            runtime,
            nodes: nodes.into_iter().map(Into::into).collect(),
            config: Mutex::default(),
            listener: Mutex::default(),
            changes: AtomicU64::new(0),
            flap_start: Mutex::new(Instant::now()),
        }))
    }

    /// Updates the agents' configuration to the stored objects.
    pub fn follow_specs(&self, objects: &Objects) {
        let (mut index, config_rx) = Index::new(IndexOptions::default());
        fn decode<S: serde::de::DeserializeOwned>(name: &str, stored: &StoredObject) -> Stored<S> {
            let revision = Revision { uid: stored.uid.as_str().into(), generation: stored.generation };
            let created = stored.created.parse().unwrap();
            let meta = Meta { name: Name::namespaced("default", name), revision, created };
            Stored { meta, spec: Ok(serde_json::from_value(stored.spec.clone()).unwrap()) }
        }
        let backends =
            objects.stored("Backend").iter().map(|(name, stored)| Object::Backend(decode(name, stored))).collect();
        let frontends =
            objects.stored("Frontend").iter().map(|(name, stored)| Object::Frontend(decode(name, stored))).collect();
        index.reset(Kind::Backend, backends);
        index.reset(Kind::Frontend, frontends);
        for kind in [Kind::HealthCheck, Kind::LoadBalancerConfig, Kind::AddressPolicy, Kind::Node] {
            index.reset(kind, Vec::new());
        }
        *self.0.config.lock().unwrap() = config_rx.borrow().clone();
    }

    fn config(&self) -> Config {
        self.0.config.lock().unwrap().clone().unwrap()
    }

    async fn send(&self, update: LinkUpdate) {
        let listener = loop {
            if let Some(listener) = self.0.listener.lock().unwrap().clone() {
                break listener;
            }
            sleep(Duration::from_millis(50)).await;
        };
        listener.send(update).await.unwrap();
    }

    fn reset(node: &Arc<str>, view: &View) -> LinkUpdate {
        let mut digest = Digest::default();
        digest.reset(view);
        LinkUpdate::Reset(Arc::clone(node), digest)
    }

    /// Connects every agent, with everything programmed and up.
    pub fn all_programmed(&self) {
        let agents = self.clone();
        self.0.runtime.spawn(async move {
            let view = agents.view(ProgramResult::Programmed, true);
            for node in &agents.0.nodes {
                agents.send(Self::reset(node, &view)).await;
                agents.send(LinkUpdate::Link(Arc::clone(node), Ok(()))).await;
                let info = VppInfo { version: "26.10".to_owned(), ..VppInfo::default() };
                let connected = (Change::VppConnected(Arc::new(info)), Timestamp::now());
                agents.send(LinkUpdate::Changes(Arc::clone(node), vec![connected])).await;
            }
        });
    }

    /// The view of an agent. States are up if `known`, else unknown.
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

    /// Changes the state of all objects of every agent every 5 s, with an offset per agent, until the token is cancelled.
    pub fn flap(&self) -> CancellationToken {
        let end = CancellationToken::new();
        self.0.changes.store(0, Ordering::Relaxed);
        *self.0.flap_start.lock().unwrap() = Instant::now();
        for (n, node) in self.0.nodes.iter().enumerate() {
            let (agents, node, end) = (self.clone(), Arc::clone(node), end.clone());
            let offset = FLAP_INTERVAL.mul_f64(n as f64 / self.0.nodes.len() as f64);
            self.0.runtime.spawn(async move {
                let (mut at, mut up) = (Instant::now() + offset, n % 2 == 0);
                while end.run_until_cancelled(sleep_until(at)).await.is_some() {
                    agents.set_all(&node, up).await;
                    up = !up;
                    at += FLAP_INTERVAL;
                }
            });
        }
        end
    }

    /// Brings all objects of one agent up or down.
    async fn set_all(&self, node: &Arc<str>, up: bool) {
        let (config, now) = (self.config(), Timestamp::now());
        let state = if up { BackendState::Up } else { BackendState::Down };
        let backends = config
            .backends
            .iter()
            .map(|(name, backend)| Change::Health(name.clone(), Some(health(backend.address, state))));
        let state = if up { FrontendState::Up } else { FrontendState::Down };
        let frontends = config.frontends.keys().map(|name| Change::Frontend(name.clone(), state, None));
        let changes: Vec<_> = backends.chain(frontends).map(|change| (change, now)).collect();
        self.0.changes.fetch_add(changes.len() as u64, Ordering::Relaxed);
        // The bus sends at most 256 events in a batch.
        for batch in changes.chunks(256) {
            self.send(LinkUpdate::Changes(Arc::clone(node), batch.to_vec())).await;
        }
    }

    /// Changes per second since flapping began.
    pub fn rate(&self) -> u64 {
        let seconds = self.0.flap_start.lock().unwrap().elapsed().as_secs().max(1);
        self.0.changes.load(Ordering::Relaxed) / seconds
    }

    /// Brings all objects of every agent up.
    pub fn all_up(&self) {
        let agents = self.clone();
        self.0.runtime.spawn(async move {
            for node in &agents.0.nodes {
                agents.set_all(node, true).await;
            }
        });
    }

    /// Reports Frontend `number` as programmed by every agent, in its current generation.
    pub fn report_one(&self, number: usize) {
        let agents = self.clone();
        self.0.runtime.spawn(async move {
            let config = agents.config();
            let frontend = &config.frontends[&Name::namespaced("default", &format!("f{number:04}"))];
            for node in &agents.0.nodes {
                let change = Change::Report(frontend.name.clone(), report(frontend, ProgramResult::Programmed));
                agents.send(LinkUpdate::Changes(Arc::clone(node), vec![(change, Timestamp::now())])).await;
            }
        });
    }

    /// Restarts every agent, one after the other: first with an empty view, then warming up, then ready.
    pub async fn restart_all(&self) {
        let [empty, warming_up, ready] =
            [View::default(), self.view(ProgramResult::Pending, false), self.view(ProgramResult::Programmed, true)];
        for node in &self.0.nodes {
            self.send(LinkUpdate::Link(Arc::clone(node), Err("the agent was stopped".into()))).await;
            self.send(LinkUpdate::Removed(Arc::clone(node))).await;
            sleep(Duration::from_millis(20)).await;
            self.send(LinkUpdate::Link(Arc::clone(node), Ok(()))).await;
            for view in [&empty, &warming_up, &ready] {
                self.send(Self::reset(node, view)).await;
                sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

fn report(frontend: &Frontend, result: ProgramResult) -> Report {
    let Revision { uid, generation } = frontend.revision.clone();
    Report { uid, generation, fingerprint: Fingerprint::new(frontend), result, reason: "".into() }
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
