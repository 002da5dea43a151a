//! Injected faults: slow and lost replies, misleading data, crashes. (Hanging is implemented in `server`.)

use std::{collections::BTreeMap, time::Duration};

#[derive(Debug, Default)]
pub struct Faults {
    /// Delay of each reply.
    pub delay: Duration,
    /// The CLI prints an unknown format.
    pub garbled_cli: bool,
    /// New VIPs are not sticky.
    pub forget_sticky: bool,
    /// New VIPs are rejected.
    pub refuse_vips: bool,
    /// Number of replies to lose, by request.
    swallow: BTreeMap<String, u32>,
    /// Number of requests until the crash.
    requests_left: Option<u64>,
}

impl Faults {
    /// Loses the next reply to a request of this name.
    pub fn swallow_next(&mut self, request: &str) {
        *self.swallow.entry(request.to_owned()).or_default() += 1;
    }

    /// Returns true if the reply to this request is lost.
    pub fn swallows(&mut self, request: &str) -> bool {
        let Some(left) = self.swallow.get_mut(request) else { return false };
        *left -= 1;
        if *left == 0 {
            self.swallow.remove(request);
        }
        true
    }

    /// Crashes VPP on the `requests`-th request from now.
    pub fn die_after(&mut self, requests: u64) {
        self.requests_left = Some(requests);
    }

    /// Counts a request. Returns true if VPP crashes on this request.
    pub fn kills(&mut self) -> bool {
        let Some(left) = &mut self.requests_left else { return false };
        *left = left.saturating_sub(1);
        if *left > 0 {
            return false;
        }
        self.requests_left = None;
        true
    }
}
