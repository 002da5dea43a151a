//! A whole agent without Kubernetes: the probes, the agent, the bus and the gRPC server, connected as in maglevd, with
//! a simulated VPP and a listening backend.

use std::{net::SocketAddr, sync::Arc, thread, time::Duration};

use futures::FutureExt as _;
use jiff::Timestamp;
use maglev_agent::{Agent, AgentHandle, AgentOptions, SyncRefused, VppConnector};
use maglev_health::{HealthOptions, ProbeThread};
use maglev_model::{
    change::{Change, ConfigDelta},
    config::{AdminState, Backend, Check, Config, Frontend, HealthCheck, NodeConfig, Probe, Revision, SyncConf},
    event::{Level, ProgramResult},
};
use maglev_rpc::{
    Server, ServerOptions,
    client::AgentClient,
    server::{GrpcMetrics, Identity, Sources, SyncNow, SyncRefusal},
};
use maglev_telemetry::{Bus, BusOptions};
use maglev_testkit::objects::{self, name, node_config, vip};
use maglev_vpp_simulator::{Simulator, SimulatorOptions, Traffic};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

const LIMIT: Duration = Duration::from_secs(30);

pub struct RunningAgent {
    pub address: SocketAddr,
    pub simulator: Simulator,
    ready: watch::Receiver<Result<(), String>>,
    shutdown: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
    threads: Vec<thread::JoinHandle<()>>,
    _config_tx: watch::Sender<Option<Config>>,
    _directory: tempfile::TempDir,
}

impl RunningAgent {
    pub async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (api, stats) = (directory.path().join("api.sock"), directory.path().join("stats.sock"));
        let traffic = Traffic { existing: 900, first: 100, untracked: 0, packet_bytes: 100 };
        let options = SimulatorOptions { stats_socket: Some(stats.clone()), traffic, ..SimulatorOptions::new(&api) };
        let simulator = Simulator::start(options).await.unwrap();
        let backend = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = config(backend.local_addr().unwrap());

        let bus = Bus::new(BusOptions { log_level: Level::Info, clock: Timestamp::now, epoch: fastrand::u64(..) });
        let (events, shutdown) = (bus.events(), CancellationToken::new());
        events.emit_change(Change::Config(Arc::new(ConfigDelta::between(None, &config))));
        let (_config_tx, config_rx) = watch::channel(Some(config));
        let options = HealthOptions::new("1.2.3", 7);
        let (last_probes, path_prober) = (options.last_probes.clone(), options.path_prober.clone());
        let (health_rx, health) = ProbeThread::start(None)
            .unwrap()
            .run(options, config_rx.clone(), events.clone(), shutdown.clone())
            .unwrap();
        let connect = VppConnector::new(&api, events.clone()).with_stats(&stats);
        let connect = connect.with_stats_interval(Duration::from_millis(50));
        let counters = connect.stats();
        let agent = Agent::new(AgentOptions::new("node-a", &api), connect, config_rx, health_rx, events);
        let ready = agent.readiness();
        let sources = Sources {
            events: bus.subscriber(),
            snapshots: bus.snapshots(),
            dumps: agent.dumps(),
            counters,
            ready: agent.readiness(),
            probing: Arc::new(move |name| last_probes.get(name)),
            probe_paths: Arc::new(move |name| {
                let prober = path_prober.clone();
                async move { prober.probe(name).await }.boxed()
            }),
            sync: sync(agent.handle()),
        };
        let options = ServerOptions::new(vec![([127, 0, 0, 1], 0).into()], identity());
        let server = Server::new(options, sources, GrpcMetrics::default());
        let mut bound = server.bound();
        let threads = vec![health, server.start(shutdown.clone()).unwrap()];
        let agent = agent.run(shutdown.clone()).map(|ended| ended.unwrap());
        let backend = shutdown.clone().run_until_cancelled_owned(accept_connections(backend)).map(drop);
        let tasks = vec![tokio::spawn(bus.run(shutdown.clone())), tokio::spawn(agent), tokio::spawn(backend)];
        let bound = tokio::time::timeout(LIMIT, bound.wait_for(|bound| !bound.is_empty())).await;
        let address = bound.expect("the server listens in time").unwrap()[0];
        Self { address, simulator, ready, shutdown, tasks, threads, _config_tx, _directory: directory }
    }

    /// Waits until the readiness is `expected`.
    pub async fn until_ready(&self, expected: bool) {
        let mut ready = self.ready.clone();
        let waited = tokio::time::timeout(LIMIT, ready.wait_for(|ready| ready.is_ok() == expected)).await;
        assert!(waited.is_ok(), "ready: {:?}", self.ready.borrow());
    }

    /// Waits until the Frontend is reported as programmed and VPP's counters have been read.
    pub async fn until_programmed(&self) {
        let endpoint = AgentClient::endpoint(format!("http://{}", self.address)).unwrap();
        let (client, name) = (AgentClient::new(endpoint.connect_lazy()), name("web"));
        let programmed = async || {
            let frontend = client.frontend(&name).await;
            let report = frontend.ok().and_then(|frontend| frontend.report);
            let is_programmed = report.is_some_and(|report| report.result == ProgramResult::Programmed);
            let counters = client.lb_counters().await;
            let has_vips =
                counters.is_ok_and(|sample| sample.counters.as_ref().is_some_and(|all| !all.vips.is_empty()));
            is_programmed && has_vips
        };
        let waited = tokio::time::timeout(LIMIT, async {
            while !programmed().await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        waited.await.expect("the Frontend is programmed in time");
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        for task in self.tasks {
            tokio::time::timeout(LIMIT, task).await.expect("the task ends in time").unwrap();
        }
        let ended = tokio::task::spawn_blocking(|| self.threads.into_iter().for_each(|thread| thread.join().unwrap()));
        tokio::time::timeout(LIMIT, ended).await.expect("the threads end in time").unwrap();
    }
}

/// Accepts connections, so that probes succeed.
async fn accept_connections(backend: TcpListener) {
    while backend.accept().await.is_ok() {}
}

fn sync(handle: AgentHandle) -> SyncNow {
    Arc::new(move || {
        let handle = handle.clone();
        let answer = async move { handle.sync_now().await };
        let refusal = |error: SyncRefused| SyncRefusal::NotYet(error.to_string());
        answer.map(move |answer| answer.map_err(refusal)).boxed()
    })
}

fn identity() -> Identity {
    Identity {
        node: "node-a".into(),
        version: "1.2.3".into(),
        commit: "abc".into(),
        build_date: "unknown".into(),
        started: Timestamp::now(),
    }
}

/// A Frontend with one Backend that is up, listening on `backend`, and one that is paused.
fn config(listening: SocketAddr) -> Config {
    let interval = Duration::from_millis(100);
    let port = listening.port().try_into().unwrap();
    let check = Arc::new(HealthCheck {
        revision: revision("u-tcp"),
        interval,
        fast_interval: interval,
        down_interval: interval,
        probe: Probe::Tcp { port, tls: None },
        ..objects::health_check("tcp")
    });
    let backend = |text: &str, address: &str, admin_state| {
        let (revision, check) = (revision(&format!("u-{text}")), Check::Probe(Arc::clone(&check)));
        Backend { revision, admin_state, check, ..objects::backend(text, address) }
    };
    let up = backend("web-1", &listening.ip().to_string(), AdminState::Enabled);
    let paused = backend("web-2", "127.0.0.9", AdminState::Paused);
    let pool = objects::pool("primary", &[&up, &paused]);
    let web = Frontend { revision: revision("u-web"), ..objects::frontend("web", vip("203.0.113.10"), vec![pool]) };
    let sync = SyncConf { startup_min_delay: Duration::ZERO, ..SyncConf::default() };
    let mut config = objects::config([web], NodeConfig { sync, ..node_config() });
    config.health_checks.insert(check.name.clone(), check);
    config.backends.extend([up, paused].map(|backend| (backend.name.clone(), Arc::new(backend))));
    config
}

fn revision(uid: &str) -> Revision {
    Revision { uid: uid.into(), generation: 1 }
}
