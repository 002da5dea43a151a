//! How much time this thread did not get: a starved or paused process must not mark anything down.
//!
//! While probes are under way, a *pulse* waits its time among them. How late it comes is time that the
//! probes did not get either, though their timeouts ran on: because the process did not run, or because
//! others were before it. Of a process that is stopped and continued in turns, what is lost within a
//! pulse is not seen: so the pulse is short beside the shortest timeout, and in that many turns of any
//! length a probe is done.

use std::time::Duration;

use tokio::time::Instant;

/// The longest and the shortest time between two pulses.
const LONGEST_PULSE: Duration = Duration::from_millis(50);
const SHORTEST_PULSE: Duration = Duration::from_millis(2);

/// Lateness that any timer has.
const NOISE: Duration = Duration::from_millis(5);

/// Adds up the time that the thread did not get.
#[derive(Debug)]
pub struct Lag {
    total: Duration,
    pulse: Duration,
}

impl Default for Lag {
    fn default() -> Self {
        Self { total: Duration::ZERO, pulse: LONGEST_PULSE }
    }
}

/// A moment's reading of [`Lag`].
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    at: Instant,
    total: Duration,
}

impl Lag {
    /// No probe has a shorter timeout than this.
    pub fn watch(&mut self, shortest_timeout: Duration) {
        self.pulse = (shortest_timeout / 10).clamp(SHORTEST_PULSE, LONGEST_PULSE);
    }

    /// The time from one pulse to the next.
    pub fn pulse(&self) -> Duration {
        self.pulse
    }

    /// A pulse was to come at `wanted` and came at `now`.
    pub fn woke(&mut self, wanted: Instant, now: Instant) {
        let late = now.saturating_duration_since(wanted);
        if late > NOISE.min(self.pulse) {
            self.total += late;
        }
    }

    /// A reading, taken when a probe starts.
    pub fn mark(&self, now: Instant) -> Mark {
        Mark { at: now, total: self.total }
    }

    /// Whether a failure seen `now`, of a probe started at `mark`, may be this thread's fault: over a
    /// quarter of the probe's time was lost, or its own timer ran so late.
    pub fn spoiled(&self, mark: Mark, timeout: Duration, now: Instant) -> bool {
        let overrun = now.saturating_duration_since(mark.at).saturating_sub(timeout);
        let lost = (self.total - mark.total).max(overrun);
        lost > NOISE.max(timeout / 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_probe_is_spoiled_by_its_own_late_timer_and_by_time_lost_while_it_ran() {
        let start = Instant::now();
        let mut lag = Lag::default();
        lag.woke(start, start + 900 * MS);
        let mark = lag.mark(start + 1000 * MS);
        // What was lost before the probe started does not count; nor does a punctual timeout.
        assert!(!lag.spoiled(mark, 1000 * MS, start + 2001 * MS));
        // Its own timer fired 300 ms late.
        assert!(lag.spoiled(mark, 1000 * MS, start + 2300 * MS));
        // The thread stood still for 300 ms of its second, though its timer was punctual.
        lag.woke(start + 1100 * MS, start + 1400 * MS);
        assert!(lag.spoiled(mark, 1000 * MS, start + 2001 * MS));
    }

    #[test]
    fn the_pulse_is_a_tenth_of_the_shortest_timeout_within_limits() {
        let mut lag = Lag::default();
        assert_eq!(lag.pulse(), 50 * MS);
        for (timeout, pulse) in [(1000, 50), (400, 40), (100, 10), (10, 2), (60_000, 50)] {
            lag.watch(timeout * MS);
            assert_eq!(lag.pulse(), pulse * MS);
        }
    }

    #[test]
    fn the_lateness_of_any_timer_is_no_starvation() {
        let start = Instant::now();
        let mut lag = Lag::default();
        let mark = lag.mark(start);
        for n in 0..1000 {
            lag.woke(start + n * MS, start + (n + 3) * MS);
        }
        assert!(!lag.spoiled(mark, 1000 * MS, start + 1003 * MS));
    }
}
