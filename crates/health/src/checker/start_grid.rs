//! The times at which probes start: multiples of a few milliseconds, so that probes that are due at about the same time
//! share one wake-up of the thread. A wake-up costs more than a probe.
//!
//! Start times of one interval differ by its jitter, which is wider than the grid: backends on one host are not probed at
//! once.

use std::time::Duration;

use tokio::time::Instant;

/// The spacing of start times.
const SPACING: Duration = Duration::from_millis(20);

/// A probe may start earlier or later than wanted by at most this part of its interval.
const MAX_SHIFT: u32 = 10;

#[derive(Clone, Copy, Debug)]
pub struct StartGrid {
    origin: Instant,
}

impl StartGrid {
    pub fn new(origin: Instant) -> Self {
        Self { origin }
    }

    /// The time on the grid that is next to `at`, for a probe that is repeated after `interval`. Short intervals keep their
    /// times.
    pub fn nearest(&self, at: Instant, interval: Duration) -> Instant {
        if SPACING / 2 > interval / MAX_SHIFT {
            return at;
        }
        let since = at.saturating_duration_since(self.origin) + SPACING / 2;
        let rest = since.as_nanos() % SPACING.as_nanos();
        // Less than the spacing, so it fits.
        self.origin + since - Duration::from_nanos(u64::try_from(rest).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn short_intervals_keep_their_times() {
        let grid = StartGrid::new(Instant::now());
        let at = grid.origin + 33 * MS;
        assert_eq!(grid.nearest(at, 99 * MS), at);
        assert_eq!(grid.nearest(at, 100 * MS), grid.origin + 40 * MS);
    }

    proptest! {
        #[test]
        fn times_are_on_the_grid_and_shifted_by_half_of_its_spacing_at_most(micros in 0_u64..10_000_000_000) {
            let grid = StartGrid::new(Instant::now());
            let at = grid.origin + Duration::from_micros(micros);
            let nearest = grid.nearest(at, Duration::from_secs(1));
            prop_assert_eq!((nearest - grid.origin).as_nanos() % SPACING.as_nanos(), 0);
            let shift = nearest.saturating_duration_since(at).max(at.saturating_duration_since(nearest));
            prop_assert!(shift <= SPACING / 2);
        }
    }
}
