//! A throttle for log messages that would repeat.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

/// Time for which a cause is not logged again.
const PERIOD: Duration = Duration::from_mins(1);
/// Causes remembered at a time. More are suppressed: they would carry something that always differs.
const MAX_CAUSES: usize = 64;

/// Passes at most one message per distinct cause and minute, and counts the suppressed ones.
#[derive(Debug, Default)]
pub struct LogThrottle(HashMap<String, Cause>);

#[derive(Debug)]
struct Cause {
    logged: Instant,
    suppressed: u64,
}

impl LogThrottle {
    /// `Some` if a message about `cause` is to be logged at `now`, with the number of messages about it that were
    /// suppressed since the last one.
    pub fn admit(&mut self, cause: &str, now: Instant) -> Option<u64> {
        if let Some(entry) = self.0.get_mut(cause) {
            if now < entry.logged + PERIOD {
                entry.suppressed += 1;
                return None;
            }
            entry.logged = now;
            return Some(std::mem::take(&mut entry.suppressed));
        }
        if self.0.len() >= MAX_CAUSES {
            self.0.retain(|_, entry| now < entry.logged + PERIOD);
        }
        if self.0.len() >= MAX_CAUSES {
            return None;
        }
        self.0.insert(cause.to_owned(), Cause { logged: now, suppressed: 0 });
        Some(0)
    }

    /// Forgets all causes: the next message about any of them is logged.
    pub fn reset(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_logged_once_a_minute_with_the_number_suppressed() {
        let (mut throttle, start) = (LogThrottle::default(), Instant::now());
        assert_eq!(throttle.admit("refused", start), Some(0));
        assert_eq!(throttle.admit("forbidden", start), Some(0), "another cause");
        assert_eq!(throttle.admit("refused", start + Duration::from_secs(1)), None);
        assert_eq!(throttle.admit("refused", start + Duration::from_secs(59)), None);
        assert_eq!(throttle.admit("refused", start + Duration::from_secs(60)), Some(2));
        assert_eq!(throttle.admit("refused", start + Duration::from_secs(120)), Some(0));
    }

    #[test]
    fn causes_that_always_differ_are_bounded_and_expire() {
        let (mut throttle, start) = (LogThrottle::default(), Instant::now());
        let logged = (0..1000).filter(|n| throttle.admit(&n.to_string(), start).is_some()).count();
        assert_eq!(logged, MAX_CAUSES);
        assert_eq!(throttle.admit("new", start + PERIOD), Some(0));
    }

    #[test]
    fn every_cause_is_logged_again_after_a_reset() {
        let (mut throttle, start) = (LogThrottle::default(), Instant::now());
        assert_eq!(throttle.admit("refused", start), Some(0));
        throttle.reset();
        assert_eq!(throttle.admit("refused", start), Some(0));
    }
}
