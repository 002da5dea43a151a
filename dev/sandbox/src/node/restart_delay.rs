//! The restart delay of a container, by the rule of a kubelet.

use std::time::Duration;

/// The first restart is immediate; later delays are `base`, twice `base`, … up to `max`. A run of at least twice `max` resets
/// the delay.
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

    /// The delay after a run of duration `ran`.
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
    fn delay_doubles_from_ten_seconds_to_five_minutes() {
        let mut delay = RestartDelay::new(Duration::from_secs(10), Duration::from_secs(300));
        assert_eq!(seconds(&mut delay, &[1; 9]), [0, 10, 20, 40, 80, 160, 300, 300, 300]);
    }

    #[test]
    fn only_a_long_run_resets_the_delay() {
        let mut delay = RestartDelay::new(Duration::from_secs(10), Duration::from_secs(300));
        assert_eq!(seconds(&mut delay, &[1, 1, 599, 600, 1]), [0, 10, 20, 0, 10]);
    }
}
