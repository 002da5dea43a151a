//! One node: a simulated VPP, an agent, and its two inputs, controlled by the test.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use imbl::OrdMap;
use jiff::Timestamp;
use maglev_agent::{Agent, AgentError, AgentHandle, AgentOptions, AgentStatus, Metrics, SyncRefused, VppConnector};
use maglev_model::{
    Name,
    actual::LbDump,
    change::Change,
    config::{Backend, Config, Frontend, MemberTarget, NodeConfig},
    event::{Event, Events},
    health::{BackendHealth, BackendState, HealthSnapshot},
    ramp::Ramps,
    vip::VipKey,
    weights::ActivePool,
};
use maglev_testkit::{
    EventCollector,
    objects::{ip, name},
};
use maglev_vpp_simulator::{Mark, Release, Simulator, SimulatorOptions};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// A running agent.
pub struct Running {
    stop: CancellationToken,
    task: JoinHandle<Result<(), AgentError>>,
    status: watch::Receiver<AgentStatus>,
    handle: AgentHandle,
    dumps: watch::Receiver<Option<Arc<LbDump>>>,
}

impl Running {
    /// Stops the agent as SIGTERM does.
    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

pub struct Node {
    pub simulator: Simulator,
    /// The creation of the node.
    pub start: Mark,
    pub socket: PathBuf,
    /// Reply deadline of agents to be started.
    pub deadline: Duration,
    /// Interval of the pings of agents to be started.
    pub ping_interval: Duration,
    /// Interval of the garbage collections of agents to be started.
    pub garbage_interval: Duration,
    /// Time of day for agents to be started.
    pub clock: fn() -> Timestamp,
    _directory: tempfile::TempDir,
    config_tx: watch::Sender<Option<Config>>,
    health_tx: watch::Sender<HealthSnapshot>,
    accepted_tx: watch::Sender<BTreeSet<Arc<str>>>,
    events: Arc<EventCollector>,
    pub metrics: Metrics,
    running: Option<Running>,
}

impl Node {
    /// A node with a running VPP, without an agent.
    pub async fn new() -> Self {
        Self::with_release(Release::default()).await
    }

    /// The same with a VPP of this release.
    pub async fn with_release(release: Release) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("run/vpp/api.sock");
        let options = SimulatorOptions { release, ..SimulatorOptions::new(&socket) };
        let simulator = Simulator::start(options).await.unwrap();
        Self {
            start: simulator.mark(),
            simulator,
            socket,
            deadline: Duration::from_secs(1),
            ping_interval: Duration::from_secs(10),
            garbage_interval: Duration::from_mins(1),
            clock: Timestamp::now,
            _directory: directory,
            config_tx: watch::Sender::new(None),
            health_tx: watch::Sender::default(),
            accepted_tx: watch::Sender::default(),
            events: Arc::default(),
            metrics: Metrics::default(),
            running: None,
        }
    }

    /// A node with a running agent that has `config`; every probed backend is up.
    pub async fn following(config: Config) -> Self {
        Self::following_with_release(Release::default(), config).await
    }

    /// The same with a VPP of this release.
    pub async fn following_with_release(release: Release, config: Config) -> Self {
        let mut node = Self::with_release(release).await;
        node.set_config(config);
        node.all_up();
        node.start_agent();
        node
    }

    pub fn start_agent(&mut self) {
        let events = self.events();
        let metrics = self.metrics.clone();
        let agent = Agent::new(
            AgentOptions {
                deadline: self.deadline,
                ping_interval: self.ping_interval,
                garbage_interval: self.garbage_interval,
                clock: self.clock,
                metrics,
                ..AgentOptions::new("node-a", &self.socket)
            },
            VppConnector::new(&self.socket, events.clone()),
            self.config_tx.subscribe(),
            self.health_tx.subscribe(),
            events,
        )
        .with_accepted_holds(self.accepted_tx.subscribe());
        let (stop, status, handle) = (CancellationToken::new(), agent.status(), agent.handle());
        let dumps = agent.dumps();
        let task = tokio::spawn(agent.run(stop.clone()));
        self.running = Some(Running { stop, task, status, handle, dumps });
    }

    /// The state of VPP as the agent last read it.
    pub fn dump(&self) -> Option<Arc<LbDump>> {
        self.running.as_ref()?.dumps.borrow().clone()
    }

    /// Stops the agent as SIGTERM does.
    pub async fn stop_agent(&mut self) {
        self.take_agent().stop().await;
    }

    /// Requests a sync now.
    pub async fn sync_now(&self) -> Result<(), SyncRefused> {
        let handle = self.running.as_ref().expect("the agent runs").handle.clone();
        handle.sync_now().await
    }

    /// Accepts the removals of these holds only, as `MaglevNode.spec.acceptRemovals` does.
    pub fn accept_removals(&self, holds: &[&str]) {
        self.accepted_tx.send_replace(holds.iter().map(|hold| Arc::from(*hold)).collect());
    }

    /// The receiver of the agent's events.
    pub fn events(&self) -> Events {
        self.events.handle()
    }

    /// Forwards all further events of the agent to this bus as well.
    pub fn forward_events_to(&self, bus: Events) {
        self.events.forward_to(bus);
    }

    /// Removes the running agent from the node, so that another can be started beside it.
    pub fn take_agent(&mut self) -> Running {
        self.running.take().expect("the agent runs")
    }

    pub fn set_config(&self, config: Config) {
        self.config_tx.send_replace(Some(config));
    }

    /// The current configuration.
    pub fn config(&self) -> Config {
        self.config_tx.borrow().clone().expect("the test has set one")
    }

    pub fn edit(&self, text: &str, change: impl FnOnce(&mut Frontend)) {
        let mut config = self.config();
        let mut frontend = (**config.frontends.get(&name(text)).expect("the test made it")).clone();
        frontend.revision.generation += 1;
        change(&mut frontend);
        config.frontends.insert(name(text), Arc::new(frontend));
        self.set_config(config);
    }

    pub fn edit_node(&self, change: impl FnOnce(&mut NodeConfig)) {
        let mut config = self.config();
        let mut node = (*config.node).clone();
        change(&mut node);
        config.node = Arc::new(node);
        self.set_config(config);
    }

    pub fn remove(&self, text: &str) {
        let mut config = self.config();
        config.frontends.remove(&name(text)).expect("the test made it");
        self.set_config(config);
    }

    /// Sets every probed backend to up.
    pub fn all_up(&self) {
        let config = self.config();
        let members = config.frontends.values().flat_map(|frontend| &frontend.pools).flat_map(|pool| &pool.members);
        for member in members {
            if let MemberTarget::Backend(backend) = &member.target {
                self.set_state(backend, BackendState::Up);
            }
        }
    }

    pub fn set_state(&self, backend: &Backend, state: BackendState) {
        let health_state = BackendHealth {
            address: backend.address,
            state,
            ever_known: true,
            in_doubt: false,
            history: Arc::default(),
        };
        self.health_tx.send_modify(|health| {
            health.backends.insert(backend.name.clone(), health_state);
        });
    }

    /// Takes the health from `snapshot_rx` from now on.
    pub fn follow_health(&self, mut snapshot_rx: watch::Receiver<HealthSnapshot>) {
        let health_tx = self.health_tx.clone();
        tokio::spawn(async move {
            loop {
                health_tx.send_replace(snapshot_rx.borrow_and_update().clone());
                if snapshot_rx.changed().await.is_err() {
                    return;
                }
            }
        });
    }

    /// The configuration's receiver.
    pub fn config_rx(&self) -> watch::Receiver<Option<Config>> {
        self.config_tx.subscribe()
    }

    /// Forgets all health states, as after a restart of the process.
    pub fn forget_health(&self) {
        self.health_tx.send_modify(|health| health.backends = OrdMap::new());
    }

    /// Number of writes since the node was created, by any client.
    pub fn all_writes(&self) -> usize {
        self.simulator.writes_since(self.start).len()
    }

    pub fn weights(&self, vip: VipKey) -> BTreeMap<IpAddr, u8> {
        self.simulator.snapshot().weights(vip)
    }

    /// Waits until VPP has exactly these weights for `vip`.
    pub async fn until_weights(&self, vip: VipKey, weights: &[(&str, u8)]) {
        let weights: BTreeMap<IpAddr, u8> = weights.iter().map(|(address, weight)| (ip(address), *weight)).collect();
        self.until(&format!("{vip} has {weights:?}"), |node| node.weights(vip) == weights).await;
    }

    /// Waits, for 30 s at most, until `holds`.
    pub async fn until(&self, condition: &str, holds: impl Fn(&Self) -> bool) {
        let waited = tokio::time::timeout(Duration::from_secs(30), async {
            while !holds(self) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        if waited.await.is_err() {
            panic!("timeout waiting until {condition}: {:#?}\n{:#?}", self.simulator.snapshot(), self.log());
        }
    }

    /// Waits until the latest report on every Frontend is Programmed.
    pub async fn until_programmed(&self) {
        let frontends = self.config().frontends;
        self.until("all are programmed", |node| frontends.keys().all(|name| node.is_programmed(name))).await;
    }

    /// Waits until the latest report on this Frontend is Programmed.
    pub async fn until_one_programmed(&self, text: &str) {
        self.until("it is programmed", |node| node.is_programmed(&name(text))).await;
    }

    fn is_programmed(&self, name: &Name) -> bool {
        let log = self.log();
        let last = log.iter().rfind(|line| line.starts_with(&format!("frontend-programmed name={name} ")));
        last.is_some_and(|line| line.contains("result=Programmed"))
    }

    pub async fn until_ready(&self) {
        self.until("the agent is ready", |node| node.ready().is_ok()).await;
    }

    /// The agent's status.
    pub fn status(&self) -> AgentStatus {
        *self.running.as_ref().expect("the agent runs").status.borrow()
    }

    pub fn ready(&self) -> Result<(), String> {
        self.running.as_ref().expect("the agent runs").status.borrow().ready()
    }

    /// All events so far.
    pub fn published(&self) -> Vec<Event> {
        self.events.events()
    }

    /// All events so far, formatted as in the log.
    pub fn log(&self) -> Vec<String> {
        self.events.lines()
    }

    /// All active pools reported so far, in order.
    pub fn active_pools(&self) -> Vec<(Name, ActivePool)> {
        let active_pool = |change| match change {
            Change::ActivePool(name, pool) => Some((name, pool)),
            _ => None,
        };
        self.events.changes().into_iter().filter_map(active_pool).collect()
    }

    /// All ramps of a Frontend reported so far, in order.
    pub fn ramps(&self, text: &str) -> Vec<Ramps> {
        let ramps = |change| match change {
            Change::Ramps(frontend, ramps) if frontend == name(text) => Some(ramps),
            _ => None,
        };
        self.events.changes().into_iter().filter_map(ramps).collect()
    }

    /// The log lines of changes in VPP, in order.
    pub fn changes(&self) -> Vec<String> {
        let kinds = ["vip-added", "vip-removed", "vip-recreate", "as-added", "as-removed", "as-weight-updated"];
        let is_change = |line: &String| {
            line.strip_prefix("vpp-lb-sync-")
                .is_some_and(|rest| kinds.iter().any(|kind| rest.starts_with(&format!("{kind} "))))
        };
        self.log().into_iter().filter(is_change).collect()
    }

    /// Forgets the events so far.
    pub fn clear_log(&self) {
        self.events.clear_events();
    }
}
