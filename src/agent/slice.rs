//! How much the agent's loop does before it looks at its inputs again and lets the session's task
//! send: a backend that a thousand VIPs use must neither keep the first request waiting for the last
//! plan, nor another backend's transition for all of them.

/// Frontends in a slice. A plan takes some microseconds, as long as it takes to send it.
const FRONTENDS: usize = 16;

/// What is left of one turn's work.
#[derive(Debug)]
pub(super) struct Slice(usize);

impl Slice {
    /// A turn's work.
    pub(super) fn new() -> Self {
        Self(FRONTENDS)
    }

    /// Whether another address has room in it. One is never cut, however many Frontends it has.
    pub(super) fn has_room(&self) -> bool {
        self.0 > 0
    }

    /// An address with so many Frontends was looked at.
    pub(super) fn take(&mut self, frontends: usize) {
        self.0 = self.0.saturating_sub(frontends.max(1));
    }

    /// Whether anything was done.
    pub(super) fn is_begun(&self) -> bool {
        self.0 < FRONTENDS
    }
}
