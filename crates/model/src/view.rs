//! One agent's state at one moment, as everybody outside of the agent sees it: the sum of its changes.
//!
//! The bus keeps one and hands out copies; a copy shares its maps, so it costs microseconds. Whoever follows an
//! agent keeps another and folds the same changes into it.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use imbl::{OrdMap, OrdSet};
use jiff::Timestamp;

use super::{
    actual::{Actual, ActualConf, VppVip},
    change::{Change, ConfigDelta, Fold, Hold, Problems, Report, VipState, VppInfo},
    config::{AdminState, Backend, Check, Frontend, HealthCheck, Kind, NodeConfig, Standing},
    event::FrontendState,
    health::{BackendHealth, BackendState, HealthSnapshot, ProbeCode},
    name::Name,
    vip::Family,
    weights::{ActivePool, Effective, effective},
};

/// One agent's state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// Every HealthCheck that is readable.
    pub health_checks: OrdMap<Name, Arc<HealthCheck>>,
    /// Every Backend that is readable.
    pub backends: OrdMap<Name, Arc<Backend>>,
    /// Every Frontend whose claim is known.
    pub frontends: OrdMap<Name, Arc<Frontend>>,
    /// The node's settings; `None` before everything was listed.
    pub node: Option<Arc<NodeConfig>>,
    /// Some Frontend's claim is unreadable: nothing is removed meanwhile.
    pub claims_unknown: bool,
    /// Objects with problems.
    pub problems: OrdMap<(Kind, Name), Problems>,
    /// The backends' health.
    pub health: HealthSnapshot,
    /// The Frontends' states; one without an entry is unknown.
    pub states: OrdMap<Name, StateSince>,
    /// The Frontends' active pools as reported; no entry before the first report, and none from an agent of an older
    /// release.
    pub active_pools: OrdMap<Name, ActivePool>,
    /// How far the node is with each Frontend.
    pub reports: OrdMap<Name, Report>,
    /// VPP, while there is a session with it.
    pub vpp: Option<VppView>,
    /// Removals that wait, by the hold's id.
    pub holds: OrdMap<Arc<str>, Hold>,
    /// How syncing goes.
    pub sync: SyncView,
}

/// A Frontend's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateSince {
    /// The state.
    pub state: FrontendState,
    /// Since when.
    pub since: Timestamp,
    /// The code of the backend that moved it.
    pub code: Option<ProbeCode>,
}

/// VPP as an agent has it.
#[derive(Clone, Debug, PartialEq)]
pub struct VppView {
    /// Which VPP it is.
    pub info: Arc<VppInfo>,
    /// Since when there is a session.
    pub since: Timestamp,
    /// Its own settings; `None` until they were read.
    pub conf: Option<ActualConf>,
    /// Its VIPs.
    pub vips: OrdMap<VppVip, VipState>,
    /// It has no weights (up to 26.06).
    pub weightless: bool,
    /// VIPs that no Frontend claims and that are not ours.
    pub foreign: OrdSet<VppVip>,
}

/// How syncing goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncView {
    /// When the last pass over everything ended.
    pub last_pass: Option<Timestamp>,
    /// How many steps failed in it.
    pub failed_steps: u32,
    /// What went wrong since, where that was not about one VIP.
    pub error: Option<Arc<str>>,
}

impl View {
    /// The weight that VPP has for a server of `vip`; `None` where nothing is known of it.
    pub fn weight_in_vpp(&self, vip: &VppVip, address: IpAddr) -> Option<u8> {
        let vpp = self.vpp.as_ref()?;
        let vip = vpp.vips.get(vip)?;
        vip.servers.get(&address).copied().or(vpp.weightless.then_some(0))
    }

    /// The weights that `frontend`'s servers are to have now. See [`effective`].
    pub fn effective(&self, frontend: &Frontend) -> Effective {
        if matches!(frontend.standing, Standing::Withdrawn(_)) {
            return Effective::default();
        }
        let vip = VppVip::from(frontend.vip);
        effective(&frontend.pools, &self.health, |address| self.weight_in_vpp(&vip, address))
    }

    /// A Frontend's state now.
    pub fn frontend_state(&self, name: &Name) -> FrontendState {
        self.states.get(name).map_or(FrontendState::Unknown, |of| of.state)
    }

    /// What probing knows of a backend. The state belongs to the address: that of another one says nothing.
    pub fn health_of(&self, backend: &Backend) -> Option<&BackendHealth> {
        self.health.backends.get(&backend.name).filter(|health| health.address == backend.address)
    }

    /// A backend's state as people read it: what its operator wants goes before what probes say.
    pub fn backend_state(&self, backend: &Backend) -> BackendState {
        match (backend.admin_state, &backend.check) {
            (AdminState::Paused, _) => BackendState::Paused,
            (AdminState::Disabled, _) => BackendState::Disabled,
            (AdminState::Enabled, Check::None) => BackendState::Up,
            (AdminState::Enabled, _) => match self.health_of(backend).map(|health| health.state) {
                Some(state @ (BackendState::Up | BackendState::Down)) => state,
                // Paused or Disabled here means that probing has not caught up yet.
                _ => BackendState::Unknown,
            },
        }
    }

    /// The problems of an object; none for one that is unknown.
    pub fn problems_of(&self, kind: Kind, name: &Name) -> Option<&Problems> {
        self.problems.get(&(kind, name.clone()))
    }

    fn configure(&mut self, delta: &ConfigDelta) {
        set_all(&mut self.health_checks, &delta.health_checks);
        set_all(&mut self.backends, &delta.backends);
        set_all(&mut self.frontends, &delta.frontends);
        if let Some(node) = &delta.node {
            self.node = Some(Arc::clone(node));
        }
        if let Some(unknown) = delta.claims_unknown {
            self.claims_unknown = unknown;
        }
        for (object, problems) in &delta.problems {
            let some = (!problems.problems.is_empty()).then(|| problems.clone());
            set(&mut self.problems, object, some);
        }
    }

    fn read(&mut self, conf: ActualConf, actual: &Actual) {
        let Some(vpp) = &mut self.vpp else { return };
        vpp.conf = Some(conf);
        vpp.weightless = actual.weightless;
        vpp.vips = actual.vips.iter().map(|(vip, of)| (*vip, VipState::from(of))).collect();
        vpp.foreign = vpp.foreign.iter().filter(|vip| actual.vips.contains_key(vip)).copied().collect();
    }

    fn set_vip(&mut self, vip: VppVip, state: Option<VipState>) {
        let Some(vpp) = &mut self.vpp else { return };
        if state.is_none() {
            vpp.foreign.remove(&vip);
        }
        set(&mut vpp.vips, &vip, state);
    }

    fn set_server(&mut self, vip: VppVip, address: IpAddr, weight: Option<u8>) {
        let Some(of) = self.vpp.as_mut().and_then(|vpp| vpp.vips.get_mut(&vip)) else { return };
        let servers: &mut BTreeMap<IpAddr, u8> = Arc::make_mut(&mut of.servers);
        match weight {
            Some(weight) => servers.insert(address, weight),
            None => servers.remove(&address),
        };
    }
}

impl Fold for View {
    fn reset(&mut self, view: &View) {
        self.clone_from(view);
    }

    fn apply(&mut self, change: &Change, at: Timestamp) {
        match change {
            Change::Config(delta) => self.configure(delta),
            Change::Health(name, health) => set(&mut self.health.backends, name, health.clone()),
            Change::Suspect(Family::V4, active) => self.health.suspect_v4 = *active,
            Change::Suspect(Family::V6, active) => self.health.suspect_v6 = *active,
            Change::Frontend(name, state, code) => {
                self.states.insert(name.clone(), StateSince { state: *state, since: at, code: *code });
            }
            Change::ActivePool(name, pool) => drop(self.active_pools.insert(name.clone(), *pool)),
            Change::Report(name, report) => {
                self.reports.insert(name.clone(), report.clone());
            }
            Change::Forget(name) => {
                self.states.remove(name);
                self.active_pools.remove(name);
                self.reports.remove(name);
            }
            Change::VppConnected(info) => self.vpp = Some(VppView::new(Arc::clone(info), at)),
            Change::VppDisconnected => self.vpp = None,
            Change::VppState(conf, actual) => self.read(*conf, actual),
            Change::VppConf(conf) => {
                if let Some(vpp) = &mut self.vpp {
                    vpp.conf = Some(*conf);
                }
            }
            Change::Vip(vip, state) => self.set_vip(*vip, state.clone()),
            Change::Server(vip, address, weight) => self.set_server(*vip, *address, *weight),
            Change::Foreign(vip) => {
                if let Some(vpp) = &mut self.vpp {
                    vpp.foreign.insert(*vip);
                }
            }
            Change::Held(hold) => {
                self.holds.insert(Arc::clone(&hold.id), hold.clone());
            }
            Change::Released(id) => {
                self.holds.remove(id);
            }
            Change::Synced(failed_steps) => {
                self.sync = SyncView { last_pass: Some(at), failed_steps: *failed_steps, error: None };
            }
            Change::SyncFailed(error) => self.sync.error = Some(Arc::clone(error)),
        }
    }
}

impl VppView {
    fn new(info: Arc<VppInfo>, since: Timestamp) -> Self {
        Self { info, since, conf: None, vips: OrdMap::new(), weightless: false, foreign: OrdSet::new() }
    }
}

fn set<K: Ord + Clone, V: Clone>(map: &mut OrdMap<K, V>, key: &K, value: Option<V>) {
    match value {
        Some(value) => map.insert(key.clone(), value),
        None => map.remove(key),
    };
}

fn set_all<T>(map: &mut OrdMap<Name, Arc<T>>, changed: &[(Name, Option<Arc<T>>)]) {
    for (name, object) in changed {
        set(map, name, object.clone());
    }
}
