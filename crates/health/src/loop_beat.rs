//! The beat of the probe loop: `/healthz` and `maglev_probe_loop_lag_seconds` show a loop that is late or stands still,
//! from any thread.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use prometheus::{
    Gauge, Registry,
    core::{Collector, Desc},
    proto::MetricFamily,
};

/// The time between two beats.
pub(crate) const INTERVAL: Duration = Duration::from_millis(500);

/// The time without a beat after which `/healthz` fails.
const LIMIT: Duration = Duration::from_secs(10);

/// The metric shows the longest lag of the current and of the last period, so that no scrape misses it.
const PERIOD: Duration = Duration::from_secs(30);

/// The record of beats. Clones share it.
#[derive(Clone, Debug)]
pub struct LoopBeat {
    epoch: Instant,
    beats: Arc<Mutex<Beats>>,
    lag: Gauge,
}

/// All times are since the epoch.
#[derive(Debug, Default)]
struct Beats {
    /// `None` before the loop starts and after its end.
    last: Option<Duration>,
    period: u32,
    lag: Duration,
    lag_of_last_period: Duration,
}

impl Default for LoopBeat {
    fn default() -> Self {
        let lag = Gauge::new(
            "maglev_probe_loop_lag_seconds",
            "Longest delay of the probe loop in the last 30 to 60 s; grows while the loop stands still.",
        );
        Self { epoch: Instant::now(), beats: Arc::default(), lag: lag.expect("the name is a valid metric name") }
    }
}

impl LoopBeat {
    /// # Errors
    /// The registry has a metric of the same name already.
    pub fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.clone()))
    }

    /// Records a beat, `late` after its due time.
    pub(crate) fn beat(&self, late: Duration) {
        self.beats.lock().beat(self.epoch.elapsed(), late);
    }

    /// Ends the record: a loop that has ended is not late.
    pub(crate) fn end(&self) {
        self.beats.lock().last = None;
    }

    /// `Ok` if the last beat was at most 10 s ago.
    ///
    /// # Errors
    /// The time since the last beat, as a human-readable message.
    pub fn check(&self) -> Result<(), String> {
        let late = self.beats.lock().late(self.epoch.elapsed());
        if late <= LIMIT { Ok(()) } else { Err(format!("the probe loop has stalled for {} s", late.as_secs())) }
    }
}

impl Beats {
    fn beat(&mut self, now: Duration, late: Duration) {
        self.last = Some(now);
        self.advance(now);
        self.lag = self.lag.max(late);
    }

    /// The delay of the next beat so far.
    fn late(&self, now: Duration) -> Duration {
        self.last.map_or(Duration::ZERO, |last| now.saturating_sub(last + INTERVAL))
    }

    fn longest_lag(&mut self, now: Duration) -> Duration {
        self.advance(now);
        self.late(now).max(self.lag).max(self.lag_of_last_period)
    }

    fn advance(&mut self, now: Duration) {
        let period = u32::try_from(now.as_secs() / PERIOD.as_secs()).unwrap_or(u32::MAX);
        if period != self.period {
            let lag = std::mem::take(&mut self.lag);
            self.lag_of_last_period = if period == self.period.saturating_add(1) { lag } else { Duration::ZERO };
            self.period = period;
        }
    }
}

impl Collector for LoopBeat {
    fn desc(&self) -> Vec<&Desc> {
        self.lag.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.lag.set(self.beats.lock().longest_lag(self.epoch.elapsed()).as_secs_f64());
        self.lag.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEC: Duration = Duration::from_secs(1);

    #[test]
    fn loop_that_stands_still_is_late_until_the_next_beat() {
        let mut beats = Beats::default();
        assert_eq!(beats.late(100 * SEC), Duration::ZERO, "the loop has not started");
        beats.beat(100 * SEC, Duration::ZERO);
        assert_eq!(beats.late(100 * SEC + INTERVAL), Duration::ZERO);
        assert_eq!(beats.longest_lag(103 * SEC + INTERVAL), 3 * SEC);
        beats.beat(104 * SEC + INTERVAL, 4 * SEC);
        assert_eq!(beats.late(105 * SEC), Duration::ZERO);
        assert_eq!(beats.longest_lag(105 * SEC), 4 * SEC);
    }

    #[test]
    fn longest_lag_is_shown_until_the_end_of_the_next_period() {
        let mut beats = Beats::default();
        for second in 60..60 + 70 {
            let late = if second == 65 { 2 * SEC } else { Duration::ZERO };
            beats.beat(second * SEC, late);
            let expected = if (65..120).contains(&second) { 2 * SEC } else { Duration::ZERO };
            assert_eq!(beats.longest_lag(second * SEC), expected, "{second} s");
        }
    }

    #[test]
    fn check_fails_after_ten_seconds_without_a_beat() {
        let beat = LoopBeat { epoch: Instant::now() - 60 * SEC, ..LoopBeat::default() };
        assert_eq!(beat.check(), Ok(()));
        beat.beats.lock().beat(51 * SEC, Duration::ZERO);
        assert_eq!(beat.check(), Ok(()));
        beat.beats.lock().beat(40 * SEC, Duration::ZERO);
        let stalled = beat.check().unwrap_err();
        assert!(stalled.contains("has stalled for 19 s") || stalled.contains("has stalled for 2"), "{stalled}");
        beat.end();
        assert_eq!(beat.check(), Ok(()));
    }
}
