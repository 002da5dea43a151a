//! Retries of addresses whose step failed: after 1 s, doubling up to the sync interval.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use tokio::time::Instant;

const FIRST: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub struct RetrySchedule(BTreeMap<IpAddr, Retry>);

#[derive(Debug)]
struct Retry {
    delay: Duration,
    at: Option<Instant>,
}

impl RetrySchedule {
    /// Schedules a retry of `address`.
    pub fn record_failure(&mut self, address: IpAddr, now: Instant, longest: Duration) {
        let delay = self.0.get(&address).map_or(FIRST, |retry| retry.delay * 2).min(longest.max(FIRST));
        self.0.insert(address, Retry { delay, at: Some(now + delay) });
    }

    /// Ends the backoff of `address`.
    pub fn record_success(&mut self, address: IpAddr) {
        self.0.remove(&address);
    }

    /// Ends the backoff of addresses whose Frontends have changed.
    pub fn forget(&mut self, addresses: &BTreeSet<IpAddr>) {
        self.0.retain(|address, _| !addresses.contains(address));
    }

    /// True while `address` waits for its retry.
    pub fn is_waiting(&self, address: IpAddr) -> bool {
        self.0.get(&address).is_some_and(|retry| retry.at.is_some())
    }

    /// True if the last steps for `address` failed.
    pub fn is_failing(&self, address: IpAddr) -> bool {
        self.0.contains_key(&address)
    }

    /// Time of the next retry.
    pub fn next(&self) -> Option<Instant> {
        self.0.values().filter_map(|retry| retry.at).min()
    }

    /// Removes and returns the addresses whose retry is due.
    pub fn take_due(&mut self, now: Instant) -> Vec<IpAddr> {
        let mut due = Vec::new();
        for (address, retry) in &mut self.0 {
            if retry.at.is_some_and(|at| at <= now) {
                retry.at = None;
                due.push(*address);
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delay_doubles_up_to_the_sync_interval_and_resets_after_success() {
        let address = "203.0.113.1".parse().unwrap();
        let longest = Duration::from_secs(5);
        let mut now = Instant::now();
        let mut retries = RetrySchedule::default();
        for seconds in [1, 2, 4, 5, 5] {
            retries.record_failure(address, now, longest);
            assert!(retries.is_waiting(address));
            assert_eq!(retries.next(), Some(now + Duration::from_secs(seconds)));
            assert!(retries.take_due(now).is_empty(), "not yet");
            now += Duration::from_secs(seconds);
            assert_eq!(retries.take_due(now), [address]);
            assert!(!retries.is_waiting(address) && retries.is_failing(address));
        }
        retries.record_success(address);
        retries.record_failure(address, now, longest);
        assert_eq!(retries.next(), Some(now + FIRST));
    }
}
