//! Probes, one file per protocol, and their scheduling.
//!
//! [`ProbeThread::start`] is called once by the agent: an OS thread of its own, where nothing else
//! runs, in the network namespace that probes leave from. [`ProbeThread::run`] then has a `checker`
//! there; the snapshots that it publishes follow the configurations that it watches.
//!
//! ```text
//!   watch<Option<Config>> ─▶ checker ─▶ watch<HealthSnapshot>
//!                             │  ▲   └▶ Events (transitions, suspicion, probes)
//!                      Target ▼  │ Outcome
//!                             Prober (network: ICMP, TCP, HTTP, HTTPS, gRPC)
//! ```
//!
//! What a state means for weights is decided elsewhere (`model::weights`).

mod book;
mod checker;
mod complaint;
mod connect;
mod descriptors;
mod exchange;
mod lag;
mod metrics;
mod namespace;
mod network;
mod probe_grpc;
mod probe_http;
mod probe_icmp;
mod probe_tcp;
mod prober;
mod progress;
mod publisher;
mod suspicion;
mod tls;
mod verdict;

use std::{io, sync::mpsc, thread};

use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use maglev_model::{config::Config, event::Events, health::HealthSnapshot};

use self::checker::Checker;
pub use self::{
    book::ProbeBook,
    metrics::Metrics,
    namespace::NetworkNamespace,
    network::Network,
    prober::{Outcome, Prober, Target},
    progress::Narrator,
    verdict::consequence,
};

/// What [`start`] needs to know beside the configuration.
#[derive(Clone, Debug)]
pub struct HealthOptions {
    /// Goes into `User-Agent: maglevd/<version>`.
    pub version: String,
    /// Of the random numbers that jitter and stagger are drawn from.
    pub seed: u64,
    /// Tells the time of a transition.
    pub clock: fn() -> Timestamp,
    /// At most so many probes are under way at once; the others wait for their turn. Bounds sockets
    /// and memory; at least 1.
    pub max_in_flight: usize,
    /// Counts what happens.
    pub metrics: Metrics,
    /// Where the last probe of each backend is noted.
    pub book: ProbeBook,
}

impl HealthOptions {
    /// The system's clock, and as many probes at once as this process has descriptors for. Raises the
    /// process's soft limit of descriptors to the hard one, as far as that is of use.
    pub fn new(version: impl Into<String>, seed: u64) -> Self {
        let (max_in_flight, metrics, book) = (descriptors::allowance(), Metrics::default(), ProbeBook::default());
        Self { version: version.into(), seed, clock: Timestamp::now, max_in_flight, metrics, book }
    }
}

/// Why the health checker could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The thread's event loop could not be made.
    #[error("cannot make the event loop of the probe thread")]
    Runtime(#[source] io::Error),
    /// The thread could not be made.
    #[error("cannot start the probe thread")]
    Thread(#[source] io::Error),
    /// The thread ended before it could say what it may do.
    #[error("the probe thread ended at its start")]
    Ended,
    /// There is no such namespace.
    #[error("there is no network namespace {path} to probe from (it has to be there, and mounted here, at the start)")]
    NoNamespace {
        /// The file that stands for it.
        path: String,
    },
    /// Entering a namespace needs a capability.
    #[error("cannot enter the network namespace {path} to probe from: this needs the capability SYS_ADMIN")]
    NamespaceForbidden {
        /// The file that stands for it.
        path: String,
    },
    /// It is some other file.
    #[error(
        "{path} is no network namespace to probe from (a mount of /run/netns that does not follow the host's shows \
         plain files: it needs the propagation HostToContainer)"
    )]
    NotANamespace { path: String },
    /// The kernel refuses for another reason.
    #[error("cannot enter the network namespace {path} to probe from")]
    Namespace {
        /// The file that stands for it.
        path: String,
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// A fixed word for metrics and conditions.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Runtime(_) => "ProbeRuntime",
            Self::Thread(_) | Self::Ended => "ProbeThread",
            Self::NamespaceForbidden { .. } => "MissingCapability",
            Self::NoNamespace { .. } | Self::NotANamespace { .. } | Self::Namespace { .. } => "ProbeNetworkNamespace",
        }
    }

    /// Whether it may pass by itself. A process that cannot start its threads, or probe from where it
    /// should, should end instead.
    pub fn is_transient(&self) -> bool {
        false
    }
}

/// What the thread does once it is told.
type Job = Box<dyn FnOnce() + Send>;

/// The thread that probes are sent from, before it sends any.
#[derive(Debug)]
pub struct ProbeThread {
    icmp: Result<(), String>,
    job_tx: mpsc::Sender<Job>,
    thread: thread::JoinHandle<()>,
}

impl ProbeThread {
    /// Starts the thread, and has it enter `namespace`; without one it stays in the process's own.
    ///
    /// # Errors
    /// The operating system refuses a thread, or the namespace cannot be entered.
    pub fn start(namespace: Option<NetworkNamespace>) -> Result<Self, Error> {
        let (job_tx, job_rx) = mpsc::channel::<Job>();
        let (ready_tx, ready_rx) = mpsc::sync_channel(1);
        let body = move || {
            let entered = namespace.map_or(Ok(()), |namespace| namespace.enter());
            // Nobody hears it if the caller is gone, and then there is no job either.
            let _ = ready_tx.send(entered.map(|()| probe_icmp::permitted()));
            if let Ok(job) = job_rx.recv() {
                job();
            }
        };
        let thread = thread::Builder::new().name("health".into()).spawn(body).map_err(Error::Thread)?;
        let icmp = ready_rx.recv().map_err(|_| Error::Ended)??;
        Ok(Self { icmp, job_tx, thread })
    }

    /// Why the thread cannot probe by ICMP, if it cannot: what is missing.
    pub fn icmp_missing(&self) -> Option<&str> {
        self.icmp.as_ref().err().map(String::as_str)
    }

    /// Checks health until `shutdown`.
    ///
    /// Nothing is probed before `config_rx` has its first configuration. Should its sender go away, the
    /// last one stays in force: what is not known is never empty.
    ///
    /// # Errors
    /// The operating system refuses an event loop.
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
            let prober = Network::new(&options.version);
            let checker = Checker::new(prober, options, config_rx, events, snapshot_tx);
            runtime.block_on(checker.run(shutdown));
        };
        self.job_tx.send(Box::new(job)).map_err(|_| Error::Ended)?;
        Ok((snapshot_rx, self.thread))
    }

    /// Runs `job` on the thread, within an event loop of its own, and waits for what it returns.
    ///
    /// # Errors
    /// The operating system refuses an event loop, or the job panicked.
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
