//! Parts shared by all programs with connections: a listener that retries to bind, exponential backoff, a
//! rate limit, a throttle for repeated log messages, the text of an error with its causes, an optional timer.
//!
//! Time is tokio's, so tests can pause it. Nothing here depends on another crate of this workspace.

mod backoff;
mod error_chain;
mod listener;
mod log_throttle;
mod rate_limit;
mod timer;

pub use self::{
    backoff::Backoff,
    error_chain::error_chain,
    listener::bind,
    log_throttle::LogThrottle,
    rate_limit::{KeyedRateLimit, RateLimit},
    timer::sleep_until_some,
};
