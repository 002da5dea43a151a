//! Backoff after failed requests. Used by every watch of this crate.

use std::time::Duration;

use tokio::time::Instant;

use super::Delays;

/// Delays that double with each failure, with jitter, and start over after a minute without a failure.
pub struct Retry {
    delays: Delays,
    next: Duration,
    last: Option<Instant>,
}

impl Retry {
    pub fn new(delays: Delays) -> Self {
        Self { delays, next: delays.retry_min, last: None }
    }

    pub fn next(&mut self) -> Duration {
        let now = Instant::now();
        if self.last.is_some_and(|last| now.duration_since(last) > self.delays.retry_max + Duration::from_mins(1)) {
            self.next = self.delays.retry_min;
        }
        self.last = Some(now);
        let delay = self.next;
        self.next = (delay * 2).min(self.delays.retry_max);
        // Between half and all of it, so that the clients of a cluster do not retry all at once.
        delay.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn delays_double_up_to_the_limit_and_reset_after_a_quiet_minute() {
        let delays = Delays::default();
        let mut retry = Retry::new(delays);
        let drawn: Vec<_> = (0..8).map(|_| retry.next()).collect();
        for (n, delay) in drawn.iter().enumerate() {
            let full = (delays.retry_min * 2_u32.pow(u32::try_from(n).expect("few"))).min(delays.retry_max);
            assert!(*delay >= full / 2 && *delay <= full, "{n}: {delay:?} of {full:?}");
        }
        tokio::time::advance(Duration::from_mins(2)).await;
        assert!(retry.next() <= delays.retry_min);
    }
}
