//! Which Backend or Frontend an event is about.

use super::{AsRef, Event, VipRef};
use crate::{change::Change, config::Kind, name::Name};

/// Takes each object.
pub type VisitObject<'v> = dyn FnMut(Kind, &Name) + 'v;

impl Event {
    /// Hands every object that it names to `visit`.
    pub fn objects(&self, visit: &mut VisitObject<'_>) {
        match self {
            Self::VipAdded { vip, .. } | Self::VipRemoved { vip, .. } | Self::VipRecreate { vip, .. } => {
                vip.objects(visit);
            }
            Self::SyncError { vip, .. } => vip.iter().for_each(|vip| vip.objects(visit)),
            Self::AsAdded { of, .. } | Self::AsRemoved { of, .. } | Self::AsWeightUpdated { of, .. } => {
                of.objects(visit);
            }
            Self::BackendTransition { name, .. }
            | Self::ProbeStart { backend: name, .. }
            | Self::ProbeDone { backend: name, .. } => visit(Kind::Backend, name),
            Self::FrontendTransition { name, .. } | Self::FrontendProgrammed { name, .. } => {
                visit(Kind::Frontend, name);
            }
            Self::ConfigApplied { kind, name, .. }
            | Self::ConfigRemoved { kind, name }
            | Self::ConfigRejected { kind, name, .. } => visit(*kind, name),
            Self::VppConnect { .. }
            | Self::VppConnectFailed { .. }
            | Self::VppDisconnect { .. }
            | Self::VppLbState { .. }
            | Self::VppLbConfSet { .. }
            | Self::SyncStart { .. }
            | Self::SyncDone { .. }
            | Self::SyncHeld { .. }
            | Self::SyncReleased { .. }
            | Self::ForeignVip { .. }
            | Self::ProbePathSuspect { .. }
            | Self::VppApiSend { .. }
            | Self::VppApiRecv { .. }
            | Self::ConfigListed { .. } => {}
        }
    }
}

impl Change {
    /// Hands the object that it is about to `visit`, where it is about one alone.
    pub fn objects(&self, visit: &mut VisitObject<'_>) {
        match self {
            Self::Health(name, _) => visit(Kind::Backend, name),
            Self::Frontend(name, ..) | Self::Report(name, _) | Self::Forget(name) => visit(Kind::Frontend, name),
            _ => {}
        }
    }
}

impl VipRef {
    fn objects(&self, visit: &mut VisitObject<'_>) {
        self.frontend.iter().for_each(|name| visit(Kind::Frontend, name));
    }
}

impl AsRef {
    fn objects(&self, visit: &mut VisitObject<'_>) {
        self.vip.objects(visit);
        self.backend.iter().for_each(|name| visit(Kind::Backend, name));
    }
}
