//! Measures the CPU time that this thread was denied: a starved or paused process must not mark any backend down.
//!
//! While probes run, a timer fires every [`tick_interval`](StarvationMonitor::tick_interval). The delay of a tick is
//! time in which the probes could not run either, while their timeouts ran on: the process was not scheduled, or was
//! busy with other work. If the process is stopped and continued again and again, pauses shorter than the interval are
//! missed. So the interval is a tenth of the shortest timeout: enough such turns remain to finish a probe.

use std::time::Duration;

use tokio::time::Instant;

const MAX_TICK_INTERVAL: Duration = Duration::from_millis(50);
const MIN_TICK_INTERVAL: Duration = Duration::from_millis(2);

/// The normal delay of a timer.
const TIMER_NOISE: Duration = Duration::from_millis(5);

/// Adds up the delays of the ticks.
#[derive(Debug)]
pub struct StarvationMonitor {
    total: Duration,
    tick_interval: Duration,
}

impl Default for StarvationMonitor {
    fn default() -> Self {
        Self { total: Duration::ZERO, tick_interval: MAX_TICK_INTERVAL }
    }
}

/// A reading of [`StarvationMonitor`].
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    at: Instant,
    total: Duration,
}

impl StarvationMonitor {
    /// Fits the tick interval to the shortest timeout of all probes.
    pub fn set_shortest_timeout(&mut self, timeout: Duration) {
        self.tick_interval = (timeout / 10).clamp(MIN_TICK_INTERVAL, MAX_TICK_INTERVAL);
    }

    pub fn tick_interval(&self) -> Duration {
        self.tick_interval
    }

    /// Records a tick that was due at `due` and fired at `now`.
    pub fn record_tick(&mut self, due: Instant, now: Instant) {
        let late = now.saturating_duration_since(due);
        if late > TIMER_NOISE.min(self.tick_interval) {
            self.total += late;
        }
    }

    /// A reading, taken when a probe starts.
    pub fn sample(&self, now: Instant) -> Sample {
        Sample { at: now, total: self.total }
    }

    /// True if starvation may have caused the failure, at `now`, of a probe started at `start`: more than a quarter of
    /// the probe's timeout was lost, or the probe's own timer fired that late.
    pub fn is_starved(&self, start: Sample, timeout: Duration, now: Instant) -> bool {
        let overrun = now.saturating_duration_since(start.at).saturating_sub(timeout);
        let lost = (self.total - start.total).max(overrun);
        lost > TIMER_NOISE.max(timeout / 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_late_timer_and_time_lost_during_a_probe_are_starvation() {
        let start = Instant::now();
        let mut monitor = StarvationMonitor::default();
        monitor.record_tick(start, start + 900 * MS);
        let sample = monitor.sample(start + 1000 * MS);
        // Time lost before the probe started does not count, nor does a punctual timeout.
        assert!(!monitor.is_starved(sample, 1000 * MS, start + 2001 * MS));
        // The probe's own timer fired 300 ms late.
        assert!(monitor.is_starved(sample, 1000 * MS, start + 2300 * MS));
        // The thread stood still for 300 ms of the probe's second, although the timeout was punctual.
        monitor.record_tick(start + 1100 * MS, start + 1400 * MS);
        assert!(monitor.is_starved(sample, 1000 * MS, start + 2001 * MS));
    }

    #[test]
    fn the_tick_interval_is_a_tenth_of_the_shortest_timeout_within_limits() {
        let mut monitor = StarvationMonitor::default();
        assert_eq!(monitor.tick_interval(), 50 * MS);
        for (timeout, interval) in [(1000, 50), (400, 40), (100, 10), (10, 2), (60_000, 50)] {
            monitor.set_shortest_timeout(timeout * MS);
            assert_eq!(monitor.tick_interval(), interval * MS);
        }
    }

    #[test]
    fn the_normal_delay_of_a_timer_is_not_starvation() {
        let start = Instant::now();
        let mut monitor = StarvationMonitor::default();
        let sample = monitor.sample(start);
        for n in 0..1000 {
            monitor.record_tick(start + n * MS, start + (n + 3) * MS);
        }
        assert!(!monitor.is_starved(sample, 1000 * MS, start + 1003 * MS));
    }
}
