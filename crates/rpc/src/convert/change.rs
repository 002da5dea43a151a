//! Changes of the state.

use std::sync::Arc;

use super::{
    Malformed,
    drain::{drain_change, read_drain_change},
    enums::{code, read_code},
    path::{path, read_path},
    ramp::{frontend_ramps, read_frontend_ramps},
    scalar::{number, read_address},
    vpp::{lb_state, read_id, read_lb_state, read_vip, vip},
};
use crate::proto::{self, change::Kind};
use maglev_model::{
    change::{Change, ConfigDelta},
    health::BackendHealth,
    name::Name,
};

impl From<&Change> for proto::Change {
    fn from(change: &Change) -> Self {
        Self { kind: Some(change.into()) }
    }
}

impl From<&Change> for Kind {
    fn from(change: &Change) -> Self {
        match change {
            Change::Config(delta) => Self::Config((&**delta).into()),
            Change::Health(name, health) => {
                Self::Health(proto::HealthChange { name: name.to_string(), health: health.as_ref().map(Into::into) })
            }
            Change::Suspect(family, active) => {
                Self::Suspect(proto::SuspectChange { family: proto::Family::from(*family).into(), active: *active })
            }
            Change::Path(key, health) => Self::Path(path(key, health.as_ref())),
            Change::Drain(name, drain) => Self::Drain(drain_change(name, drain.as_ref())),
            Change::Frontend(name, state, probe_code) => Self::Frontend(proto::FrontendChange {
                name: name.to_string(),
                state: proto::FrontendState::from(*state).into(),
                code: code(*probe_code),
            }),
            Change::ActivePool(name, pool) => {
                Self::ActivePool(proto::ActivePoolChange { name: name.to_string(), pool: Some((*pool).into()) })
            }
            Change::Ramps(name, ramps) => Self::Ramps(frontend_ramps(name, ramps)),
            Change::Report(name, report) => {
                Self::Report(proto::ReportChange { name: name.to_string(), report: Some(report.into()) })
            }
            Change::Forget(name) => Self::Forget(name.to_string()),
            Change::VppConnected(info) => Self::VppConnected((&**info).into()),
            Change::VppDisconnected => Self::VppDisconnected(proto::VppDisconnected {}),
            Change::VppState(conf, actual) => Self::VppState(lb_state(*conf, actual)),
            Change::VppConf(conf) => Self::VppConf((*conf).into()),
            Change::Vip(id, Some(state)) => Self::Vip(vip(*id, state)),
            Change::Vip(id, None) => Self::VipGone((*id).into()),
            Change::Server(id, address, weight) => Self::Server(proto::ServerChange {
                vip: Some((*id).into()),
                address: address.to_string(),
                weight: weight.map(Into::into),
            }),
            Change::Foreign(id) => Self::Foreign((*id).into()),
            Change::Held(hold) => Self::Held(hold.into()),
            Change::Released(id) => Self::Released(id.to_string()),
            Change::Synced(failed) => Self::Synced(*failed),
            Change::SyncFailed(error) => Self::SyncFailed(error.to_string()),
        }
    }
}

impl TryFrom<Kind> for Change {
    type Error = Malformed;

    fn try_from(kind: Kind) -> Result<Self, Malformed> {
        Ok(match kind {
            Kind::Config(delta) => Self::Config(Arc::new(ConfigDelta::try_from(delta)?)),
            Kind::Health(change) => {
                Self::Health(Name::from(&*change.name), change.health.map(BackendHealth::try_from).transpose()?)
            }
            Kind::Suspect(change) => Self::Suspect(change.family().try_into()?, change.active),
            Kind::Path(change) => {
                let (key, health) = read_path(change)?;
                Self::Path(key, health)
            }
            Kind::Drain(change) => {
                let (name, drain) = read_drain_change(change)?;
                Self::Drain(name, drain)
            }
            Kind::Frontend(change) => {
                Self::Frontend(Name::from(&*change.name), change.state().try_into()?, read_code(change.code()))
            }
            Kind::ActivePool(change) => {
                Self::ActivePool(Name::from(&*change.name), change.pool.ok_or(Malformed::missing("pool"))?.into())
            }
            Kind::Ramps(change) => {
                let (name, ramps) = read_frontend_ramps(&change)?;
                Self::Ramps(name, ramps)
            }
            Kind::Report(change) => {
                Self::Report(Name::from(&*change.name), change.report.ok_or(Malformed::missing("report"))?.try_into()?)
            }
            Kind::Forget(name) => Self::Forget(Name::from(&*name)),
            Kind::VppConnected(info) => Self::VppConnected(Arc::new(info.into())),
            Kind::VppDisconnected(proto::VppDisconnected {}) => Self::VppDisconnected,
            Kind::VppState(state) => {
                let (conf, actual) = read_lb_state(state)?;
                Self::VppState(conf, Arc::new(actual))
            }
            Kind::VppConf(conf) => Self::VppConf(conf.try_into()?),
            Kind::Vip(vip) => {
                let (id, state) = read_vip(vip)?;
                Self::Vip(id, Some(state))
            }
            Kind::VipGone(id) => Self::Vip(id.try_into()?, None),
            Kind::Server(change) => {
                let weight = change.weight.map(|weight| number(weight, "weight")).transpose()?;
                Self::Server(read_id(change.vip)?, read_address(&change.address, "address")?, weight)
            }
            Kind::Foreign(id) => Self::Foreign(id.try_into()?),
            Kind::Held(hold) => Self::Held(hold.try_into()?),
            Kind::Released(id) => Self::Released(id.into()),
            Kind::Synced(failed) => Self::Synced(failed),
            Kind::SyncFailed(error) => Self::SyncFailed(error.into()),
        })
    }
}
