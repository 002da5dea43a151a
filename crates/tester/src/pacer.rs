//! Start times of flows: the VIPs in turn, evenly spaced.

use std::time::Duration;

use tokio::time::Instant;

/// Delay beyond which start times are given up instead of caught up, so that a stalled process sends no burst.
const LONGEST_DELAY: Duration = Duration::from_millis(200);

/// The schedule of all flows.
#[derive(Debug)]
pub struct Pacer {
    vips: usize,
    period: Duration,
    next: Instant,
    started: u64,
    /// The number of flows to start.
    max: Option<u64>,
}

impl Pacer {
    /// `rate` flows per second and VIP, at most `count` of each.
    ///
    /// # Panics
    /// There are no VIPs, or `rate` is not above 0.
    pub fn new(vips: usize, rate: f64, count: Option<u64>, start: Instant) -> Self {
        let period = Duration::from_secs_f64(1.0 / (rate * vips as f64));
        Self { vips, period, next: start, started: 0, max: count.map(|count| count.saturating_mul(vips as u64)) }
    }

    /// The start of the next flow; `None` after the last.
    pub fn next(&self) -> Option<Instant> {
        self.max.is_none_or(|max| self.started < max).then_some(self.next)
    }

    /// Ends the schedule.
    pub fn stop(&mut self) {
        self.max = Some(self.started);
    }

    /// The index of the VIP whose flow starts now.
    pub fn take(&mut self, now: Instant) -> usize {
        let index = usize::try_from(self.started).unwrap_or(0) % self.vips;
        self.started += 1;
        let is_late = now.saturating_duration_since(self.next) > LONGEST_DELAY;
        self.next = if is_late { now } else { self.next } + self.period;
        index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vips_take_turns_at_the_rate_of_each() {
        let start = Instant::now();
        let mut pacer = Pacer::new(2, 10.0, Some(2), start);
        let mut starts = vec![];
        while let Some(at) = pacer.next() {
            starts.push((pacer.take(at), (at - start).as_millis()));
        }
        assert_eq!(starts, [(0, 0), (1, 50), (0, 100), (1, 150)]);
    }

    #[test]
    fn short_delays_are_caught_up_and_long_ones_are_not() {
        let start = Instant::now();
        let mut pacer = Pacer::new(1, 10.0, None, start);
        pacer.take(start + Duration::from_millis(150));
        assert_eq!(pacer.next(), Some(start + Duration::from_millis(100)));
        pacer.take(start + Duration::from_secs(60));
        assert_eq!(pacer.next(), Some(start + Duration::from_millis(60_100)));
        pacer.stop();
        assert_eq!(pacer.next(), None);
    }
}
