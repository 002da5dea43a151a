//! The state of a Frontend on one node, and the progress of programming it into VPP.

use std::fmt;

/// The state of a Frontend on one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FrontendState {
    /// No backend is in a known state yet.
    #[default]
    Unknown,
    /// At least one backend has an effective weight above 0.
    Up,
    /// No backend has an effective weight above 0.
    Down,
}

impl FrontendState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Unknown, Self::Up, Self::Down];

    /// The spelling in events and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

impl fmt::Display for FrontendState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The progress of programming a Frontend into the VPP of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProgramResult {
    /// VPP does not match the Frontend yet.
    Pending,
    /// VPP matches the Frontend, as read back from VPP.
    Programmed,
    /// The VIP is left as VPP has it, because the Frontend has a problem.
    Held,
    /// VPP rejected a step, or the node lacks something that the Frontend needs.
    Failed,
}

impl ProgramResult {
    /// Every result.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Programmed, Self::Held, Self::Failed];

    /// The spelling in status and events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Programmed => "Programmed",
            Self::Held => "Held",
            Self::Failed => "Failed",
        }
    }
}

impl fmt::Display for ProgramResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
