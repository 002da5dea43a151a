//! The events of an agent: their names, levels and attributes, and the handle that publishes them.
//!
//! Names, levels and the order of attributes are defined once, here, and documented in `docs/events.md`; the log, the
//! gRPC stream and the dashboard print the same texts. An event that changes the agent's state carries the
//! [`Change`](crate::change::Change) itself ([`Event::change`]), so that event and change cannot contradict each other.

mod change;
mod fields;
mod objects;
mod sink;

use std::{net::IpAddr, sync::Arc, time::Duration};

pub use self::{
    fields::FieldVisitor,
    objects::ObjectVisitor,
    sink::{EventSink, Events},
};
use super::{
    actual::{Actual, ActualConf, VppVip},
    change::{Report, SyncHold, VipState, VppInfo},
    config::Kind,
    drain::{Drain, DrainState, OnDeadline},
    health::{BackendHealth, BackendState, ProbeCode},
    name::Name,
    path::{PathHealth, PathKey, PathState},
    plan::Step,
    problem::Reason,
    vip::Family,
};
pub use super::{
    frontend_status::{FrontendState, ProgramResult},
    value::Value,
};

/// The severity of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Details for troubleshooting: every probe and every message.
    Debug,
    /// A change of state.
    Info,
    /// A fault or a problem with an object.
    Warn,
    /// A part of the program cannot work.
    Error,
}

/// The delivery class of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Numbered and kept for replay. Mirrors of the agent's state are built from this lane.
    State,
    /// Delivered only to current subscribers; dropped first under overload.
    Probe,
}

/// A VIP as named by events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VipRef {
    /// The Frontend; `None` if it was deleted.
    pub frontend: Option<Name>,
    /// The identity of the VIP in VPP.
    pub vip: VppVip,
}

/// An application server of a VIP as named by events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerRef {
    /// The VIP.
    pub vip: VipRef,
    /// The Backend; `None` if it was deleted.
    pub backend: Option<Name>,
    /// The address of the application server.
    pub address: IpAddr,
}

/// The part of VPP that a sync covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All VIPs (a full sync).
    All,
    /// The VIPs on one address.
    Address(IpAddr),
}

/// The number of changes of each kind that a sync made in VPP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncCounts {
    /// VIPs added.
    pub vip_added: u32,
    /// VIPs removed.
    pub vip_removed: u32,
    /// Application servers added.
    pub as_added: u32,
    /// Application servers removed.
    pub as_removed: u32,
    /// Weights set.
    pub as_weight_updated: u32,
}

impl SyncCounts {
    /// True if the sync changed anything.
    pub fn any(self) -> bool {
        self != Self::default()
    }

    /// Counts a step that VPP executed.
    pub fn count(&mut self, step: &Step) {
        match step {
            Step::AddVip { .. } => self.vip_added += 1,
            Step::RemoveVip { .. } => self.vip_removed += 1,
            Step::AddAs { .. } => self.as_added += 1,
            Step::RemoveAs { .. } => self.as_removed += 1,
            Step::SetWeight { .. } => self.as_weight_updated += 1,
        }
    }

    /// Adds the counts of another part of the same sync.
    pub fn add(&mut self, other: Self) {
        self.vip_added += other.vip_added;
        self.vip_removed += other.vip_removed;
        self.as_added += other.as_added;
        self.as_removed += other.as_removed;
        self.as_weight_updated += other.as_weight_updated;
    }
}

/// The effect of a sync on flows, computed from the new-flow tables before and after.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SyncFlows {
    /// The largest share of buckets of a VIP that moved, in percent, 0–100 ([`TableChange`]); `None` if it is unknown.
    ///
    /// [`TableChange`]: super::table_change::TableChange
    pub buckets_moved: Option<f64>,
    /// The number of tracked flows that VPP forgets because of a flush or a removal, at most; `None` if it is unknown.
    pub flushed: Option<u32>,
}

/// The reason for the end of a removal hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldEnd {
    /// An operator accepted the changes.
    Accepted,
    /// The time of the hold has passed.
    Expired,
    /// Nothing is left to hold: every removal was restored, or made by another client; or the change was taken back, or
    /// the disruption budget allows it now.
    Obsolete,
}

impl HoldEnd {
    /// The spelling in events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Expired => "expired",
            Self::Obsolete => "obsolete",
        }
    }
}

/// An event of an agent.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "docs/events.md explains the fields: they are the attributes")]
pub enum Event {
    /// A session with VPP was opened.
    VppConnect { info: Arc<VppInfo>, api: String, stats: String },
    /// An attempt to open a session failed. `warn` is set at most once a minute.
    VppConnectFailed { error: String, warn: bool },
    /// The session with VPP ended.
    VppDisconnect { reason: String },
    /// The state of VPP was read for the first time in a session.
    VppLbState { conf: ActualConf, actual: Arc<Actual> },
    /// The global settings of VPP were written.
    VppLbConfSet { conf: ActualConf },
    /// A sync started.
    SyncStart { scope: Scope },
    /// A sync ended. `failed` is the number of failed steps.
    SyncDone { scope: Scope, counts: SyncCounts, failed: u32, duration: Duration, flows: SyncFlows },
    /// A VIP was added to VPP.
    VipAdded { vip: VipRef, state: VipState },
    /// A VIP was removed from VPP.
    VipRemoved { vip: VipRef, encap: &'static str },
    /// A VIP was removed and added again because of `reason`, together with its application servers. `state` is the
    /// result; `None` if the VIP has been removed since.
    VipRecreate { vip: VipRef, encap: &'static str, reason: String, state: Option<VipState> },
    /// An application server was added to a VIP.
    AsAdded { server: ServerRef, weight: u8, flush: bool },
    /// An application server was removed from a VIP. `weight` is its previous weight.
    AsRemoved { server: ServerRef, weight: u8, flush: bool },
    /// The weight of an application server was set, or its flows were flushed.
    AsWeightUpdated { server: ServerRef, from: u8, to: u8, flush: bool },
    /// VPP rejected a step or did not reply; the step is retried. Without `vip`, the error concerns the whole node.
    SyncError { vip: Option<VipRef>, step: &'static str, error: String },
    /// A mass removal or a change of the configuration is held back.
    SyncHeld { hold: SyncHold },
    /// A hold ended: its changes are made now, or are no longer needed.
    SyncReleased { hold: Arc<str>, by: HoldEnd },
    /// VPP has a VIP that no Frontend claims and that the agent did not add.
    ForeignVip { vip: VppVip },
    /// All probes of an IP family fail at once (`active`), or this condition ended.
    ProbePathSuspect { family: Family, active: bool },
    /// The state of a Backend changed to `health.state`, by a probe with `code` or by an operator.
    BackendTransition { name: Name, from: BackendState, code: Option<ProbeCode>, health: BackendHealth },
    /// The state of the drain of a Backend changed to `drain.state`. `from` is absent when the drain starts.
    DrainTransition { name: Name, from: Option<DrainState>, drain: Drain },
    /// The deadline of the drain of a Backend has passed while flows may be left in `vips` VIPs: they are flushed now, or
    /// stay.
    DrainDeadline { name: Name, action: OnDeadline, vips: u32 },
    /// The state of a path changed to `health.state`, by a probe.
    PathTransition { path: PathKey, from: PathState, health: PathHealth },
    /// The state of a Frontend changed. `code` is the probe result of the Backend that caused the change.
    FrontendTransition { name: Name, from: FrontendState, to: FrontendState, code: Option<ProbeCode> },
    /// A probe was started.
    ProbeStart { backend: Name, kind: &'static str },
    /// A probe finished or timed out.
    ProbeDone { backend: Name, kind: &'static str, code: ProbeCode, duration: Duration },
    /// A request to VPP was queued.
    VppApiSend { msg: &'static str },
    /// A message from VPP was received.
    VppApiRecv { msg: &'static str },
    /// A new or changed object took effect.
    ConfigApplied { kind: Kind, name: Name, generation: i64 },
    /// The first complete list of a kind took effect.
    ConfigListed { kind: Kind, count: u32 },
    /// An object was deleted.
    ConfigRemoved { kind: Kind, name: Name },
    /// An object has a problem. `message` describes the problem and its consequences.
    ConfigRejected { kind: Kind, name: Name, generation: i64, field: String, reason: Reason, message: String },
    /// The progress of programming a Frontend changed.
    FrontendProgrammed { name: Name, report: Report },
}

impl Event {
    /// The name of the event, in kebab-case.
    pub fn name(&self) -> &'static str {
        match self {
            Self::VppConnect { .. } => "vpp-connect",
            Self::VppConnectFailed { .. } => "vpp-connect-failed",
            Self::VppDisconnect { .. } => "vpp-disconnect",
            Self::VppLbState { .. } => "vpp-lb-state",
            Self::VppLbConfSet { .. } => "vpp-lb-conf-set",
            Self::SyncStart { .. } => "vpp-lb-sync-start",
            Self::SyncDone { .. } => "vpp-lb-sync-done",
            Self::VipAdded { .. } => "vpp-lb-sync-vip-added",
            Self::VipRemoved { .. } => "vpp-lb-sync-vip-removed",
            Self::VipRecreate { .. } => "vpp-lb-sync-vip-recreate",
            Self::AsAdded { .. } => "vpp-lb-sync-as-added",
            Self::AsRemoved { .. } => "vpp-lb-sync-as-removed",
            Self::AsWeightUpdated { .. } => "vpp-lb-sync-as-weight-updated",
            Self::SyncError { .. } => "vpp-lb-sync-error",
            Self::SyncHeld { .. } => "vpp-lb-sync-held",
            Self::SyncReleased { .. } => "vpp-lb-sync-released",
            Self::ForeignVip { .. } => "vpp-foreign-vip",
            Self::ProbePathSuspect { .. } => "probe-path-suspect",
            Self::BackendTransition { .. } => "backend-transition",
            Self::DrainTransition { .. } => "drain-transition",
            Self::DrainDeadline { .. } => "drain-deadline",
            Self::PathTransition { .. } => "path-transition",
            Self::FrontendTransition { .. } => "frontend-transition",
            Self::ProbeStart { .. } => "probe-start",
            Self::ProbeDone { .. } => "probe-done",
            Self::VppApiSend { .. } => "vpp-api-send",
            Self::VppApiRecv { .. } => "vpp-api-recv",
            Self::ConfigApplied { .. } | Self::ConfigListed { .. } => "config-applied",
            Self::ConfigRemoved { .. } => "config-removed",
            Self::ConfigRejected { .. } => "config-rejected",
            Self::FrontendProgrammed { .. } => "frontend-programmed",
        }
    }

    /// The severity of the event.
    pub fn level(&self) -> Level {
        match self {
            Self::VppConnectFailed { warn: true, .. }
            | Self::VppDisconnect { .. }
            | Self::SyncError { .. }
            | Self::SyncHeld { .. }
            | Self::ForeignVip { .. }
            | Self::ProbePathSuspect { .. }
            | Self::DrainDeadline { .. }
            | Self::ConfigRejected { .. } => Level::Warn,
            Self::SyncDone { counts, .. } if counts.any() => Level::Info,
            Self::VppConnectFailed { .. }
            | Self::SyncStart { .. }
            | Self::SyncDone { .. }
            | Self::ProbeStart { .. }
            | Self::ProbeDone { .. }
            | Self::VppApiSend { .. }
            | Self::VppApiRecv { .. } => Level::Debug,
            _ => Level::Info,
        }
    }

    /// The delivery class of the event.
    pub fn lane(&self) -> Lane {
        match self {
            Self::ProbeStart { .. } | Self::ProbeDone { .. } | Self::VppApiSend { .. } | Self::VppApiRecv { .. } => {
                Lane::Probe
            }
            _ => Lane::State,
        }
    }
}
