//! The published state of one agent: a snapshot, updated with each change.
//!
//! The bus owns the view of its agent and hands out copies, which share their maps and cost microseconds. Clients that
//! mirror the agent apply the same changes to their own copy.

mod sharing;
#[cfg(test)]
mod tests;

use std::{net::IpAddr, sync::Arc};

use imbl::{OrdMap, OrdSet};
use jiff::Timestamp;

use super::{
    actual::{Actual, ActualConf, VppVip},
    change::{Change, ConfigDelta, Problems, Report, SyncHold, VipState, VppInfo},
    config::{Backend, Frontend, HealthCheck, Kind, NodeConfig, Standing},
    drain::Drain,
    frontend_status::FrontendState,
    health::{BackendHealth, BackendState, HealthSnapshot, ProbeCode},
    name::Name,
    path::{PathHealth, PathKey},
    ramp::Ramps,
    server_map::ServerMap,
    vip::Family,
    weights::{ActivePool, EffectiveWeights, effective_weights},
};

/// The published state of one agent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// All readable HealthChecks.
    pub health_checks: OrdMap<Name, Arc<HealthCheck>>,
    /// All readable Backends.
    pub backends: OrdMap<Name, Arc<Backend>>,
    /// All Frontends with a readable claim.
    pub frontends: OrdMap<Name, Arc<Frontend>>,
    /// The settings of the node; `None` before the first complete lists of all kinds.
    pub node: Option<Arc<NodeConfig>>,
    /// True while the claim of some Frontend is unreadable, so that unclaimed VIPs are not removed.
    pub claims_unknown: bool,
    /// The problems of objects; no entry for objects without problems.
    pub problems: OrdMap<(Kind, Name), Problems>,
    /// The health of the Backends.
    pub health: HealthSnapshot,
    /// The drains of Backends that are paused or disabled.
    pub drains: OrdMap<Name, Drain>,
    /// The states of the Frontends. A Frontend without an entry is unknown.
    pub states: OrdMap<Name, StateSince>,
    /// The Frontends' active pools as reported; no entry before the first report, and none from an agent of an older
    /// release.
    pub active_pools: OrdMap<Name, ActivePool>,
    /// The Frontends' ramps in progress; no entry for Frontends without any.
    pub ramps: OrdMap<Name, Ramps>,
    /// The progress of programming each Frontend.
    pub reports: OrdMap<Name, Report>,
    /// The state of VPP; `None` while the agent is not connected to VPP.
    pub vpp: Option<VppView>,
    /// Held mass removals by hold ID.
    pub holds: OrdMap<Arc<str>, SyncHold>,
    /// The progress of full syncs.
    pub sync: SyncView,
}

/// The state of a Frontend and the time of its last change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateSince {
    /// The state.
    pub state: FrontendState,
    /// Time of the last change of state.
    pub since: Timestamp,
    /// The probe code of the Backend that caused the state.
    pub code: Option<ProbeCode>,
}

/// The state of the VPP that an agent is connected to.
#[derive(Clone, Debug, PartialEq)]
pub struct VppView {
    /// Version and process of VPP.
    pub info: Arc<VppInfo>,
    /// Start of the session.
    pub since: Timestamp,
    /// The global settings; `None` before the first dump.
    pub conf: Option<ActualConf>,
    /// The VIPs.
    pub vips: OrdMap<VppVip, VipState>,
    /// True if this VPP has no weights (releases up to 26.06).
    pub weightless: bool,
    /// VIPs that no Frontend claims and that the agent does not own.
    pub foreign: OrdSet<VppVip>,
}

/// The progress of full syncs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncView {
    /// End of the last full sync.
    pub last_pass: Option<Timestamp>,
    /// Number of failed steps in the last full sync.
    pub failed_steps: u32,
    /// The last error since then that concerns the node as a whole rather than one VIP.
    pub error: Option<Arc<str>>,
}

impl View {
    /// A VIP as read back from VPP; `None` if VPP does not have it, or is not connected.
    pub fn vip_in_vpp(&self, vip: &VppVip) -> Option<&VipState> {
        self.vpp.as_ref()?.vips.get(vip)
    }

    /// The weight that VPP has for an application server of `vip`; `None` if VPP does not have the VIP or the application
    /// server.
    pub fn weight_in_vpp(&self, vip: &VppVip, address: IpAddr) -> Option<u8> {
        let vpp = self.vpp.as_ref()?;
        let vip = vpp.vips.get(vip)?;
        vip.servers.get(&address).copied().or(vpp.weightless.then_some(0))
    }

    /// The effective weights of `frontend`, those of servers that ramp at their present step. See [`effective_weights`].
    pub fn effective_weights(&self, frontend: &Frontend) -> EffectiveWeights {
        if matches!(frontend.standing, Standing::Withdrawn(_)) {
            return EffectiveWeights::default();
        }
        let vip = VppVip::from(frontend.vip);
        let mut weights = effective_weights(frontend, &self.health, |address| self.weight_in_vpp(&vip, address));
        if let Some(ramps) = self.ramps.get(&frontend.name) {
            weights.limit_to(ramps);
        }
        weights
    }

    /// The application servers in VPP that no pool of `frontend` names, with their weights: VPP keeps them while their
    /// removal is held. Empty for a withdrawn Frontend, whose VIP belongs to another one.
    pub fn unclaimed_servers(&self, frontend: &Frontend) -> ServerMap<u8> {
        let vip = self.vpp.as_ref().and_then(|vpp| vpp.vips.get(&VppVip::from(frontend.vip)));
        let vip = vip.filter(|_| !matches!(frontend.standing, Standing::Withdrawn(_)));
        let mut servers = vip.map(|vip| vip.servers.clone()).unwrap_or_default();
        for member in frontend.pools.iter().flat_map(|pool| &pool.members) {
            if let Some(address) = member.target.address() {
                servers.remove(&address);
            }
        }
        servers
    }

    /// The current state of a Frontend.
    pub fn frontend_state(&self, name: &Name) -> FrontendState {
        self.states.get(name).map_or(FrontendState::Unknown, |entry| entry.state)
    }

    /// The health of a Backend; `None` if its current address has not been probed.
    pub fn backend_health(&self, backend: &Backend) -> Option<&BackendHealth> {
        self.health.backends.get(&backend.name).filter(|health| health.address == backend.address)
    }

    /// The probed paths of a Frontend, sorted by Backend.
    pub fn frontend_paths(&self, name: &Name) -> impl Iterator<Item = (&PathKey, &PathHealth)> {
        PathKey::of_frontend(&self.health.paths, name)
    }

    /// The probed paths to a Backend, sorted by Frontend.
    pub fn backend_paths(&self, name: &Name) -> impl Iterator<Item = (&PathKey, &PathHealth)> {
        self.health.paths.iter().filter(move |(key, _)| key.backend == *name)
    }

    /// The state of a Backend. The admin state takes precedence over the probes.
    pub fn backend_state(&self, backend: &Backend) -> BackendState {
        backend.probe_mode().state(self.backend_health(backend).map(|health| health.state))
    }

    /// The problems of an object; `None` if the object has none.
    pub fn object_problems(&self, kind: Kind, name: &Name) -> Option<&Problems> {
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
        vpp.vips = actual.vips.iter().map(|(key, vip)| (*key, VipState::from(vip))).collect();
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
        let Some(state) = self.vpp.as_mut().and_then(|vpp| vpp.vips.get_mut(&vip)) else { return };
        match weight {
            Some(weight) => state.servers.insert(address, weight),
            None => state.servers.remove(&address),
        };
    }
}

/// A mirror of an agent's state, or of a part of it: built from a snapshot, then updated with every change in order.
pub trait Fold {
    /// Replaces the state with that of a snapshot.
    fn reset(&mut self, view: &View);
    /// Applies a change that happened at `at`.
    fn apply(&mut self, change: &Change, at: Timestamp);
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
            Change::Path(key, health) => set(&mut self.health.paths, key, health.clone()),
            Change::Drain(name, drain) => set(&mut self.drains, name, drain.clone()),
            Change::Frontend(name, state, code) => {
                self.states.insert(name.clone(), StateSince { state: *state, since: at, code: *code });
            }
            Change::ActivePool(name, pool) => {
                self.active_pools.insert(name.clone(), *pool);
            }
            Change::Ramps(name, ramps) => {
                set(&mut self.ramps, name, (!ramps.is_empty()).then(|| Arc::clone(ramps)));
            }
            Change::Report(name, report) => {
                self.reports.insert(name.clone(), report.clone());
            }
            Change::Forget(name) => {
                self.states.remove(name);
                self.active_pools.remove(name);
                self.ramps.remove(name);
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
    match (value, map.get_mut(key)) {
        // The name stays the shared one.
        (Some(value), Some(stored)) => *stored = value,
        (Some(value), None) => drop(map.insert(key.clone(), value)),
        (None, _) => drop(map.remove(key)),
    }
}

fn set_all<T>(map: &mut OrdMap<Name, Arc<T>>, changed: &[(Name, Option<Arc<T>>)]) {
    for (name, object) in changed {
        set(map, name, object.clone());
    }
}
