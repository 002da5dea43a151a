//! When an address whose step failed is tried again: after 1 s, doubling to the sync interval.

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
    /// A step for `address` failed.
    pub fn record_failure(&mut self, address: IpAddr, now: Instant, longest: Duration) {
        let delay = self.0.get(&address).map_or(FIRST, |retry| retry.delay * 2).min(longest.max(FIRST));
        self.0.insert(address, Retry { delay, at: Some(now + delay) });
    }

    /// Every step for `address` went well.
    pub fn record_success(&mut self, address: IpAddr) {
        self.0.remove(&address);
    }

    /// Something about these addresses changed, so that old failures say nothing.
    pub fn forget(&mut self, addresses: &BTreeSet<IpAddr>) {
        self.0.retain(|address, _| !addresses.contains(address));
    }

    /// Whether `address` waits for its retry.
    pub fn is_waiting(&self, address: IpAddr) -> bool {
        self.0.get(&address).is_some_and(|retry| retry.at.is_some())
    }

    /// Whether the last try of `address` failed.
    pub fn is_failing(&self, address: IpAddr) -> bool {
        self.0.contains_key(&address)
    }

    /// When the next retry is due.
    pub fn next(&self) -> Option<Instant> {
        self.0.values().filter_map(|retry| retry.at).min()
    }

    /// Takes the retries that are due.
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
    fn the_delay_doubles_to_the_sync_interval_and_starts_over_after_success() {
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
