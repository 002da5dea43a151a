//! The complete state.

use std::{collections::BTreeSet, sync::Arc};

use imbl::OrdMap;

use super::{
    Malformed, Resolver,
    config::{References, object_problems, read_object_problems},
    drain::{drain_change, read_drains},
    enums::{code, read_code},
    path::{path, read_paths},
    ramp::{frontend_ramps, read_frontend_ramps},
    scalar::{read_time, time},
    vpp::{read_vip, servers, vip},
};
use crate::{proto, weights};
use maglev_model::{
    actual::{ActualConf, VppVip},
    change::{Report, SyncHold, VppInfo},
    config::{Frontend, NodeConfig},
    health::BackendHealth,
    name::Name,
    view::{StateSince, SyncView, View, VppView},
    weights::ActivePool,
};

/// The message of GetState.
pub fn state(view: &View) -> proto::State {
    let mut references =
        References::new(|name| view.health_checks.contains_key(name), |name| view.backends.contains_key(name));
    view.backends.values().for_each(|backend| references.add_backend(backend));
    view.frontends.values().for_each(|frontend| references.add_frontend(frontend));
    proto::State {
        referenced: references.into_message(),
        health_checks: view.health_checks.values().map(|check| (&**check).into()).collect(),
        backends: backend_names(view).into_iter().map(|name| backend_status(view, name)).collect(),
        frontends: frontend_names(view).into_iter().map(|name| frontend_status(view, name)).collect(),
        node: view.node.as_deref().map(proto::NodeConfig::from),
        claims_unknown: view.claims_unknown,
        problems: view.problems.iter().map(|(object, problems)| object_problems(object, problems)).collect(),
        suspect_ipv4: view.health.suspect_v4,
        suspect_ipv6: view.health.suspect_v6,
        paths: view.health.paths.iter().map(|(key, health)| path(key, Some(health))).collect(),
        drains: view.drains.iter().map(|(name, drain)| drain_change(name, Some(drain))).collect(),
        ramps: view.ramps.iter().map(|(name, ramps)| frontend_ramps(name, ramps)).collect(),
        vpp: view.vpp.as_ref().map(proto::Vpp::from),
        holds: view.holds.values().map(proto::Hold::from).collect(),
        sync: Some((&view.sync).into()),
    }
}

/// Backends that exist or have health.
pub fn backend_names(view: &View) -> BTreeSet<&Name> {
    view.backends.keys().chain(view.health.backends.keys()).collect()
}

/// Frontends that exist or have a state, an active pool or a report.
pub fn frontend_names(view: &View) -> BTreeSet<&Name> {
    let reported = view.states.keys().chain(view.active_pools.keys()).chain(view.reports.keys());
    view.frontends.keys().chain(reported).collect()
}

/// The state of a Backend.
pub fn backend_status(view: &View, name: &Name) -> proto::BackendStatus {
    proto::BackendStatus {
        name: name.to_string(),
        backend: view.backends.get(name).map(|backend| (&**backend).into()),
        health: view.health.backends.get(name).map(Into::into),
        problems: None,
        frontends: Vec::new(),
    }
}

/// The state of a Frontend, with its effective weights.
pub fn frontend_status(view: &View, name: &Name) -> proto::FrontendStatus {
    let frontend = view.frontends.get(name);
    let unclaimed = frontend.map(|frontend| view.unclaimed_servers(frontend)).unwrap_or_default();
    let state = view.states.get(name);
    let (active_pool, frontend) = frontend.map(|frontend| weights::frontend_with_weights(view, frontend)).unzip();
    proto::FrontendStatus {
        name: name.to_string(),
        frontend,
        report: view.reports.get(name).map(Into::into),
        state: state.map_or(proto::FrontendState::Unspecified, |state| state.state.into()).into(),
        since: state.map(|state| time(state.since)),
        code: code(state.and_then(|state| state.code)),
        active_pool: active_pool.flatten(),
        problems: None,
        reported_pool: view.active_pools.get(name).map(|pool| (*pool).into()),
        unclaimed_servers: servers(unclaimed.iter()),
    }
}

impl From<ActivePool> for proto::ActivePool {
    fn from(pool: ActivePool) -> Self {
        match pool {
            ActivePool::None => Self { index: None },
            ActivePool::Index(index) => Self { index: Some(index) },
        }
    }
}

impl From<proto::ActivePool> for ActivePool {
    fn from(pool: proto::ActivePool) -> Self {
        pool.index.map_or(Self::None, Self::Index)
    }
}

impl From<&VppView> for proto::Vpp {
    fn from(VppView { info, since, conf, vips, weightless, foreign }: &VppView) -> Self {
        let lb = proto::LbState {
            conf: conf.map(Into::into),
            vips: vips.iter().map(|(id, state)| vip(*id, state)).collect(),
            weightless: *weightless,
        };
        Self {
            info: Some((&**info).into()),
            since: Some(time(*since)),
            lb: Some(lb),
            foreign: foreign.iter().map(|id| (*id).into()).collect(),
        }
    }
}

impl From<&SyncView> for proto::Sync {
    fn from(SyncView { last_pass, failed_steps, error }: &SyncView) -> Self {
        let error = error.as_ref().map(ToString::to_string);
        Self { last_pass: last_pass.map(time), failed_steps: *failed_steps, error }
    }
}

/// Reads the message of GetState.
pub fn read_state(state: proto::State) -> Result<View, Malformed> {
    let mut view = View { claims_unknown: state.claims_unknown, ..View::default() };
    let mut resolver = Resolver::new(state.referenced)?;
    for check in state.health_checks {
        let check = resolver.health_check(check)?;
        view.health_checks.insert(check.name.clone(), check);
    }
    for status in state.backends {
        read_backend(&mut view, &mut resolver, status)?;
    }
    for status in state.frontends {
        read_frontend(&mut view, &resolver, status)?;
    }
    view.node = state.node.map(NodeConfig::try_from).transpose()?.map(Arc::new);
    view.problems = state.problems.into_iter().map(read_object_problems).collect::<Result<_, _>>()?;
    view.health.suspect_v4 = state.suspect_ipv4;
    view.health.suspect_v6 = state.suspect_ipv6;
    view.health.paths = read_paths(state.paths)?;
    view.drains = read_drains(state.drains)?;
    view.ramps = state.ramps.iter().map(read_frontend_ramps).collect::<Result<_, _>>()?;
    view.vpp = state.vpp.map(VppView::try_from).transpose()?;
    let hold = |hold: proto::Hold| SyncHold::try_from(hold).map(|hold| (Arc::clone(&hold.id), hold));
    view.holds = state.holds.into_iter().map(hold).collect::<Result<_, _>>()?;
    view.sync = state.sync.unwrap_or_default().try_into()?;
    Ok(view)
}

fn read_backend(view: &mut View, resolver: &mut Resolver, status: proto::BackendStatus) -> Result<(), Malformed> {
    let name = Name::from(&*status.name);
    if let Some(backend) = status.backend {
        view.backends.insert(name.clone(), resolver.backend(backend)?);
    }
    if let Some(health) = status.health {
        view.health.backends.insert(name, BackendHealth::try_from(health)?);
    }
    Ok(())
}

fn read_frontend(view: &mut View, resolver: &Resolver, status: proto::FrontendStatus) -> Result<(), Malformed> {
    let name = Name::from(&*status.name);
    let FrontendParts { frontend, state, active_pool, report } = frontend_parts(resolver, status)?;
    let _ = frontend.and_then(|frontend| view.frontends.insert(name.clone(), frontend));
    let _ = state.and_then(|state| view.states.insert(name.clone(), state));
    let _ = active_pool.and_then(|pool| view.active_pools.insert(name.clone(), pool));
    let _ = report.and_then(|report| view.reports.insert(name, report));
    Ok(())
}

/// The parts of a FrontendStatus.
pub struct FrontendParts {
    pub frontend: Option<Arc<Frontend>>,
    pub state: Option<StateSince>,
    pub active_pool: Option<ActivePool>,
    pub report: Option<Report>,
}

pub fn frontend_parts(resolver: &Resolver, status: proto::FrontendStatus) -> Result<FrontendParts, Malformed> {
    let state = match status.state() {
        proto::FrontendState::Unspecified => None,
        state => Some(StateSince {
            state: state.try_into()?,
            since: read_time(status.since, "since")?,
            code: read_code(status.code()),
        }),
    };
    let frontend = status.frontend.map(|frontend| resolver.frontend(frontend)).transpose()?;
    let active_pool = status.reported_pool.map(ActivePool::from);
    Ok(FrontendParts { frontend, state, active_pool, report: status.report.map(Report::try_from).transpose()? })
}

impl TryFrom<proto::Vpp> for VppView {
    type Error = Malformed;

    fn try_from(vpp: proto::Vpp) -> Result<Self, Malformed> {
        let lb = vpp.lb.unwrap_or_default();
        Ok(Self {
            info: Arc::new(VppInfo::from(vpp.info.unwrap_or_default())),
            since: read_time(vpp.since, "since")?,
            conf: lb.conf.map(ActualConf::try_from).transpose()?,
            vips: lb.vips.into_iter().map(read_vip).collect::<Result<OrdMap<_, _>, _>>()?,
            weightless: lb.weightless,
            foreign: vpp.foreign.into_iter().map(VppVip::try_from).collect::<Result<_, _>>()?,
        })
    }
}

impl TryFrom<proto::Sync> for SyncView {
    type Error = Malformed;

    fn try_from(sync: proto::Sync) -> Result<Self, Malformed> {
        let last_pass = sync.last_pass.map(|at| read_time(Some(at), "last_pass")).transpose()?;
        Ok(Self { last_pass, failed_steps: sync.failed_steps, error: sync.error.map(Into::into) })
    }
}
