//! The change of state that an event carries.

use std::sync::Arc;

use super::{Event, Scope};
use crate::change::Change;

impl Event {
    /// The change of the agent's state that the event describes; `None` if the event changes no state.
    pub fn change(&self) -> Option<Change> {
        let change = match self {
            Self::VppConnect { info, .. } => Change::VppConnected(Arc::clone(info)),
            Self::VppDisconnect { .. } => Change::VppDisconnected,
            Self::VppLbState { conf, actual } => Change::VppState(*conf, Arc::clone(actual)),
            Self::VppLbConfSet { conf } => Change::VppConf(*conf),
            Self::SyncDone { scope: Scope::All, failed, .. } => Change::Synced(*failed),
            Self::VipAdded { vip, state } => Change::Vip(vip.vip, Some(state.clone())),
            Self::VipRemoved { vip, .. } => Change::Vip(vip.vip, None),
            Self::VipRecreate { vip, state, .. } => Change::Vip(vip.vip, state.clone()),
            Self::AsAdded { server, weight, .. } => Change::Server(server.vip.vip, server.address, Some(*weight)),
            Self::AsRemoved { server, .. } => Change::Server(server.vip.vip, server.address, None),
            Self::AsWeightUpdated { server, to, .. } => Change::Server(server.vip.vip, server.address, Some(*to)),
            Self::SyncError { vip: None, step, error } => Change::SyncFailed(format!("{step}: {error}").into()),
            Self::SyncHeld { hold } => Change::Held(hold.clone()),
            Self::SyncReleased { hold, .. } => Change::Released(Arc::clone(hold)),
            Self::ForeignVip { vip } => Change::Foreign(*vip),
            Self::ProbePathSuspect { family, active } => Change::Suspect(*family, *active),
            Self::BackendTransition { name, health, .. } => Change::Health(name.clone(), Some(health.clone())),
            Self::DrainTransition { name, drain, .. } => Change::Drain(name.clone(), Some(drain.clone())),
            Self::PathTransition { path, health, .. } => Change::Path(path.clone(), Some(health.clone())),
            Self::FrontendTransition { name, to, code, .. } => Change::Frontend(name.clone(), *to, *code),
            Self::FrontendProgrammed { name, report } => Change::Report(name.clone(), report.clone()),
            Self::VppConnectFailed { .. }
            | Self::SyncStart { .. }
            | Self::SyncDone { scope: Scope::Address(_), .. }
            | Self::SyncError { vip: Some(_), .. }
            | Self::DrainDeadline { .. }
            | Self::ProbeStart { .. }
            | Self::ProbeDone { .. }
            | Self::VppApiSend { .. }
            | Self::VppApiRecv { .. }
            | Self::ConfigApplied { .. }
            | Self::ConfigListed { .. }
            | Self::ConfigRemoved { .. }
            | Self::ConfigRejected { .. } => return None,
        };
        Some(change)
    }
}
