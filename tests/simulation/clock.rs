//! The wall clock of the simulation: it starts in 2026 and follows Tokio's paused clock, except for jumps.

use std::cell::Cell;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// 2026-11-29T12:00:00Z.
const FIRST: i64 = 1_795_953_600;

thread_local! {
    static START: Cell<Option<Instant>> = const { Cell::new(None) };
    /// Seconds since the Unix epoch at the start, jumps included.
    static OFFSET: Cell<i64> = const { Cell::new(0) };
}

/// Starts the clock of this thread's simulation.
pub fn start() {
    START.set(Some(Instant::now()));
    OFFSET.set(FIRST);
}

/// Sets the clock forward, or back if `seconds` is negative.
pub fn jump(seconds: i64) {
    OFFSET.set(OFFSET.get() + seconds);
}

/// The simulated time of day.
pub fn now() -> Timestamp {
    let elapsed = START.get().map(|start| start.elapsed()).unwrap_or_default();
    let start = Timestamp::UNIX_EPOCH + SignedDuration::from_secs(OFFSET.get());
    start + SignedDuration::try_from(elapsed).unwrap_or_default()
}
