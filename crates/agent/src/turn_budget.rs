//! The amount of work of one turn of the agent's loop.

/// Frontends per turn. Each takes some microseconds, and so does one iteration of the agent's loop.
const FRONTENDS_PER_TURN: usize = 32;

/// Remaining work of one turn of the agent's loop. Between two turns the agent reads its inputs and the session's
/// task sends the planned steps: the first step for a backend that a thousand VIPs use does not wait for the last
/// plan, and VPP works while the other addresses are planned.
#[derive(Debug)]
pub struct TurnBudget(usize);

impl TurnBudget {
    pub fn new() -> Self {
        Self(FRONTENDS_PER_TURN)
    }

    /// True while another address may be planned. An address is never split, however many Frontends it has.
    pub fn has_remaining(&self) -> bool {
        self.0 > 0
    }

    /// Subtracts the Frontends of one processed address.
    pub fn spend(&mut self, frontends: usize) {
        self.0 = self.0.saturating_sub(frontends.max(1));
    }

    /// True once any work was done.
    pub fn is_used(&self) -> bool {
        self.0 < FRONTENDS_PER_TURN
    }
}
