//! Health checks: probes, one file per protocol, and their scheduling.
//!
//! `maglevd` calls [`ProbeThread::start`] once: it starts an OS thread for probes only, in the network namespace that
//! probes are sent from. [`ProbeThread::run`] then runs the `checker` on that thread.
//!
//! ```text
//!   watch<Option<Config>> ─▶ checker ─▶ watch<HealthSnapshot>
//!                             │  ▲   └▶ Events (transitions, suspicion, probes)
//!                 ProbeTarget ▼  │ ProbeOutcome
//!                             Prober (network: ICMP, TCP, HTTP, HTTPS, gRPC)
//! ```
//!
//! Beside it, the `path_probe` sends SYNs through the tunnels of the Frontends.
//!
//! The effect of a state on weights is decided in `model::weights`.

mod checker;
mod connect;
mod descriptors;
mod exchange;
mod expected_body;
mod http1;
mod http_request;
mod kept_connection;
mod last_probes;
mod loop_beat;
mod metrics;
mod namespace;
mod network;
mod outcome_effect;
mod path_probe;
mod pattern_matcher;
mod per_family;
mod probe_context;
mod probe_grpc;
mod probe_http;
mod probe_icmp;
mod probe_path;
mod probe_tcp;
mod prober;
mod progress;
mod publisher;
mod response;
mod starvation;
mod suspicion;
mod tls;

use std::{io, sync::mpsc, thread};

use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use maglev_model::{config::Config, event::Events, health::HealthSnapshot};

use self::path_probe::{PathChecker, RawSockets};
pub use self::{
    checker::Checker,
    kept_connection::KeptConnection,
    last_probes::LastProbes,
    loop_beat::LoopBeat,
    metrics::ProbeMetrics,
    namespace::NetworkNamespace,
    network::NetworkProber,
    outcome_effect::describe_effect,
    path_probe::{FoundPath, PathMetrics, PathProber},
    probe_grpc::message as grpc_health,
    prober::{ProbeOutcome, ProbeTarget, Probed, Prober},
    progress::ProbeTrace,
};

/// Options of [`ProbeThread::run`]. The settings of the HealthChecks are in the configuration.
#[derive(Clone, Debug)]
pub struct HealthOptions {
    /// Sent in `User-Agent: maglevd/<version>`.
    pub version: String,
    /// The seed of the random numbers for jitter and stagger.
    pub seed: u64,
    /// The wall clock that stamps transitions and probes.
    pub clock: fn() -> Timestamp,
    /// The maximum number of probes in flight, at least 1; further probes wait. Bounds sockets and memory.
    pub max_in_flight: usize,
    /// The maximum number of connections kept for later probes; further ones end with their probe. Bounds sockets and
    /// memory.
    pub max_kept_connections: usize,
    pub metrics: ProbeMetrics,
    pub path_metrics: PathMetrics,
    /// Receives requests to probe paths.
    pub path_prober: PathProber,
    /// Receives the beats of the probe loop.
    pub beat: LoopBeat,
    /// Receives the last probe of each backend.
    pub last_probes: LastProbes,
}

impl HealthOptions {
    /// Options with the system's clock, and with as many probes in flight and kept connections as this process has
    /// descriptors for. Raises the process's soft limit of descriptors towards the hard limit, as far as probes need it.
    pub fn new(version: impl Into<String>, seed: u64) -> Self {
        let limits = descriptors::raise_limit();
        Self {
            version: version.into(),
            seed,
            clock: Timestamp::now,
            max_in_flight: limits.in_flight,
            max_kept_connections: limits.kept,
            metrics: ProbeMetrics::default(),
            path_metrics: PathMetrics::default(),
            path_prober: PathProber::default(),
            beat: LoopBeat::default(),
            last_probes: LastProbes::default(),
        }
    }
}

/// Errors at the start of health checking.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot create the Tokio runtime of the probe thread")]
    Runtime(#[source] io::Error),
    #[error("cannot start the probe thread")]
    Thread(#[source] io::Error),
    /// The thread ended without a result.
    #[error("the probe thread ended at its start")]
    Ended,
    #[error(
        "there is no network namespace {path} to send probes from: it must exist, and be mounted in this container, \
         before the agent starts"
    )]
    NoNamespace { path: String },
    #[error("cannot enter the network namespace {path} to send probes from: this needs the capability SYS_ADMIN")]
    NamespaceForbidden { path: String },
    #[error(
        "{path} is no network namespace to send probes from (a mount of /run/netns without the mount propagation \
         HostToContainer shows plain files)"
    )]
    NotANamespace { path: String },
    #[error("cannot enter the network namespace {path} to send probes from")]
    Namespace {
        path: String,
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// A fixed PascalCase word for metrics and conditions.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Runtime(_) => "ProbeRuntime",
            Self::Thread(_) | Self::Ended => "ProbeThread",
            Self::NamespaceForbidden { .. } => "MissingCapability",
            Self::NoNamespace { .. } | Self::NotANamespace { .. } | Self::Namespace { .. } => "ProbeNetworkNamespace",
        }
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// The thread that probes are sent from, before its job starts.
#[derive(Debug)]
pub struct ProbeThread {
    icmp: Result<(), String>,
    job_tx: mpsc::Sender<Job>,
    thread: thread::JoinHandle<()>,
}

impl ProbeThread {
    /// Starts the thread in `namespace`, or in the process's own network namespace.
    ///
    /// # Errors
    /// The thread cannot be started, or the namespace cannot be entered.
    pub fn start(namespace: Option<NetworkNamespace>) -> Result<Self, Error> {
        let (job_tx, job_rx) = mpsc::channel::<Job>();
        let (ready_tx, ready_rx) = mpsc::sync_channel(1);
        let body = move || {
            let entered = namespace.map_or(Ok(()), |namespace| namespace.enter());
            // Fails only if the caller has dropped its end; then there is no job either.
            let _ = ready_tx.send(entered.map(|()| probe_icmp::check_permission()));
            if let Ok(job) = job_rx.recv() {
                job();
            }
        };
        let thread = thread::Builder::new().name("health".into()).spawn(body).map_err(Error::Thread)?;
        let icmp = ready_rx.recv().map_err(|_| Error::Ended)??;
        Ok(Self { icmp, job_tx, thread })
    }

    /// The missing capability or setting, if the thread cannot send ICMP probes.
    pub fn icmp_missing(&self) -> Option<&str> {
        self.icmp.as_ref().err().map(String::as_str)
    }

    /// Runs health checks until `shutdown`.
    ///
    /// Probing starts with the first configuration of `config_rx`. If the sender is dropped, the last configuration
    /// stays in force.
    ///
    /// # Errors
    /// The Tokio runtime cannot be created.
    pub fn run(
        self,
        options: HealthOptions,
        config_rx: watch::Receiver<Option<Config>>,
        events: Events,
        shutdown: CancellationToken,
    ) -> Result<(watch::Receiver<HealthSnapshot>, thread::JoinHandle<()>), Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
        let (snapshot_tx, snapshot_rx) = watch::channel(HealthSnapshot::default());
        let job = move || {
            let prober = NetworkProber::new(&options.version).with_kept_connections(options.max_kept_connections);
            let (path_metrics, random) = (options.path_metrics.clone(), (!options.seed, options.clock));
            let paths = PathChecker::new(
                RawSockets::default(),
                config_rx.clone(),
                snapshot_tx.clone(),
                events.clone(),
                path_metrics,
                random,
            )
            .with_prober(&options.path_prober);
            let checker = Checker::new(prober, options, config_rx, events, snapshot_tx);
            runtime.block_on(async move { tokio::join!(checker.run(shutdown.clone()), paths.run(shutdown)) });
        };
        self.job_tx.send(Box::new(job)).map_err(|_| Error::Ended)?;
        Ok((snapshot_rx, self.thread))
    }

    /// Runs `job` on the thread, in a new Tokio runtime, and waits for its result.
    ///
    /// # Errors
    /// The Tokio runtime cannot be created, or the job panicked.
    pub fn block_on<T: Send + 'static>(self, job: impl AsyncFnOnce() -> T + Send + 'static) -> Result<T, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
        let (done_tx, done_rx) = mpsc::sync_channel(1);
        let job = move || {
            let _ = done_tx.send(runtime.block_on(job()));
        };
        self.job_tx.send(Box::new(job)).map_err(|_| Error::Ended)?;
        done_rx.recv().map_err(|_| Error::Ended)
    }
}
