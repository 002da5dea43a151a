//! Everything that happens, as typed events, and the handle through which rooms tell of it.
//!
//! A name, a level and the order of attributes stand once, here; the log, the gRPC stream and the
//! dashboard all print the same words.

use std::{borrow::Cow, fmt, net::IpAddr, sync::Arc, time::Duration};

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

/// A value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// Text.
    Text(Cow<'a, str>),
    /// A whole number.
    Int(i64),
    /// A truth value.
    Bool(bool),
    /// A number with a fraction, such as milliseconds.
    Float(f64),
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Int(number) => number.fmt(f),
            Self::Bool(truth) => truth.fmt(f),
            Self::Float(number) => write!(f, "{number:.3}"),
        }
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<IpAddr> for Value<'_> {
    fn from(address: IpAddr) -> Self {
        Self::Text(Cow::Owned(address.to_string()))
    }
}

impl From<bool> for Value<'_> {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

macro_rules! value_from_integer {
    ($($integer:ty),*) => {$(
        impl From<$integer> for Value<'_> {
            fn from(number: $integer) -> Self {
                Self::Int(i64::from(number))
            }
        }
    )*};
}
value_from_integer!(u8, u16, u32, i32, i64);

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
    #[must_use]
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
    /// The word that events print.
    #[must_use]
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
    /// The word that status and events print.
    #[must_use]
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
#[expect(
    missing_docs,
    reason = "the variants and their fields are the attributes of DESIGN's event table, which docs/ prints"
)]
pub enum Event {
    VppConnect { version: String, build_date: String, pid: u32, api: String, stats: String, capabilities: String },
    VppConnectFailed { err: String, warn: bool },
    VppDisconnect { reason: String },
    VppLbState { vips: u32, application_servers: u32, sticky_buckets_per_core: u32, flow_timeout: u32 },
    VppLbConfSet { ipv4_src: String, ipv6_src: String, sticky_buckets_per_core: u32, flow_timeout: u32 },
    SyncStart { scope: Scope },
    SyncDone { scope: Scope, counts: SyncCounts, duration: Duration },
    VipAdded { vip: VipRef, encap: &'static str },
    VipRemoved { vip: VipRef, encap: &'static str },
    VipRecreate { vip: VipRef, encap: &'static str, reason: String },
    AsAdded { of: AsRef, weight: u8, flush: bool },
    AsRemoved { of: AsRef, weight: u8, flush: bool },
    AsWeightUpdated { of: AsRef, from: u8, to: u8, flush: bool },
    SyncError { vip: Option<VipRef>, step: &'static str, err: String },
    SyncHeld { hold: String, removals: u32, until: String },
    ForeignVip { vip: VppVip },
    ProbePathSuspect { family: Family, active: bool },
    BackendTransition { name: Name, from: BackendState, to: BackendState, code: Option<ProbeCode> },
    FrontendTransition { name: Name, from: FrontendState, to: FrontendState, code: Option<ProbeCode> },
    ProbeStart { backend: Name, kind: &'static str },
    ProbeDone { backend: Name, kind: &'static str, code: ProbeCode, duration: Duration },
    VppApiSend { msg: &'static str },
    VppApiRecv { msg: &'static str },
    ConfigApplied { kind: Kind, name: Name, generation: i64 },
    ConfigListed { kind: Kind, count: u32 },
    ConfigRemoved { kind: Kind, name: Name },
    ConfigRejected { kind: Kind, name: Name, generation: i64, field: String, reason: Reason, message: String },
    FrontendProgrammed { name: Name, generation: i64, result: ProgramResult, reason: String },
}

/// Takes each attribute in order.
pub type Visit<'v> = dyn FnMut(&'static str, Value<'_>) + 'v;

impl Event {
    /// The event's name.
    #[must_use]
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
    #[must_use]
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
    #[must_use]
    pub fn lane(&self) -> Lane {
        match self {
            Self::ProbeStart { .. } | Self::ProbeDone { .. } | Self::VppApiSend { .. } | Self::VppApiRecv { .. } => {
                Lane::Probe
            }
            _ => Lane::State,
        }
    }

    /// Hands every attribute to `visit`, in the documented order. One that is not known is left out.
    pub fn fields(&self, visit: &mut Visit<'_>) {
        match self {
            Self::VppConnect { version, build_date, pid, api, stats, capabilities } => {
                visit("version", version.as_str().into());
                visit("build-date", build_date.as_str().into());
                visit("pid", (*pid).into());
                visit("api", api.as_str().into());
                visit("stats", stats.as_str().into());
                visit("capabilities", capabilities.as_str().into());
            }
            Self::VppConnectFailed { err, .. } => visit("err", err.as_str().into()),
            Self::VppDisconnect { reason } => visit("reason", reason.as_str().into()),
            Self::VppLbState { vips, application_servers, sticky_buckets_per_core, flow_timeout } => {
                visit("vips", (*vips).into());
                visit("application-servers", (*application_servers).into());
                visit("sticky-buckets-per-core", (*sticky_buckets_per_core).into());
                visit("flow-timeout", (*flow_timeout).into());
            }
            Self::VppLbConfSet { ipv4_src, ipv6_src, sticky_buckets_per_core, flow_timeout } => {
                visit("ipv4-src", ipv4_src.as_str().into());
                visit("ipv6-src", ipv6_src.as_str().into());
                visit("sticky-buckets-per-core", (*sticky_buckets_per_core).into());
                visit("flow-timeout", (*flow_timeout).into());
            }
            Self::SyncStart { scope } => scope.fields(visit),
            Self::SyncDone { scope, counts, duration } => {
                scope.fields(visit);
                visit("vip-added", counts.vip_added.into());
                visit("vip-removed", counts.vip_removed.into());
                visit("as-added", counts.as_added.into());
                visit("as-removed", counts.as_removed.into());
                visit("as-weight-updated", counts.as_weight_updated.into());
                visit("duration-ms", milliseconds(*duration));
            }
            Self::VipAdded { vip, encap } | Self::VipRemoved { vip, encap } => {
                vip.fields(visit);
                visit("encap", (*encap).into());
            }
            Self::VipRecreate { vip, encap, reason } => {
                vip.fields(visit);
                visit("encap", (*encap).into());
                visit("reason", reason.as_str().into());
            }
            Self::AsAdded { of, weight, flush } | Self::AsRemoved { of, weight, flush } => {
                of.fields(visit);
                visit("weight", (*weight).into());
                visit("flush", (*flush).into());
            }
            Self::AsWeightUpdated { of, from, to, flush } => {
                of.fields(visit);
                visit("from", (*from).into());
                visit("to", (*to).into());
                visit("flush", (*flush).into());
            }
            Self::SyncError { vip, step, err } => {
                if let Some(vip) = vip {
                    vip.name_and_address(visit);
                }
                visit("step", (*step).into());
                visit("err", err.as_str().into());
            }
            Self::SyncHeld { hold, removals, until } => {
                visit("hold", hold.as_str().into());
                visit("removals", (*removals).into());
                visit("until", until.as_str().into());
            }
            Self::ForeignVip { vip } => {
                visit("vip", format!("{}/{}", vip.address, vip.length).into());
                visit("protocol", vip.protocol_text());
                visit("port", vip.port.into());
            }
            Self::ProbePathSuspect { family, active } => {
                visit("family", family.as_str().into());
                visit("active", (*active).into());
            }
            Self::BackendTransition { name, from, to, code } => {
                transition(visit, name, from.as_str(), to.as_str(), *code);
            }
            Self::FrontendTransition { name, from, to, code } => {
                transition(visit, name, from.as_str(), to.as_str(), *code);
            }
            Self::ProbeStart { backend, kind } => {
                visit("backend", backend.as_str().into());
                visit("type", (*kind).into());
            }
            Self::ProbeDone { backend, kind, code, duration } => {
                visit("backend", backend.as_str().into());
                visit("type", (*kind).into());
                visit("code", code.as_str().into());
                visit("result", if code.is_success() { "success" } else { "failure" }.into());
                visit("duration-ms", milliseconds(*duration));
            }
            Self::VppApiSend { msg } | Self::VppApiRecv { msg } => visit("msg", (*msg).into()),
            Self::ConfigApplied { kind, name, generation } => {
                object(visit, *kind, name);
                visit("generation", (*generation).into());
            }
            Self::ConfigListed { kind, count } => {
                visit("kind", kind.as_str().into());
                visit("count", (*count).into());
            }
            Self::ConfigRemoved { kind, name } => object(visit, *kind, name),
            Self::ConfigRejected { kind, name, generation, field, reason, message } => {
                object(visit, *kind, name);
                visit("generation", (*generation).into());
                visit("field", field.as_str().into());
                visit("reason", reason.as_str().into());
                visit("message", message.as_str().into());
            }
            Self::FrontendProgrammed { name, generation, result, reason } => {
                visit("name", name.as_str().into());
                visit("generation", (*generation).into());
                visit("result", result.as_str().into());
                if !reason.is_empty() {
                    visit("reason", reason.as_str().into());
                }
            }
        }
    }
}

impl Scope {
    fn fields(self, visit: &mut Visit<'_>) {
        match self {
            Self::All => visit("scope", "all".into()),
            Self::Address(address) => visit("scope", address.into()),
        }
    }
}

impl VipRef {
    fn name_and_address(&self, visit: &mut Visit<'_>) {
        if let Some(frontend) = &self.frontend {
            visit("frontend", frontend.as_str().into());
        }
        match self.vip.is_host() {
            true => visit("vip", self.vip.address.into()),
            false => visit("vip", format!("{}/{}", self.vip.address, self.vip.length).into()),
        }
    }

    fn fields(&self, visit: &mut Visit<'_>) {
        self.name_and_address(visit);
        visit("protocol", self.vip.protocol_text());
        visit("port", self.vip.port.into());
    }
}

impl AsRef {
    fn fields(&self, visit: &mut Visit<'_>) {
        self.vip.fields(visit);
        if let Some(backend) = &self.backend {
            visit("backend", backend.as_str().into());
        }
        visit("as", self.address.into());
    }
}

fn transition(visit: &mut Visit<'_>, name: &Name, from: &'static str, to: &'static str, code: Option<ProbeCode>) {
    visit("name", name.as_str().into());
    visit("from", from.into());
    visit("to", to.into());
    if let Some(code) = code {
        visit("code", code.as_str().into());
    }
}

fn object(visit: &mut Visit<'_>, kind: Kind, name: &Name) {
    visit("kind", kind.as_str().into());
    visit("name", name.as_str().into());
}

fn milliseconds(duration: Duration) -> Value<'static> {
    Value::Float(duration.as_secs_f64() * 1000.0)
}

/// Where events go; made by `telemetry`, or by a test that collects them.
pub trait EventSink: Send + Sync {
    /// Whether anybody listens to the probe lane now: one atomic load.
    fn wants_probes(&self) -> bool;
    /// Takes an event. Never blocks.
    fn publish(&self, event: Event);
}

/// The handle through which a room tells what happens. A clone is cheap.
#[derive(Clone)]
pub struct Events(Arc<dyn EventSink>);

impl Events {
    /// A handle that publishes to `sink`.
    #[must_use]
    pub fn new(sink: Arc<dyn EventSink>) -> Self {
        Self(sink)
    }

    /// A handle whose events nobody sees, for tools and tests.
    #[must_use]
    pub fn discard() -> Self {
        Self(Arc::new(Discard))
    }

    /// Tells of a change of state: always built, whoever listens.
    pub fn emit(&self, event: Event) {
        self.0.publish(event);
    }

    /// Tells of something on the probe lane; `event` is not built when nobody listens.
    pub fn emit_probe(&self, event: impl FnOnce() -> Event) {
        if self.0.wants_probes() {
            self.0.publish(event());
        }
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events")
    }
}

struct Discard;

impl EventSink for Discard {
    fn wants_probes(&self) -> bool {
        false
    }

    fn publish(&self, _: Event) {}
}
