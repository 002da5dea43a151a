//! Rate limits: a burst at once, then one in a period (GCRA, by `governor`).

use std::{hash::Hash, num::NonZeroU32, ops::Add, time::Duration};

use governor::{
    Quota, RateLimiter,
    clock::{Clock, Reference},
    middleware::NoOpMiddleware,
    nanos::Nanos,
    state::{InMemoryState, NotKeyed, keyed::HashMapStateStore},
};
use tokio::time::Instant;

/// One limit for all callers together.
#[derive(Debug)]
pub struct RateLimit(RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<Tick>>);

impl RateLimit {
    /// Allows `burst` at once and one more after each `period`.
    ///
    /// # Panics
    /// If `period` is zero.
    pub fn new(burst: NonZeroU32, period: Duration) -> Self {
        Self(RateLimiter::direct_with_clock(quota(burst, period), TokioClock))
    }

    /// Counts one and returns true, or returns false if no more is allowed now.
    pub fn allow(&self) -> bool {
        self.0.check().is_ok()
    }
}

/// One limit per key, for a bounded number of keys.
pub struct KeyedRateLimit<K: Clone + Hash + Eq> {
    limiter: RateLimiter<K, HashMapStateStore<K>, TokioClock, NoOpMiddleware<Tick>>,
    max_keys: usize,
    period: Duration,
}

impl<K: Clone + Hash + Eq> KeyedRateLimit<K> {
    /// Allows, for each key, `burst` at once and one more after each `period`. While `max_keys` keys are in use, no new
    /// key is allowed.
    ///
    /// # Panics
    /// If `period` is zero.
    pub fn new(burst: NonZeroU32, period: Duration, max_keys: usize) -> Self {
        let limiter = RateLimiter::new(quota(burst, period), HashMapStateStore::default(), TokioClock);
        Self { limiter, max_keys, period }
    }

    /// Counts one for `key`.
    ///
    /// # Errors
    /// The time until one more may be allowed. A refused attempt is not counted.
    pub fn allow(&self, key: &K) -> Result<(), Duration> {
        if self.limiter.len() >= self.max_keys {
            self.limiter.retain_recent();
            if self.limiter.len() >= self.max_keys {
                return Err(self.period);
            }
        }
        let now = TokioClock.now();
        self.limiter.check_key(key).map_err(|refusal| refusal.wait_time_from(now))
    }
}

fn quota(burst: NonZeroU32, period: Duration) -> Quota {
    Quota::with_period(period).expect("a period is not zero").allow_burst(burst)
}

/// Tokio's clock, which tests can pause.
#[derive(Clone, Debug, Default)]
struct TokioClock;

/// A time of [`TokioClock`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tick(Instant);

impl Clock for TokioClock {
    type Instant = Tick;

    fn now(&self) -> Tick {
        Tick(Instant::now())
    }
}

impl Add<Nanos> for Tick {
    type Output = Self;

    fn add(self, other: Nanos) -> Self {
        Self(self.0 + Duration::from(other))
    }
}

impl Reference for Tick {
    fn duration_since(&self, earlier: Self) -> Nanos {
        self.0.saturating_duration_since(earlier.0).into()
    }

    fn saturating_sub(&self, duration: Nanos) -> Self {
        Self(self.0.checked_sub(duration.into()).unwrap_or(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BURST: NonZeroU32 = NonZeroU32::new(3).unwrap();

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_allowed_at_once_and_then_one_per_period() {
        let limit = RateLimit::new(BURST, Duration::from_secs(1));
        let allowed = || std::iter::repeat_with(|| limit.allow()).take(10).filter(|allowed| *allowed).count();
        assert_eq!(allowed(), 3);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(allowed(), 1);
        tokio::time::advance(Duration::from_mins(1)).await;
        assert_eq!(allowed(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn keys_have_limits_of_their_own_and_a_refusal_contains_the_time_to_wait() {
        let limit = KeyedRateLimit::new(BURST, Duration::from_secs(12), 100);
        for _ in 0..3 {
            assert_eq!(limit.allow(&1), Ok(()));
        }
        assert_eq!(limit.allow(&1), Err(Duration::from_secs(12)));
        assert_eq!(limit.allow(&2), Ok(()));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(limit.allow(&1), Err(Duration::from_secs(2)));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(limit.allow(&1), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn keys_are_bounded_and_expire() {
        let limit = KeyedRateLimit::new(BURST, Duration::from_secs(12), 100);
        for key in 0..100 {
            assert_eq!(limit.allow(&key), Ok(()));
        }
        assert_eq!(limit.allow(&100), Err(Duration::from_secs(12)));
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(limit.allow(&100), Ok(()));
    }
}
