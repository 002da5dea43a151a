//! A throttle for log messages that would repeat.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

/// Time for which a cause is not logged again.
const PERIOD: Duration = Duration::from_mins(1);
/// Maximum number of causes remembered. Messages about further causes are suppressed: so many causes mean that the
/// texts contain something that always differs, such as a port.
const MAX_CAUSES: usize = 64;

/// Passes at most one message per distinct cause and minute, and counts the suppressed ones.
#[derive(Debug, Default)]
pub struct LogThrottle(Mutex<HashMap<String, Cause>>);

#[derive(Debug)]
struct Cause {
    logged: Instant,
    suppressed: u64,
}

impl LogThrottle {
    /// `Some` if a message about `cause` is to be logged now, with the number of messages about it that were suppressed
    /// since the last one.
    pub fn admit(&self, cause: &str) -> Option<u64> {
        let (now, mut causes) = (Instant::now(), self.0.lock());
        if let Some(entry) = causes.get_mut(cause) {
            if now < entry.logged + PERIOD {
                entry.suppressed += 1;
                return None;
            }
            entry.logged = now;
            return Some(std::mem::take(&mut entry.suppressed));
        }
        if causes.len() >= MAX_CAUSES {
            causes.retain(|_, entry| now < entry.logged + PERIOD);
        }
        if causes.len() >= MAX_CAUSES {
            return None;
        }
        causes.insert(cause.to_owned(), Cause { logged: now, suppressed: 0 });
        Some(0)
    }

    /// Forgets all causes: the next message about any of them is logged.
    pub fn reset(&self) {
        self.0.lock().clear();
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_cause_is_logged_once_a_minute_with_the_number_suppressed() {
        let throttle = LogThrottle::default();
        assert_eq!(throttle.admit("refused"), Some(0));
        assert_eq!(throttle.admit("forbidden"), Some(0), "another cause");
        advance(Duration::from_secs(1)).await;
        assert_eq!(throttle.admit("refused"), None);
        advance(Duration::from_secs(58)).await;
        assert_eq!(throttle.admit("refused"), None);
        advance(Duration::from_secs(1)).await;
        assert_eq!(throttle.admit("refused"), Some(2));
        advance(Duration::from_secs(60)).await;
        assert_eq!(throttle.admit("refused"), Some(0));
    }

    #[tokio::test(start_paused = true)]
    async fn causes_that_always_differ_are_bounded_and_expire() {
        let throttle = LogThrottle::default();
        let logged = (0..1000).filter(|n| throttle.admit(&n.to_string()).is_some()).count();
        assert_eq!(logged, MAX_CAUSES);
        advance(PERIOD).await;
        assert_eq!(throttle.admit("new"), Some(0));
    }

    #[tokio::test]
    async fn every_cause_is_logged_again_after_a_reset() {
        let throttle = LogThrottle::default();
        assert_eq!(throttle.admit("refused"), Some(0));
        throttle.reset();
        assert_eq!(throttle.admit("refused"), Some(0));
    }
}
