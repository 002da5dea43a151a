//! How the programs tell what they do: the log, the event bus, metrics and the three endpoints.
//!
//! ```text
//! rooms ── Events::emit ──▶ bus ──▶ tracing ──▶ log ──▶ one writer thread ──▶ stdout
//! rooms ── tracing::warn! ─────────────────────▶ ┘
//! prometheus Registry ──▶ server: /metrics /healthz /readyz
//! ```
//!
//! Called by the binaries, which make each part and run it. Rooms only know `model::event::Events`,
//! `tracing` and their own metrics.

pub mod build;
pub mod bus;
pub mod log;
pub mod parts;
pub mod server;

mod line;
mod view_metrics;
mod writer;

pub use bus::{AsOf, Batch, Bus, BusLimits, BusOptions, Received, Resync, Snapshot, Stamped, Subscriber, Subscription};
pub use log::{LogFormat, LogGuard, LogOptions};
pub use parts::Parts;
pub use server::{HttpServer, Probe};

/// What can go wrong at start-up. Nothing here fails later: a consumer that cannot keep up loses
/// what it missed and is told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log can be set up once in a process.
    #[error("cannot set up the log")]
    Log(#[source] tracing_subscriber::util::TryInitError),
    /// The writer thread of the log does not start.
    #[error("cannot start the thread that writes the log")]
    Writer(#[source] std::io::Error),
    /// A metric is already registered, or its name is not allowed.
    #[error("cannot register the metric {name}")]
    Metric {
        name: &'static str,
        #[source]
        source: prometheus::Error,
    },
}

impl Error {
    /// The fixed word for metrics and conditions.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Log(_) => "LogFailed",
            Self::Writer(_) => "LogWriterFailed",
            Self::Metric { .. } => "MetricRejected",
        }
    }

    /// Whether trying again may help. It never does here: each is a fault of the program or of its
    /// start.
    pub fn is_transient(&self) -> bool {
        false
    }
}

/// Registers `maglev_build_info`, which is always 1 and says what runs.
///
/// # Errors
/// If the registry has it already.
pub fn register_build_info(registry: &prometheus::Registry, version: &str, commit: &str) -> Result<(), Error> {
    let name = "maglev_build_info";
    let opts = prometheus::Opts::new(name, "What runs: always 1.")
        .const_label("version", version)
        .const_label("commit", commit);
    let gauge = prometheus::IntGauge::with_opts(opts).map_err(|source| Error::Metric { name, source })?;
    gauge.set(1);
    registry.register(Box::new(gauge)).map_err(|source| Error::Metric { name, source })
}
