//! The objects that an event or a change concerns.

use super::{Event, ServerRef, VipRef};
use crate::{change::Change, config::Kind, name::Name, path::PathKey};

/// Called with the kind and the name of each object.
pub type ObjectVisitor<'v> = dyn FnMut(Kind, &Name) + 'v;

impl Event {
    /// Calls `visit` with each object that the event names.
    pub fn objects(&self, visit: &mut ObjectVisitor<'_>) {
        match self {
            Self::VipAdded { vip, .. } | Self::VipRemoved { vip, .. } | Self::VipRecreate { vip, .. } => {
                vip.objects(visit);
            }
            Self::SyncError { vip, .. } => vip.iter().for_each(|vip| vip.objects(visit)),
            Self::AsAdded { server, .. } | Self::AsRemoved { server, .. } | Self::AsWeightUpdated { server, .. } => {
                server.objects(visit);
            }
            Self::BackendTransition { name, .. }
            | Self::DrainTransition { name, .. }
            | Self::DrainDeadline { name, .. }
            | Self::ProbeStart { backend: name, .. }
            | Self::ProbeDone { backend: name, .. } => visit(Kind::Backend, name),
            Self::PathTransition { path, .. } => path.objects(visit),
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
    /// Calls `visit` with the objects that the change concerns, if they are few and known.
    pub fn objects(&self, visit: &mut ObjectVisitor<'_>) {
        match self {
            Self::Health(name, _) | Self::Drain(name, _) => visit(Kind::Backend, name),
            Self::Path(path, _) => path.objects(visit),
            Self::Frontend(name, ..) | Self::Report(name, _) | Self::Forget(name) => visit(Kind::Frontend, name),
            _ => {}
        }
    }
}

impl PathKey {
    fn objects(&self, visit: &mut ObjectVisitor<'_>) {
        visit(Kind::Frontend, &self.frontend);
        visit(Kind::Backend, &self.backend);
    }
}

impl VipRef {
    fn objects(&self, visit: &mut ObjectVisitor<'_>) {
        self.frontend.iter().for_each(|name| visit(Kind::Frontend, name));
    }
}

impl ServerRef {
    fn objects(&self, visit: &mut ObjectVisitor<'_>) {
        self.vip.objects(visit);
        self.backend.iter().for_each(|name| visit(Kind::Backend, name));
    }
}
