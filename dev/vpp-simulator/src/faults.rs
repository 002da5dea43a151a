//! What goes wrong on demand: slow and lost replies, answers that mislead, sudden death. (`server` knows how to hang.)

use std::{collections::BTreeMap, time::Duration};

/// The faults that are in force.
#[derive(Debug, Default)]
pub struct Faults {
    /// How long each reply is held back.
    pub delay: Duration,
    /// The CLI's text is not as any VPP prints it.
    pub garbled_cli: bool,
    /// VIPs are added as if not asked to be sticky.
    pub forget_sticky: bool,
    /// No VIP is added.
    pub refuse_vips: bool,
    /// How many more replies to each request are lost.
    swallow: BTreeMap<String, u32>,
    /// How many more requests it lives.
    requests_left: Option<u64>,
}

impl Faults {
    /// The next reply to a request of this name is lost.
    pub fn swallow_next(&mut self, request: &str) {
        *self.swallow.entry(request.to_owned()).or_default() += 1;
    }

    /// Whether the reply to this request is to be lost.
    pub fn swallows(&mut self, request: &str) -> bool {
        let Some(left) = self.swallow.get_mut(request) else { return false };
        *left -= 1;
        if *left == 0 {
            self.swallow.remove(request);
        }
        true
    }

    /// It dies when it was sent `requests` more.
    pub fn die_after(&mut self, requests: u64) {
        self.requests_left = Some(requests);
    }

    /// Counts a request; true if it is the one to die of.
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
