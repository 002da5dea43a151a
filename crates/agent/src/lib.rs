//! Reconciles the node's VPP with the configuration and the health of the backends.
//!
//! ```text
//! config ─┐                          ┌─ SyncSession (one session with VPP)
//! health ─┴▶ AgentState: Inputs,     │   cached VPP state ◀─ dump
//!            Flushes, Warmup,       ─┴▶  plan per address ─▶ steps ─▶ events
//!            OwnedVips, Reports
//! ```
//!
//! One task ([`Agent`]) owns all of this. It never gives up: without VPP it reconnects, without the API server it
//! continues with the last configuration, and when it ends, VPP keeps its state.

mod agent;
mod config_delay;
mod dataplane;
mod disruption_guard;
mod drains;
mod flow_accounting;
mod handle;
mod held_servers;
mod inputs;
mod lock;
mod mass_removal_guard;
mod metrics;
mod options;
mod owned_vips;
mod plan_job;
mod ramps;
mod recreates;
mod reports;
mod session_manager;
mod state;
mod stats;
mod status;
mod sync_session;
mod turn_budget;
mod warmup;
mod withdraw;

pub use self::{
    agent::Agent,
    dataplane::{DataplaneError, VppConnector},
    flow_accounting::Accounting,
    handle::{AgentHandle, SyncRefused},
    lock::{AgentLock, LockError},
    metrics::Metrics,
    options::{AgentError, AgentOptions},
    owned_vips::OwnedVipsError,
    stats::{Publication, VppMetrics},
    status::{AgentStatus, Watchdog},
    warmup::Gate,
    withdraw::{WithdrawError, Withdrawn, withdraw},
};
