//! How often something may be asked for, by all callers together.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Lets some through at once, then one in a while.
#[derive(Debug)]
pub struct Rate {
    every: Duration,
    burst: u32,
    /// When all that were let through are paid for.
    paid: Mutex<Instant>,
}

impl Rate {
    /// One in `every`, and `burst` at once after a pause.
    pub fn new(burst: u32, every: Duration) -> Self {
        Self { every, burst, paid: Mutex::new(Instant::now()) }
    }

    /// Whether one more may pass now.
    pub fn allow(&self) -> bool {
        let now = Instant::now();
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        let next = (*paid).max(now) + self.every;
        let allowed = next <= now + self.every * self.burst;
        if allowed {
            *paid = next;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn some_pass_at_once_then_one_in_a_while() {
        let rate = Rate::new(3, Duration::from_secs(1));
        let passed = || std::iter::repeat_with(|| rate.allow()).take(10).filter(|allowed| *allowed).count();
        assert_eq!(passed(), 3);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(passed(), 1);
        tokio::time::advance(Duration::from_mins(1)).await;
        assert_eq!(passed(), 3);
    }
}
