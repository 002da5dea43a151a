//! Exponential backoff: delays between attempts that fail.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;

/// Delays that double from `min` to `max`, until [`Backoff::reset`].
#[derive(Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    jitter: bool,
    reset_after: Option<Duration>,
    delays: ExponentialBackoff,
    last: Option<Instant>,
}

impl Backoff {
    pub fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, jitter: false, reset_after: None, delays: delays(min, max), last: None }
    }

    /// Draws each delay at random between half and all of its value, so that many clients that failed together do not
    /// return together.
    pub fn with_jitter(self) -> Self {
        Self { jitter: true, ..self }
    }

    /// Starts over by itself if no delay was requested for longer than `pause`.
    pub fn reset_after(self, pause: Duration) -> Self {
        Self { reset_after: Some(pause), ..self }
    }

    /// The delay before the next attempt.
    pub fn next_delay(&mut self) -> Duration {
        let now = Instant::now();
        let idle = self.last.replace(now).map(|last| now.duration_since(last));
        if idle.zip(self.reset_after).is_some_and(|(idle, pause)| idle > pause) {
            self.reset();
        }
        let delay = self.delays.next().unwrap_or(self.max);
        if self.jitter { delay.mul_f64(0.5 + fastrand::f64() / 2.0) } else { delay }
    }

    /// Starts over with the shortest delay: an attempt succeeded.
    pub fn reset(&mut self) {
        self.delays = delays(self.min, self.max);
    }
}

fn delays(min: Duration, max: Duration) -> ExponentialBackoff {
    ExponentialBuilder::default().with_min_delay(min).with_max_delay(max).without_max_times().build()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: Duration = Duration::from_secs(1);
    const MAX: Duration = Duration::from_secs(5);

    fn seconds(backoff: &mut Backoff, count: usize) -> Vec<u64> {
        std::iter::repeat_with(|| backoff.next_delay().as_secs()).take(count).collect()
    }

    #[test]
    fn delays_double_up_to_the_maximum_and_start_over_after_reset() {
        let mut backoff = Backoff::new(MIN, MAX);
        assert_eq!(seconds(&mut backoff, 5), [1, 2, 4, 5, 5]);
        backoff.reset();
        assert_eq!(seconds(&mut backoff, 2), [1, 2]);
    }

    #[test]
    fn jitter_takes_at_most_half_of_a_delay() {
        for _ in 0..100 {
            let delay = Backoff::new(MIN, MAX).with_jitter().next_delay();
            assert!(delay >= MIN / 2 && delay <= MIN, "{delay:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn delays_start_over_after_a_pause_only_if_configured() {
        let mut resetting = Backoff::new(MIN, MAX).reset_after(Duration::from_mins(1));
        let mut plain = Backoff::new(MIN, MAX);
        assert_eq!((seconds(&mut resetting, 3), seconds(&mut plain, 3)), (vec![1, 2, 4], vec![1, 2, 4]));
        tokio::time::advance(Duration::from_secs(61)).await;
        assert_eq!((seconds(&mut resetting, 1), seconds(&mut plain, 1)), (vec![1], vec![5]));
    }
}
