//! A summary of one agent's state: a few bytes per Backend and Frontend instead of the whole state.
//!
//! A digest is a [`Fold`] like any mirror, but it outlives its agent: VPP keeps forwarding while maglevd is down or
//! restarts, so each report stays valid until there is a newer one. A restarted agent that has no result yet does not
//! replace a report.

use std::{net::IpAddr, sync::Arc};

use imbl::OrdMap;
use jiff::Timestamp;
use xxhash_rust::xxh64::xxh64;

use super::vip_report::{VipReport, address_hash};
use maglev_model::{
    Name,
    actual::VppVip,
    change::{Change, Report, SyncHold, VppInfo},
    config::{Backend, Frontend, Kind, Revision},
    drain::Drain,
    event::{FrontendState, ProgramResult},
    fingerprint::Fingerprint,
    health::{BackendHealth, BackendState, ProbeCode},
    path::{PathKey, PathState},
    probe_mode::ProbeMode,
    problem::{Problem, Reason},
    view::{Fold, View},
    vip::Family,
    weights::ActivePool,
};

/// The reports of one agent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Digest {
    /// True once the agent has listed all objects. A Frontend without a report then does not exist.
    listed: bool,
    backends: OrdMap<Name, BackendReport>,
    frontends: OrdMap<Name, FrontendReport>,
    vips: OrdMap<VppVip, VipReport>,
    paths: OrdMap<PathKey, PathState>,
    drains: OrdMap<Name, Drain>,
    suspect: [bool; 2],
    vpp: Option<Vpp>,
    holds: OrdMap<Arc<str>, SyncHold>,
    /// Problems of this node with valid objects, such as unreadable certificates or missing capabilities.
    node_problems: OrdMap<(Kind, Name), Arc<[Problem]>>,
    last_pass: Option<Timestamp>,
}

/// Reasons of problems that may differ between nodes.
const NODE_REASONS: [Reason; 10] = [
    Reason::AddressUsedByNode,
    Reason::CertificateNotFound,
    Reason::CertificateForbidden,
    Reason::CertificateUnreadable,
    Reason::CertificateUnknown,
    Reason::SecretNotFound,
    Reason::SecretForbidden,
    Reason::SecretUnreadable,
    Reason::SecretUnknown,
    Reason::MissingCapability,
];

/// The health of a probed address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BackendReport {
    address: u32,
    state: BackendState,
    code: Option<ProbeCode>,
    ever_known: bool,
}

/// The last reports about a Frontend.
#[derive(Clone, Debug, Default, PartialEq)]
struct FrontendReport {
    program: Option<ProgramStatus>,
    state: FrontendState,
    /// `None` before the first report. An agent of an older release never reports it.
    active_pool: Option<ActivePool>,
}

/// The progress of a node with one version of a Frontend.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ProgramStatus {
    id: ProgramId,
    pub result: ProgramResult,
    /// A fixed PascalCase word or VPP's error message; may be empty.
    pub reason: Arc<str>,
}

/// Identifies a version of a Frontend and the configuration that it resolved to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProgramId {
    uid: u64,
    generation: i64,
    fingerprint: Fingerprint,
}

impl ProgramId {
    pub(crate) fn new(frontend: &Frontend) -> Self {
        let Revision { uid, generation } = &frontend.revision;
        let fingerprint = Fingerprint::new(frontend);
        Self { uid: xxh64(uid.as_bytes(), 0), generation: *generation, fingerprint }
    }

    fn from_report(Report { uid, generation, fingerprint, .. }: &Report) -> Self {
        Self { uid: xxh64(uid.as_bytes(), 0), generation: *generation, fingerprint: *fingerprint }
    }

    /// True if both are the same version with the same resolved configuration. Fingerprints of different versions of
    /// the algorithm cannot be compared and are ignored.
    fn matches(&self, other: &Self) -> bool {
        let same_version = (self.uid, self.generation) == (other.uid, other.generation);
        same_version && self.fingerprint.agrees(&other.fingerprint) != Some(false)
    }
}

/// The VPP that an agent is connected to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Vpp {
    pub info: Arc<VppInfo>,
    /// Start of the session.
    pub since: Timestamp,
    /// True if VPP does not support weights; `None` until its state has been read.
    pub weightless: Option<bool>,
}

impl Digest {
    /// The state of `backend` on this node, and the code of the probe that led to it.
    pub(crate) fn backend(&self, backend: &Backend) -> (BackendState, Option<ProbeCode>) {
        let mode = backend.probe_mode();
        let report = self.backends.get(&backend.name);
        let report = report.filter(|report| report.address == address_hash(backend.address));
        let probed = report.filter(|_| matches!(mode, ProbeMode::Probed(_)));
        (mode.state(probed.map(|report| report.state)), probed.and_then(|report| report.code))
    }

    /// The progress with the version `id` of the Frontend `name`; `None` without a report about that version.
    pub(crate) fn program(&self, name: &Name, id: &ProgramId) -> Option<&ProgramStatus> {
        self.frontends.get(name)?.program.as_ref().filter(|program| program.id.matches(id))
    }

    pub(crate) fn frontend_state(&self, name: &Name) -> FrontendState {
        self.frontends.get(name).map_or(FrontendState::Unknown, |report| report.state)
    }

    /// The active pool of the version `id` of the Frontend `name`; `None` without a report about that version.
    pub(crate) fn active_pool(&self, name: &Name, id: &ProgramId) -> Option<ActivePool> {
        self.program(name, id)?;
        self.frontends.get(name)?.active_pool
    }

    /// The last report about each Frontend, of any version.
    pub(crate) fn programs(&self) -> impl Iterator<Item = (&Name, &ProgramStatus)> {
        self.frontends.iter().filter_map(|(name, report)| Some((name, report.program.as_ref()?)))
    }

    /// The probed paths of the Frontend `name`: Backends and states.
    pub(crate) fn paths(&self, name: &Name) -> impl Iterator<Item = (&Name, PathState)> {
        PathKey::of_frontend(&self.paths, name).map(|(key, state)| (&key.backend, *state))
    }

    /// The drain of the Backend `name`, whatever its generation.
    pub(crate) fn drain(&self, name: &Name) -> Option<&Drain> {
        self.drains.get(name)
    }

    /// True while the probe path of `family` is suspect.
    pub(crate) fn suspect(&self, family: Family) -> bool {
        self.suspect[usize::from(family == Family::V6)]
    }

    /// The node's VPP, while there is a session.
    pub(crate) fn vpp(&self) -> Option<&Vpp> {
        self.vpp.as_ref()
    }

    /// The numbers of VIPs and of their application servers in VPP.
    pub(crate) fn counts_in_vpp(&self) -> (usize, usize) {
        (self.vips.len(), self.vips.values().map(VipReport::servers).sum())
    }

    /// A hash of the new-flow table of a VIP in VPP; `None` if VPP does not have it, or did not report the length.
    pub(crate) fn table(&self, vip: &VppVip) -> Option<u64> {
        self.vips.get(vip)?.table()
    }

    /// Problems of this node with an object whose spec is valid.
    pub(crate) fn node_problems(&self, kind: Kind, name: &Name) -> &[Problem] {
        self.node_problems.get(&(kind, name.clone())).map_or(&[], |problems| problems)
    }

    /// The hold of a change of the Frontend.
    pub(crate) fn hold_of_change(&self, frontend: &Name) -> Option<&SyncHold> {
        self.holds().find(|hold| hold.change.as_ref().is_some_and(|change| change.frontend == *frontend))
    }

    /// Removals and changes that are held.
    pub(crate) fn holds(&self) -> impl Iterator<Item = &SyncHold> {
        self.holds.values()
    }

    /// End of the last full sync.
    pub(crate) fn last_pass(&self) -> Option<Timestamp> {
        self.last_pass
    }

    /// Adds the reports of `before` that the agent has not replaced yet.
    pub(crate) fn inherit(&mut self, before: &Self) {
        for (name, old) in &before.frontends {
            let new = self.frontends.get(name).cloned();
            if new.is_some() || !self.listed {
                self.frontends.insert(name.clone(), merge(old, new.unwrap_or_default()));
            }
        }
        for (name, old) in &before.backends {
            if self.backends.get(name).is_none_or(|new| new.is_unprobed(old)) {
                self.backends.insert(name.clone(), *old);
            }
        }
        for (key, old) in &before.paths {
            match self.paths.get(key) {
                Some(PathState::Unknown) => self.set_path(key, Some(*old)),
                None if !self.listed => self.set_path(key, Some(*old)),
                _ => {}
            }
        }
        if !self.listed {
            self.node_problems.clone_from(&before.node_problems);
        }
    }

    /// An unknown state does not replace a known one: the agent has just started, or the settings of the probe changed.
    fn set_path(&mut self, key: &PathKey, state: Option<PathState>) {
        match state {
            None => drop(self.paths.remove(key)),
            Some(PathState::Unknown) if self.paths.contains_key(key) => {}
            Some(state) => drop(self.paths.insert(key.clone(), state)),
        }
    }

    fn set_health(&mut self, name: &Name, health: Option<&BackendHealth>) {
        let Some(health) = health else {
            self.backends.remove(name);
            return;
        };
        let report = BackendReport::from(health);
        if self.backends.get(name).is_some_and(|old| report.is_unprobed(old)) {
            return;
        }
        self.backends.insert(name.clone(), report);
    }

    fn set_node_problems(&mut self, object: &(Kind, Name), problems: &[Problem]) {
        let is_node_problem = |problem: &&Problem| NODE_REASONS.contains(&problem.reason);
        let node_problems: Vec<Problem> = problems.iter().filter(is_node_problem).cloned().collect();
        if node_problems.is_empty() {
            self.node_problems.remove(object);
        } else {
            self.node_problems.insert(object.clone(), node_problems.into());
        }
    }

    fn set_frontend(&mut self, name: &Name, set: impl FnOnce(&mut FrontendReport)) {
        let old = self.frontends.get(name).cloned().unwrap_or_default();
        let mut new = old.clone();
        set(&mut new);
        self.frontends.insert(name.clone(), FrontendReport { state: new.state, ..merge(&old, new) });
    }

    fn set_server(&mut self, vip: &VppVip, address: IpAddr, weight: Option<u8>) {
        let Some(report) = self.vips.get_mut(vip) else { return };
        *report = report.with_server(address, weight);
    }
}

/// The report about a Frontend after `old` and `new`. About the same version, Pending does not replace a result, and an
/// unknown state or active pool does not replace a known one.
fn merge(old: &FrontendReport, new: FrontendReport) -> FrontendReport {
    let same_version = match (&old.program, &new.program) {
        (Some(before), Some(now)) => now.id.matches(&before.id),
        (_, None) => true,
        (None, Some(_)) => false,
    };
    if !same_version {
        return new;
    }
    let is_pending = new.program.as_ref().is_none_or(|program| program.result == ProgramResult::Pending);
    let program = if is_pending { old.program.clone().or(new.program) } else { new.program };
    let state = if new.state == FrontendState::Unknown { old.state } else { new.state };
    FrontendReport { program, state, active_pool: new.active_pool.or(old.active_pool) }
}

impl BackendReport {
    /// True if the agent has just started and has not probed the address of `old` yet.
    fn is_unprobed(&self, old: &Self) -> bool {
        self.state == BackendState::Unknown && !self.ever_known && self.address == old.address
    }
}

impl From<&BackendHealth> for BackendReport {
    fn from(BackendHealth { address, state, ever_known, history, .. }: &BackendHealth) -> Self {
        let code = history.last().and_then(|transition| transition.code);
        Self { address: address_hash(*address), state: *state, code, ever_known: *ever_known }
    }
}

impl From<&Report> for ProgramStatus {
    fn from(report: &Report) -> Self {
        Self { id: ProgramId::from_report(report), result: report.result, reason: Arc::clone(&report.reason) }
    }
}

impl Fold for Digest {
    fn reset(&mut self, view: &View) {
        let before = std::mem::take(self);
        let backends = view.health.backends.iter();
        self.backends = backends.map(|(name, health)| (name.clone(), BackendReport::from(health))).collect();
        self.listed = view.node.is_some();
        let reported = view.reports.keys().chain(view.states.keys()).chain(view.active_pools.keys());
        let names = view.frontends.keys().chain(reported);
        let report = |name: &Name| FrontendReport {
            program: view.reports.get(name).map(ProgramStatus::from),
            state: view.frontend_state(name),
            active_pool: view.active_pools.get(name).copied(),
        };
        self.frontends = names.map(|name| (name.clone(), report(name))).collect();
        self.paths = view.health.paths.iter().map(|(key, health)| (key.clone(), health.state)).collect();
        self.drains.clone_from(&view.drains);
        self.suspect = [view.health.suspect_v4, view.health.suspect_v6];
        if let Some(vpp) = &view.vpp {
            let weightless = vpp.conf.is_some().then_some(vpp.weightless);
            self.vpp = Some(Vpp { info: Arc::clone(&vpp.info), since: vpp.since, weightless });
            self.vips = vpp.vips.iter().map(|(vip, state)| (*vip, VipReport::from(state))).collect();
        }
        self.holds = view.holds.clone();
        view.problems.iter().for_each(|(object, list)| self.set_node_problems(object, &list.problems));
        self.last_pass = view.sync.last_pass;
        self.inherit(&before);
    }

    fn apply(&mut self, change: &Change, at: Timestamp) {
        match change {
            Change::Health(name, health) => self.set_health(name, health.as_ref()),
            Change::Path(key, health) => self.set_path(key, health.as_ref().map(|health| health.state)),
            Change::Drain(name, Some(drain)) => drop(self.drains.insert(name.clone(), drain.clone())),
            Change::Drain(name, None) => drop(self.drains.remove(name)),
            Change::Suspect(family, active) => self.suspect[usize::from(*family == Family::V6)] = *active,
            Change::Frontend(name, state, _) => self.set_frontend(name, |frontend| frontend.state = *state),
            Change::Report(name, report) => {
                self.set_frontend(name, |frontend| frontend.program = Some(ProgramStatus::from(report)));
            }
            Change::ActivePool(name, pool) => self.set_frontend(name, |frontend| frontend.active_pool = Some(*pool)),
            Change::Forget(name) => drop(self.frontends.remove(name)),
            Change::VppConnected(info) => {
                self.vpp = Some(Vpp { info: Arc::clone(info), since: at, weightless: None });
                self.vips = OrdMap::new();
            }
            Change::VppDisconnected => {
                self.vpp = None;
                self.vips = OrdMap::new();
            }
            Change::VppState(_, actual) => {
                if let Some(vpp) = &mut self.vpp {
                    vpp.weightless = Some(actual.weightless);
                }
                self.vips = actual.vips.iter().map(|(vip, state)| (*vip, VipReport::from(state))).collect();
            }
            Change::Vip(vip, Some(state)) => drop(self.vips.insert(*vip, VipReport::from(state))),
            Change::Vip(vip, None) => drop(self.vips.remove(vip)),
            Change::Server(vip, address, weight) => self.set_server(vip, *address, *weight),
            Change::Held(hold) => drop(self.holds.insert(Arc::clone(&hold.id), hold.clone())),
            Change::Released(id) => drop(self.holds.remove(id)),
            Change::Synced(_) => self.last_pass = Some(at),
            Change::Config(delta) => {
                delta.problems.iter().for_each(|(object, list)| self.set_node_problems(object, &list.problems));
            }
            Change::Ramps(..) | Change::VppConf(_) | Change::Foreign(_) | Change::SyncFailed(_) => {}
        }
    }
}
