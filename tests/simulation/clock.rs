//! The wall clock of the simulation: it starts at the Unix epoch and follows Tokio's paused clock.

use std::cell::Cell;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

thread_local! {
    static START: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Starts the clock of this thread's simulation.
pub fn start() {
    START.set(Some(Instant::now()));
}

/// The simulated time of day.
pub fn now() -> Timestamp {
    let elapsed = START.get().map(|start| start.elapsed()).unwrap_or_default();
    Timestamp::UNIX_EPOCH + SignedDuration::try_from(elapsed).unwrap_or_default()
}
