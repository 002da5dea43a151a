//! Probes, one file per protocol, and their scheduling.
//!
//! [`start`] is called once by the agent. It puts a `checker` on an OS thread of its own, where
//! nothing else runs; the snapshots that it publishes follow the configurations that it watches.
//!
//! ```text
//!   watch<Option<Config>> ─▶ checker ─▶ watch<HealthSnapshot>
//!                             │  ▲   └▶ Events (transitions, suspicion, probes)
//!                      Target ▼  │ Outcome
//!                             Prober (network: TCP, HTTP, HTTPS)
//! ```
//!
//! What a state means for weights is decided elsewhere (`model::weights`).

mod book;
mod checker;
mod complaint;
mod connect;
mod lag;
mod metrics;
mod network;
mod probe_http;
mod probe_tcp;
mod prober;
mod publisher;
mod suspicion;
mod tls;

use std::{io, thread};

use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::model::{config::Config, event::Events, health::HealthSnapshot};

use self::checker::Checker;
pub use self::{
    book::ProbeBook,
    metrics::Metrics,
    network::Network,
    prober::{Outcome, Prober, Target},
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
    /// The system's clock, and at most 4096 probes at once.
    #[must_use]
    pub fn new(version: impl Into<String>, seed: u64) -> Self {
        let (metrics, book) = (Metrics::default(), ProbeBook::default());
        Self { version: version.into(), seed, clock: Timestamp::now, max_in_flight: 4096, metrics, book }
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
}

impl Error {
    /// A fixed word for metrics and conditions.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Runtime(_) => "ProbeRuntime",
            Self::Thread(_) => "ProbeThread",
        }
    }

    /// Whether it may pass by itself. A process that cannot start its threads should end instead.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        false
    }
}

/// Starts health checking on a thread of its own, until `shutdown`.
///
/// Nothing is probed before `config_rx` has its first configuration. Should its sender go away, the
/// last one stays in force: what is not known is never empty.
///
/// # Errors
/// The operating system refuses a thread or an event loop.
pub fn start(
    options: HealthOptions,
    config_rx: watch::Receiver<Option<Config>>,
    events: Events,
    shutdown: CancellationToken,
) -> Result<(watch::Receiver<HealthSnapshot>, thread::JoinHandle<()>), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
    let (snapshot_tx, snapshot_rx) = watch::channel(HealthSnapshot::default());
    let thread = thread::Builder::new()
        .name("health".into())
        .spawn(move || {
            let prober = Network::new(&options.version);
            let checker = Checker::new(prober, options, config_rx, events, snapshot_tx);
            runtime.block_on(checker.run(shutdown));
        })
        .map_err(Error::Thread)?;
    Ok((snapshot_rx, thread))
}
