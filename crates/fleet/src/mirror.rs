//! What the fleet keeps of each agent, and what a link asks for because of it.

use maglev_model::{change::Fold, view::View};

/// The loops that a link runs beside following the agent's changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loops {
    /// Asks every few seconds whether the agent answers, and whether it is ready.
    pub health: bool,
    /// Fetches the whole state now and then and compares, as a safety net.
    pub refresh: bool,
    /// Reads VPP's counters every few seconds.
    pub counters: bool,
    /// Reads what VPP has, buckets included, after it changed.
    pub dumps: bool,
}

impl Loops {
    /// All of them, as somebody who looks at everything wants it.
    pub const ALL: Self = Self { health: true, refresh: true, counters: true, dumps: true };
    /// None: the state is fetched on connect and after a loss, and followed.
    pub const NONE: Self = Self { health: false, refresh: false, counters: false, dumps: false };
}

/// A mirror of one agent. A clone is taken whenever somebody reads it, so it has to be cheap.
pub trait Mirror: Fold + Clone + Default + PartialEq + Send + Sync + 'static {
    /// What its links do.
    const LOOPS: Loops;

    /// A mirror that has just taken this state.
    fn of(view: &View) -> Self {
        let mut mirror = Self::default();
        mirror.reset(view);
        mirror
    }
}

impl Mirror for View {
    const LOOPS: Loops = Loops::ALL;
}
