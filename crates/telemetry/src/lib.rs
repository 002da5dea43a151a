//! Telemetry of the programs: the log, the event bus, metrics and the HTTP endpoints.
//!
//! ```text
//! crates ── Events::emit ──▶ bus ──▶ tracing ──▶ log ──▶ one writer thread ──▶ stdout
//! crates ── tracing::warn! ─────────────────────▶ ┘
//! panic of any thread or task ── abort_on_panic ──▶ log, then SIGABRT
//! prometheus Registry ──▶ server: /metrics /healthz /readyz
//! ```
//!
//! The binaries create and run the parts. All other crates use only `model::event::Events`, `tracing` and their own
//! metrics.

pub mod bus;
pub mod log;
pub mod server;
pub mod task_group;

mod abort_on_panic;
mod log_line;
mod view_metrics;
mod writer;

pub use bus::{
    AsOf, Bus, BusLimits, BusOptions, EventBatch, Received, ResyncRequired, Stamped, Subscriber, Subscription,
    ViewSnapshot,
};
pub use log::{LogFormat, LogGuard, LogOptions};
pub use server::{EndpointCheck, HttpServer};
pub use task_group::TaskGroup;

/// Errors at the start of a program. Nothing fails later: a slow consumer loses events and receives their number.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A process can set up its log only once.
    #[error("cannot set up the log")]
    Log(#[source] tracing_subscriber::util::TryInitError),
    #[error("cannot start the thread that writes the log")]
    Writer(#[source] std::io::Error),
    /// The metric is registered already, or its name is invalid.
    #[error("cannot register the metric {name}")]
    Metric {
        name: &'static str,
        #[source]
        source: prometheus::Error,
    },
}

impl Error {
    /// A fixed PascalCase word for metrics and conditions.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Log(_) => "LogFailed",
            Self::Writer(_) => "LogWriterFailed",
            Self::Metric { .. } => "MetricRejected",
        }
    }
}

/// Registers `maglev_build_info`, which is always 1.
///
/// # Errors
/// The registry has a metric of this name already.
pub fn register_build_info(registry: &prometheus::Registry, version: &str, commit: &str) -> Result<(), Error> {
    let name = "maglev_build_info";
    let opts = prometheus::Opts::new(name, "Version and commit of the program; always 1.")
        .const_label("version", version)
        .const_label("commit", commit);
    let gauge = prometheus::IntGauge::with_opts(opts).map_err(|source| Error::Metric { name, source })?;
    gauge.set(1);
    registry.register(Box::new(gauge)).map_err(|source| Error::Metric { name, source })
}
