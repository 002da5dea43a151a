//! Delays the use of a changed configuration, so that changes which belong together cause one turn.

use std::time::Duration;

use tokio::time::Instant;

/// Delay after a change of objects that people write: one `kubectl apply` has many of them.
const OBJECTS: Duration = Duration::from_millis(250);
/// Delay after a change of EndpointSlices or Nodes. Kubernetes' own controllers have collected changes before they write
/// these; new flows still go to endpoints that have ended until VPP has the change.
const ENDPOINTS: Duration = Duration::from_millis(10);

/// The time at which a changed configuration is to be used.
#[derive(Debug)]
pub struct ConfigDelay {
    due: Option<Instant>,
    /// True if the pending changes are of EndpointSlices and Nodes only.
    only_endpoints: bool,
}

impl ConfigDelay {
    /// A configuration that is to be used at `at`.
    pub fn due(at: Instant) -> Self {
        Self { due: Some(at), only_endpoints: false }
    }

    /// The configuration changed. `only_endpoints`: since it was last used, only EndpointSlices and Nodes have changed.
    /// Further changes do not move the time, but objects that people write still get their delay.
    pub fn changed(&mut self, only_endpoints: bool, now: Instant) {
        let is_extended = self.only_endpoints && !only_endpoints;
        if self.due.is_none() || is_extended {
            self.due = Some(now + if only_endpoints { ENDPOINTS } else { OBJECTS });
            self.only_endpoints = only_endpoints;
        }
    }

    /// True once the changed configuration is to be used, once for each time.
    pub fn take_due(&mut self, now: Instant) -> bool {
        self.due.take_if(|at| now >= *at).is_some()
    }

    /// The time at which the configuration is to be used; `None` if it has not changed.
    pub fn next_timer(&self) -> Option<Instant> {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The delay from the first to the last of `changes`, each with the milliseconds since the first one.
    fn delay(changes: &[(u64, bool)]) -> Duration {
        let start = Instant::now();
        let mut delay = ConfigDelay::due(start);
        assert!(delay.take_due(start));
        assert_eq!(delay.next_timer(), None);
        for (at, only_endpoints) in changes {
            delay.changed(*only_endpoints, start + Duration::from_millis(*at));
        }
        let due = delay.next_timer().unwrap();
        assert!(!delay.take_due(due - Duration::from_millis(1)));
        assert!(delay.take_due(due));
        assert!(!delay.take_due(due), "once");
        due - start
    }

    #[test]
    fn endpoints_wait_less_than_objects() {
        assert_eq!(delay(&[(0, true)]), ENDPOINTS);
        assert_eq!(delay(&[(0, false)]), OBJECTS);
    }

    #[test]
    fn further_changes_do_not_postpone_the_first() {
        assert_eq!(delay(&[(0, true), (5, true), (9, true)]), ENDPOINTS);
        assert_eq!(delay(&[(0, false), (100, false), (200, false)]), OBJECTS);
        // Together they differ by an object, also while endpoints change.
        assert_eq!(delay(&[(0, false), (100, false), (249, false)]), OBJECTS);
    }

    #[test]
    fn objects_that_follow_endpoints_get_their_delay_once() {
        let late = OBJECTS + Duration::from_millis(5);
        assert_eq!(delay(&[(0, true), (5, false), (9, false), (200, false)]), late);
    }
}
