//! Delays the use of a changed configuration, so that changes which belong together cause one turn.

use std::time::Duration;

use imbl::ordmap::DiffItem;
use maglev_model::{config::Config, health::HealthSnapshot, probe_mode::ProbeMode};
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

/// True if `new` differs from `used` by EndpointSlices and Nodes only, and all of its new Backends can take flows. One whose
/// first probe has not ended has no weight yet, and could not replace one that ends.
pub fn only_endpoints(used: &Config, new: &Config, health: &HealthSnapshot) -> bool {
    used.written == new.written
        && !used.backends.diff(&new.backends).any(|change| match change {
            DiffItem::Add(name, backend) | DiffItem::Update { new: (name, backend), .. } => {
                let known = health.backends.get(name).filter(|health| health.address == backend.address);
                matches!(backend.probe_mode(), ProbeMode::Probed(_)) && !known.is_some_and(|health| health.ever_known)
            }
            DiffItem::Remove(..) => false,
        })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use maglev_model::{
        config::{Backend, Check},
        health::{BackendHealth, BackendState},
    };
    use maglev_testkit::objects;

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

    #[test]
    fn new_backends_are_awaited_until_their_first_probe_has_ended() {
        let used = objects::config([], objects::node_config());
        let check = Check::Probe(Arc::new(objects::health_check("shop/http")));
        let with = |check: Check| {
            let backend = Backend { check, ..objects::backend("shop/web@10.0.0.1", "10.0.0.1") };
            let mut config = used.clone();
            config.backends.insert(backend.name.clone(), Arc::new(backend));
            config
        };
        let mut health = HealthSnapshot::default();
        assert!(only_endpoints(&used, &with(Check::None), &health), "it is not probed");
        assert!(!only_endpoints(&used, &with(check.clone()), &health));
        let new = with(check);
        let (name, backend) = new.backends.iter().next().unwrap();
        let (address, history) = (backend.address, Arc::default());
        let up = BackendHealth { address, state: BackendState::Up, ever_known: true, in_doubt: false, history };
        health.backends.insert(name.clone(), up);
        assert!(only_endpoints(&used, &new, &health));
        assert!(only_endpoints(&new, &used, &HealthSnapshot::default()), "one that ends");
        assert!(!only_endpoints(&used, &Config { written: 1, ..new.clone() }, &health));
    }
}
