//! Everything that happens, as typed events, and the handle through which rooms tell of it.
//!
//! A name, a level and the order of attributes stand once, here; the log, the gRPC stream and the
//! dashboard all print the same words.

mod fields;
mod objects;
mod sink;
mod value;

use std::{net::IpAddr, time::Duration};

pub use self::{
    fields::Visit,
    objects::VisitObject,
    sink::{EventSink, Events},
    value::Value,
};
use super::{
    actual::VppVip,
    config::Kind,
    health::{BackendState, ProbeCode},
    name::Name,
    plan::Step,
    problem::Reason,
    vip::Family,
};

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For the person who looks closely: every probe, every message.
    Debug,
    /// Something changed.
    Info,
    /// Something is wrong.
    Warn,
    /// A part of the program cannot do its job.
    Error,
}

/// How an event travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Numbered, stored for replay, always built: what a mirror of the state is made of.
    State,
    /// Only for who is watching at that moment; the first to be dropped.
    Probe,
}

/// A VIP as events name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VipRef {
    /// The Frontend; `None` where it is no longer known.
    pub frontend: Option<Name>,
    /// The VIP.
    pub vip: VppVip,
}

/// An application server of a VIP as events name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AsRef {
    /// The VIP.
    pub vip: VipRef,
    /// The Backend; `None` where it is no longer known.
    pub backend: Option<Name>,
    /// The application server's address.
    pub address: IpAddr,
}

/// Which part of VPP a pass was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything.
    All,
    /// One address.
    Address(IpAddr),
}

/// What a pass changed.
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
    /// Whether anything changed.
    pub fn any(self) -> bool {
        self != Self::default()
    }

    /// Counts a step that VPP carried out.
    pub fn count(&mut self, step: &Step) {
        match step {
            Step::AddVip { .. } => self.vip_added += 1,
            Step::RemoveVip { .. } => self.vip_removed += 1,
            Step::AddAs { .. } => self.as_added += 1,
            Step::RemoveAs { .. } => self.as_removed += 1,
            Step::SetWeight { .. } => self.as_weight_updated += 1,
        }
    }

    /// Adds what another part of the same pass changed.
    pub fn add(&mut self, other: Self) {
        self.vip_added += other.vip_added;
        self.vip_removed += other.vip_removed;
        self.as_added += other.as_added;
        self.as_removed += other.as_removed;
        self.as_weight_updated += other.as_weight_updated;
    }
}

/// A Frontend's state on this node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FrontendState {
    /// No backend is in a known state yet.
    #[default]
    Unknown,
    /// Some backend has an effective weight above 0.
    Up,
    /// None has.
    Down,
}

impl FrontendState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Unknown, Self::Up, Self::Down];

    /// The word that events print.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// How far a node is with a Frontend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProgramResult {
    /// Not there yet.
    Pending,
    /// Read back from VPP as wanted.
    Programmed,
    /// Left as VPP has it.
    Held,
    /// VPP refused, or something that the node needs is missing.
    Failed,
}

impl ProgramResult {
    /// Every result.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Programmed, Self::Held, Self::Failed];

    /// The word that status and events print.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Programmed => "Programmed",
            Self::Held => "Held",
            Self::Failed => "Failed",
        }
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the fields are the attributes that docs/events.md explains")]
pub enum Event {
    /// A session with VPP was opened.
    VppConnect { version: String, build_date: String, pid: u32, api: String, stats: String, capabilities: String },
    /// A try to open one failed; a warning once a minute (`warn`).
    VppConnectFailed { err: String, warn: bool },
    /// The session is over, and with it everything known about VPP.
    VppDisconnect { reason: String },
    /// What VPP had when a session first read it.
    VppLbState { vips: u32, application_servers: u32, sticky_buckets_per_core: u32, flow_timeout: u32 },
    /// VPP's own settings were changed to these.
    VppLbConfSet { ipv4_src: String, ipv6_src: String, sticky_buckets_per_core: u32, flow_timeout: u32 },
    /// A pass begins.
    SyncStart { scope: Scope },
    /// It ended, having changed so much.
    SyncDone { scope: Scope, counts: SyncCounts, duration: Duration },
    /// VPP has a VIP more.
    VipAdded { vip: VipRef, encap: &'static str },
    /// VPP has a VIP less.
    VipRemoved { vip: VipRef, encap: &'static str },
    /// A VIP was removed and added again, because of `reason`; its servers too.
    VipRecreate { vip: VipRef, encap: &'static str, reason: String },
    /// A VIP has an application server more.
    AsAdded { of: AsRef, weight: u8, flush: bool },
    /// A VIP has an application server less.
    AsRemoved { of: AsRef, weight: u8, flush: bool },
    /// An application server's weight was set, or its flows were flushed.
    AsWeightUpdated { of: AsRef, from: u8, to: u8, flush: bool },
    /// VPP refused a step, or did not answer it; it is tried again.
    SyncError { vip: Option<VipRef>, step: &'static str, err: String },
    /// Too many removals at once: they wait until `until`.
    SyncHeld { hold: String, removals: u32, until: String },
    /// The hold has ended: its removals go now, or are not asked for any more.
    SyncReleased { hold: String },
    /// VPP has a VIP that nobody here put there.
    ForeignVip { vip: VppVip },
    /// It is the path of the probes that fails (`active`), or it works again.
    ProbePathSuspect { family: Family, active: bool },
    /// A Backend came into another state, by a probe with `code` or by its operator.
    BackendTransition { name: Name, from: BackendState, to: BackendState, code: Option<ProbeCode> },
    /// A Frontend came into another state; `code` is that of the Backend that moved it.
    FrontendTransition { name: Name, from: FrontendState, to: FrontendState, code: Option<ProbeCode> },
    /// A probe begins.
    ProbeStart { backend: Name, kind: &'static str },
    /// It was answered, or its time was up.
    ProbeDone { backend: Name, kind: &'static str, code: ProbeCode, duration: Duration },
    /// A request to VPP.
    VppApiSend { msg: &'static str },
    /// VPP's answer.
    VppApiRecv { msg: &'static str },
    /// An object is in effect as of this generation.
    ConfigApplied { kind: Kind, name: Name, generation: i64 },
    /// The first list of a kind is in effect.
    ConfigListed { kind: Kind, count: u32 },
    /// An object is gone.
    ConfigRemoved { kind: Kind, name: Name },
    /// Something is wrong with an object; `message` says what and what happens meanwhile.
    ConfigRejected { kind: Kind, name: Name, generation: i64, field: String, reason: Reason, message: String },
    /// How far the node is with a Frontend.
    FrontendProgrammed { name: Name, generation: i64, result: ProgramResult, reason: String },
}

impl Event {
    /// The event's name.
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

    /// How much it matters.
    pub fn level(&self) -> Level {
        match self {
            Self::VppConnectFailed { warn: true, .. }
            | Self::VppDisconnect { .. }
            | Self::SyncError { .. }
            | Self::SyncHeld { .. }
            | Self::ForeignVip { .. }
            | Self::ProbePathSuspect { .. }
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

    /// How it travels.
    pub fn lane(&self) -> Lane {
        match self {
            Self::ProbeStart { .. } | Self::ProbeDone { .. } | Self::VppApiSend { .. } | Self::VppApiRecv { .. } => {
                Lane::Probe
            }
            _ => Lane::State,
        }
    }
}
