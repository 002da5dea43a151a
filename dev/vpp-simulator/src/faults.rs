//! Injected faults: slow and lost replies, false replies, misleading data, crashes. (Hanging is implemented in `server`.)

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    time::Duration,
};

use super::lb::Lb;

/// A change to the state that only one reply is computed from.
pub struct Lie(Box<dyn FnOnce(&mut Lb) + Send>);

impl Lie {
    pub fn new(change: impl FnOnce(&mut Lb) + Send + 'static) -> Self {
        Self(Box::new(change))
    }

    pub fn apply(self, lb: &mut Lb) {
        (self.0)(lb);
    }
}

impl fmt::Debug for Lie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lie")
    }
}

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
    /// Number of replies with the context of the next request, by request.
    confuse: BTreeMap<String, u32>,
    /// False replies, by request.
    lies: BTreeMap<String, VecDeque<Lie>>,
    /// The text after which the next output of the CLI that has it ends.
    cut: Option<String>,
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
        take(&mut self.swallow, request)
    }

    /// Gives the next reply to a request of this name the context of the next request.
    pub fn confuse_next(&mut self, request: &str) {
        *self.confuse.entry(request.to_owned()).or_default() += 1;
    }

    /// Returns true if the reply to this request has the context of the next request.
    pub fn confuses(&mut self, request: &str) -> bool {
        take(&mut self.confuse, request)
    }

    /// Computes the next reply to a request of this name from a changed state.
    pub fn lie_next(&mut self, request: &str, lie: Lie) {
        self.lies.entry(request.to_owned()).or_default().push_back(lie);
    }

    /// Removes and returns the lie for this request.
    pub fn take_lie(&mut self, request: &str) -> Option<Lie> {
        self.lies.get_mut(request)?.pop_front()
    }

    /// Ends the next output of the CLI that contains `text` after `text`.
    pub fn cut_next(&mut self, text: &str) {
        self.cut = Some(text.to_owned());
    }

    /// The output of the CLI with or without its end.
    pub fn cut(&mut self, mut output: String) -> String {
        if let Some(start) = self.cut.as_ref().and_then(|text| output.find(text.as_str()))
            && let Some(text) = self.cut.take()
        {
            output.truncate(start + text.len());
        }
        output
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

/// Counts one down. Returns false if there is none left.
fn take(counts: &mut BTreeMap<String, u32>, request: &str) -> bool {
    let Some(left) = counts.get_mut(request) else { return false };
    *left -= 1;
    if *left == 0 {
        counts.remove(request);
    }
    true
}
