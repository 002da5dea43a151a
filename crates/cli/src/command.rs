//! The commands, as parsed from a line.

use maglev_model::{config::AdminState, event::Level, trace::Flow};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Status,
    /// Explains the state of a Backend.
    Why(String),
    /// Explains what allows or denies a Frontend, and its state.
    WhyFrontend(String),
    /// Explains the address and the Frontends of a Service.
    WhyService(String),
    /// Explains what a namespace may use.
    ExplainPolicy(String),
    /// Prints the commands that prepare the server of a Backend.
    Doctor(String),
    /// Shows the backend of a new flow on each node.
    Trace(Flow),
    Version,
    Nodes,
    Frontends,
    Frontend(String),
    Backends,
    Backend(String),
    HealthChecks,
    Policies,
    Policy(String),
    /// Shows the addresses of all Frontends.
    Addresses,
    VppInfo,
    VppLbState,
    VppLbCounters,
    Watch(Watch),
    /// Shows the effect of a change of a Backend.
    WhatIfBackend {
        backend: String,
        change: BackendChange,
    },
    /// Shows the backends that the flows of a lost node find on the others.
    WhatIfNodeLost(String),
    /// Shows the effect of applying the manifests of the flag --filename.
    Diff,
    /// Requests a full sync from the agents.
    Sync,
    /// Makes the removals of the hold with this ID now.
    Accept(String),
    SetAdminState {
        backend: String,
        state: AdminState,
    },
    /// Pauses a Backend and waits until it has no flows.
    DrainBackend(String),
    /// The same for the Backends with an address of a Node, and the Node in pools of Services.
    DrainNode(String),
    /// Ends the drain of a Node.
    UndrainNode(String),
    SetWeight {
        frontend: String,
        pool: String,
        backend: String,
        /// 0–100.
        weight: u8,
    },
    Crds,
    /// Prints a completion script.
    Completion(Shell),
    /// In the shell: lists the commands.
    Help,
    /// In the shell: ends it.
    Exit,
}

/// A change that `whatif` asks about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackendChange {
    Up,
    Down,
    AdminState(AdminState),
    Weight {
        /// 0–100.
        weight: u8,
        /// All Frontends if absent.
        frontend: Option<String>,
    },
}

/// The filter of `watch events`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch {
    /// Number of events to stop after.
    pub(crate) num: Option<u64>,
    /// All events, not only transitions.
    pub(crate) log: bool,
    /// Minimum level.
    pub(crate) level: Level,
    /// Transitions of Backends.
    pub(crate) backend: bool,
    /// Transitions of Frontends.
    pub(crate) frontend: bool,
}

/// Shells with a completion script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shell {
    Bash,
    Fish,
    Zsh,
}
