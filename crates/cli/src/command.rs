//! What one line asks for, once its words were understood.

use maglev_model::{config::AdminState, event::Level};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Is anything wrong?
    Status,
    /// Why a Backend is in the state it is in.
    Why(String),
    /// The versions of the agents and of maglevc.
    Version,
    Nodes,
    Frontends,
    Frontend(String),
    Backends,
    Backend(String),
    HealthChecks,
    VppInfo,
    /// What the VPPs have.
    VppLbState,
    /// What the VPPs count.
    VppLbCounters,
    /// Follow what happens.
    Watch(Watch),
    /// A pass over everything, now.
    Sync {
        /// The id of a hold that is ended with it.
        accept: Option<String>,
    },
    /// Whether a Backend may take traffic.
    SetAdminState {
        backend: String,
        /// What is wanted of it.
        state: AdminState,
    },
    /// The weight of a pool's member.
    SetWeight {
        frontend: String,
        pool: String,
        backend: String,
        /// The weight, 0–100.
        weight: u8,
    },
    Crds,
    /// A script that teaches a shell the words.
    Completion(Shell),
    /// In the shell: what can be done.
    Help,
    /// In the shell: leave it.
    Exit,
}

/// What `watch events` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch {
    /// End after so many events.
    pub(crate) num: Option<u64>,
    /// Every event, not only transitions.
    pub(crate) log: bool,
    /// The least level.
    pub(crate) level: Level,
    /// Transitions of Backends.
    pub(crate) backend: bool,
    /// Transitions of Frontends.
    pub(crate) frontend: bool,
}

/// A shell that can be taught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shell {
    Bash,
    Fish,
    Zsh,
}
