//! Parts shared by all programs with connections: the servers' listeners and limits, an HTTP server, exponential backoff,
//! a rate limit, a throttle for repeated log messages, the text of an error with its causes, an optional timer,
//! a clock that includes suspension.
//!
//! ```text
//! address ─▶ Listener ─▶ Connection ─▶ serve_http ─▶ service     (metrics, dashboard)
//!               │                └───▶ tonic                     (gRPC)
//!               └─ Connections: limits, metrics         Slots: large responses, event streams
//! ```
//!
//! Time is tokio's, so tests can pause it. Nothing here depends on another crate of this workspace.

mod backoff;
mod body;
mod boot_time;
mod connections;
pub mod descriptors;
mod error_chain;
mod http_server;
mod log_throttle;
mod rate_limit;
mod slots;
mod thread_priority;
mod timer;

pub use self::{
    backoff::Backoff,
    body::{BodyTimeout, BoxError, DeadlineBody},
    boot_time::boot_time,
    connections::{
        Connection, ConnectionHandle, ConnectionLimits, ConnectionMetrics, Connections, Cut, Listener, Refusal,
        peer_network,
    },
    error_chain::error_chain,
    http_server::{RequestBody, serve_http},
    log_throttle::LogThrottle,
    rate_limit::{KeyedRateLimit, RateLimit},
    slots::{Slot, Slots},
    thread_priority::{lower_thread_priority, run_thread_when_idle, thread_cpu_time},
    timer::sleep_until_some,
};
