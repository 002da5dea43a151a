//! How long a container waits before it is started again: a kubelet's rule.

use std::time::Duration;

/// The first restart is immediate, the next ones wait `base`, twice that, … up to `max`. A run of at least twice `max` clears the slate.
#[derive(Clone, Debug)]
pub struct RestartDelay {
    base: Duration,
    max: Duration,
    next: Duration,
}

impl RestartDelay {
    /// A kubelet has a base of 10 s and a maximum of 5 min.
    pub const fn new(base: Duration, max: Duration) -> Self {
        Self { base, max, next: Duration::ZERO }
    }

    /// The pause after a run that lasted `ran`.
    pub fn after_run(&mut self, ran: Duration) -> Duration {
        if ran >= self.max * 2 {
            self.next = Duration::ZERO;
        }
        let delay = self.next;
        self.next = if delay.is_zero() { self.base } else { (delay * 2).min(self.max) };
        delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(delay: &mut RestartDelay, runs: &[u64]) -> Vec<u64> {
        runs.iter().map(|ran| delay.after_run(Duration::from_secs(*ran)).as_secs()).collect()
    }

    #[test]
    fn waits_nothing_then_ten_seconds_doubling_to_five_minutes() {
        let mut delay = RestartDelay::new(Duration::from_secs(10), Duration::from_secs(300));
        assert_eq!(seconds(&mut delay, &[1; 9]), [0, 10, 20, 40, 80, 160, 300, 300, 300]);
    }

    #[test]
    fn a_long_run_clears_the_slate_and_a_shorter_one_does_not() {
        let mut delay = RestartDelay::new(Duration::from_secs(10), Duration::from_secs(300));
        assert_eq!(seconds(&mut delay, &[1, 1, 599, 600, 1]), [0, 10, 20, 0, 10]);
    }
}
