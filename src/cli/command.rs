//! What one line asks for, once its words were understood.

use crate::model::{config::AdminState, event::Level};

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// Is anything wrong?
    Status,
    /// Why a Backend is in the state it is in.
    Why(String),
    /// The versions of the agents and of maglevc.
    Version,
    /// The nodes.
    Nodes,
    /// All Frontends.
    Frontends,
    /// One Frontend.
    Frontend(String),
    /// All Backends.
    Backends,
    /// One Backend.
    Backend(String),
    /// All HealthChecks.
    HealthChecks,
    /// The VPPs.
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
        /// The Backend.
        backend: String,
        /// What is wanted of it.
        state: AdminState,
    },
    /// The weight of a pool's member.
    SetWeight {
        /// The Frontend.
        frontend: String,
        /// Its pool.
        pool: String,
        /// The member.
        backend: String,
        /// The weight, 0–100.
        weight: u8,
    },
    /// The CustomResourceDefinitions.
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
pub(super) struct Watch {
    /// End after so many events.
    pub(super) num: Option<u64>,
    /// Every event, not only transitions.
    pub(super) log: bool,
    /// The least level.
    pub(super) level: Level,
    /// Transitions of Backends.
    pub(super) backend: bool,
    /// Transitions of Frontends.
    pub(super) frontend: bool,
}

/// A shell that can be taught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shell {
    /// bash.
    Bash,
    /// fish.
    Fish,
    /// zsh.
    Zsh,
}
