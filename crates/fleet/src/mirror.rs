//! The state that the fleet keeps for each agent, and the loops of its link.

use maglev_model::view::{Fold, View};

/// Loops that a link runs in addition to following the agent's changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loops {
    /// Requests the agent's version and readiness every few seconds.
    pub health: bool,
    /// Fetches the complete state periodically and compares it, as a safety net.
    pub refresh: bool,
    /// Reads VPP's counters every few seconds.
    pub counters: bool,
    /// Reads VPP's state, including buckets, after each change.
    pub dumps: bool,
}

impl Loops {
    pub const ALL: Self = Self { health: true, refresh: true, counters: true, dumps: true };
    /// No loops: the state is fetched on connect and after missed events, and followed.
    pub const NONE: Self = Self { health: false, refresh: false, counters: false, dumps: false };
}

/// A mirror of one agent. Every reader clones it, so a clone must be cheap.
pub trait Mirror: Fold + Clone + Default + PartialEq + Send + Sync + 'static {
    const LOOPS: Loops;

    fn from_view(view: &View) -> Self {
        let mut mirror = Self::default();
        mirror.reset(view);
        mirror
    }

    /// Shares the memory of parts that equal those of another node's mirror. Does not change the mirror otherwise.
    fn share(&mut self, _other: &Self) {}
}

impl Mirror for View {
    const LOOPS: Loops = Loops::ALL;

    fn share(&mut self, other: &Self) {
        self.share_with(other);
    }
}
