//! How much the agent's loop does at a time. Between two slices it looks at its inputs, and the
//! session's task sends what was planned: so the first request of a backend that a thousand VIPs use
//! does not wait for the last plan, and VPP works while the others are planned.

/// Frontends in a slice: each takes some microseconds, and so does the way round the loop.
const FRONTENDS: usize = 32;

/// What is left of one turn's work.
#[derive(Debug)]
pub struct Slice(usize);

impl Slice {
    /// A turn's work.
    pub fn new() -> Self {
        Self(FRONTENDS)
    }

    /// Whether another address has room in it. One is never cut, however many Frontends it has.
    pub fn has_room(&self) -> bool {
        self.0 > 0
    }

    /// An address with so many Frontends was looked at.
    pub fn take(&mut self, frontends: usize) {
        self.0 = self.0.saturating_sub(frontends.max(1));
    }

    /// Whether anything was done.
    pub fn is_begun(&self) -> bool {
        self.0 < FRONTENDS
    }
}
