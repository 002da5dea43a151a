//! What the controller keeps of one agent: a few bytes per backend and Frontend, not the whole state.
//!
//! It is a [`Fold`] like any mirror, but one that outlives its agent: VPP forwards on while maglevd is away or starts
//! anew, so an answer stands until there is another. A restarted agent that does not know yet says nothing new.

use std::{collections::HashSet, net::IpAddr, sync::Arc};

use imbl::OrdMap;
use jiff::Timestamp;
use xxhash_rust::xxh64::xxh64;

use maglev_model::{
    Name,
    actual::{ActualVip, VppVip},
    change::{Change, Fold, Hold, Report, VipState, VppInfo},
    config::{Backend, Check, Frontend, Kind, Revision},
    event::{FrontendState, ProgramResult},
    fingerprint::Fingerprint,
    health::{BackendHealth, BackendState, ProbeCode},
    problem::{Problem, Reason},
    view::View,
    vip::Family,
};

/// One agent's answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Digest {
    /// Whether the agent has listed everything: a Frontend that it has no cell for is then gone.
    listed: bool,
    backends: OrdMap<Name, BackendCell>,
    frontends: OrdMap<Name, FrontendCell>,
    /// The servers of each VIP, as short values: only their number is of interest.
    vips: OrdMap<VppVip, Arc<[u32]>>,
    suspect: [bool; 2],
    vpp: Option<Vpp>,
    holds: OrdMap<Arc<str>, Hold>,
    /// What this node has against objects whose specs make sense: certificates that it cannot read, probes that it
    /// cannot send.
    unable: OrdMap<(Kind, Name), Arc<[Problem]>>,
    last_pass: Option<Timestamp>,
}

/// Problems that a node has and others may not have.
const OF_A_NODE: [Reason; 5] = [
    Reason::CertificateNotFound,
    Reason::CertificateForbidden,
    Reason::CertificateUnreadable,
    Reason::CertificateUnknown,
    Reason::MissingCapability,
];

/// What is known of a probed address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BackendCell {
    address: u32,
    state: BackendState,
    code: Option<ProbeCode>,
    ever_known: bool,
}

/// The last word about a Frontend.
#[derive(Clone, Debug, Default, PartialEq)]
struct FrontendCell {
    report: Option<Answer>,
    state: FrontendState,
}

/// How far a node is with one version of a Frontend.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    program: Program,
    /// How far it is.
    pub result: ProgramResult,
    /// Why; empty where there is nothing to say.
    pub reason: Arc<str>,
}

/// Which version of a Frontend something is about, and what that resolved to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    uid: u64,
    generation: i64,
    fingerprint: Fingerprint,
}

impl Program {
    /// What `frontend` is to be programmed as.
    pub(crate) fn of(frontend: &Frontend) -> Self {
        Self::new(&frontend.revision, Fingerprint::of(frontend))
    }

    fn new(revision: &Revision, fingerprint: Fingerprint) -> Self {
        Self { uid: xxh64(revision.uid.as_bytes(), 0), generation: revision.generation, fingerprint }
    }

    fn reported(report: &Report) -> Self {
        let Report { uid, generation, fingerprint, .. } = report;
        Self { uid: xxh64(uid.as_bytes(), 0), generation: *generation, fingerprint: *fingerprint }
    }

    /// Whether both are about the same version, resolved alike; where fingerprints tell nothing, the version decides.
    fn is_like(&self, other: &Self) -> bool {
        let same = (self.uid, self.generation) == (other.uid, other.generation);
        same && self.fingerprint.agrees(&other.fingerprint) != Some(false)
    }
}

/// The VPP behind an agent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Vpp {
    /// Which it is.
    pub info: Arc<VppInfo>,
    /// Since when there is a session.
    pub since: Timestamp,
    /// Whether it has no weights; `None` until it was read.
    pub weightless: Option<bool>,
}

/// What a change is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Touched {
    Backend(Name),
    HealthCheck(Name),
    /// A Frontend, and in a number the node.
    Frontend(Name),
    Node,
    /// A number of the node's.
    NodeNumbers,
    /// The node, and what every Frontend may depend on.
    All,
}

impl Touched {
    /// Adds what `change` is about.
    pub(crate) fn by(change: &Change, touched: &mut HashSet<Self>) {
        let one = match change {
            Change::Health(name, _) => Self::Backend(name.clone()),
            Change::Frontend(name, ..) | Change::Report(name, _) | Change::Forget(name) => Self::Frontend(name.clone()),
            Change::Suspect(..) | Change::VppConnected(_) | Change::VppDisconnected => Self::All,
            Change::VppState(..) => Self::All,
            Change::Held(_) | Change::Released(_) => Self::Node,
            Change::Vip(..) | Change::Server(..) | Change::Synced(_) => Self::NodeNumbers,
            Change::Config(delta) => {
                touched.extend(delta.problems.iter().filter_map(|((kind, name), _)| match kind {
                    Kind::Backend => Some(Self::Backend(name.clone())),
                    Kind::HealthCheck => Some(Self::HealthCheck(name.clone())),
                    _ => None,
                }));
                return;
            }
            Change::VppConf(_) | Change::Foreign(_) | Change::SyncFailed(_) => return,
        };
        touched.insert(one);
    }
}

impl Digest {
    /// The state of `backend` on this node, and the code of the probe that led to it.
    pub(crate) fn backend(&self, backend: &Backend) -> (BackendState, Option<ProbeCode>) {
        use maglev_model::config::AdminState;
        match (backend.admin_state, &backend.check) {
            (AdminState::Paused, _) => (BackendState::Paused, None),
            (AdminState::Disabled, _) => (BackendState::Disabled, None),
            (AdminState::Enabled, Check::None) => (BackendState::Up, None),
            (AdminState::Enabled, Check::Missing(_) | Check::NotSupported(_)) => (BackendState::Unknown, None),
            (AdminState::Enabled, Check::Probe(_)) => {
                let known = self.backends.get(&backend.name).filter(|cell| cell.address == tag(backend.address));
                known.map_or((BackendState::Unknown, None), |cell| (cell.state, cell.code))
            }
        }
    }

    /// How far the node is with the Frontend `name` as `program` has it; `None` where it has said nothing about that.
    pub(crate) fn answer(&self, name: &Name, program: &Program) -> Option<&Answer> {
        self.frontends.get(name)?.report.as_ref().filter(|answer| answer.program.is_like(program))
    }

    /// The state of the Frontend `name`.
    pub(crate) fn frontend_state(&self, name: &Name) -> FrontendState {
        self.frontends.get(name).map_or(FrontendState::Unknown, |cell| cell.state)
    }

    /// The last word about every Frontend, whatever version it is about.
    pub(crate) fn answers(&self) -> impl Iterator<Item = (&Name, &Answer)> {
        self.frontends.iter().filter_map(|(name, cell)| Some((name, cell.report.as_ref()?)))
    }

    /// Whether the probe path of `family` is suspect.
    pub(crate) fn suspect(&self, family: Family) -> bool {
        self.suspect[usize::from(family == Family::V6)]
    }

    /// The node's VPP, while there is a session.
    pub(crate) fn vpp(&self) -> Option<&Vpp> {
        self.vpp.as_ref()
    }

    /// VIPs in VPP, and application servers over all of them.
    pub(crate) fn in_vpp(&self) -> (usize, usize) {
        (self.vips.len(), self.vips.values().map(|servers| servers.len()).sum())
    }

    /// What this node, and not the spec, has against an object.
    pub(crate) fn unable(&self, kind: Kind, name: &Name) -> &[Problem] {
        self.unable.get(&(kind, name.clone())).map_or(&[], |problems| problems)
    }

    /// Removals that wait.
    pub(crate) fn holds(&self) -> impl Iterator<Item = &Hold> {
        self.holds.values()
    }

    /// When the last pass over everything ended.
    pub(crate) fn last_pass(&self) -> Option<Timestamp> {
        self.last_pass
    }

    /// Takes the place of what was known before, but for answers that stand while the agent does not know better.
    pub(crate) fn succeed(&mut self, before: &Self) {
        for (name, old) in &before.frontends {
            let new = self.frontends.get(name).cloned();
            if new.is_some() || !self.listed {
                self.frontends.insert(name.clone(), stand(old, new.unwrap_or_default()));
            }
        }
        for (name, old) in &before.backends {
            if self.backends.get(name).is_none_or(|new| new.says_nothing_beside(old)) {
                self.backends.insert(name.clone(), *old);
            }
        }
        if !self.listed {
            self.unable.clone_from(&before.unable);
        }
    }

    fn set_health(&mut self, name: &Name, health: Option<&BackendHealth>) {
        let Some(health) = health else {
            self.backends.remove(name);
            return;
        };
        let cell = BackendCell::of(health);
        if self.backends.get(name).is_some_and(|old| cell.says_nothing_beside(old)) {
            return;
        }
        self.backends.insert(name.clone(), cell);
    }

    fn set_unable(&mut self, of: &(Kind, Name), problems: &[Problem]) {
        let own: Vec<Problem> = problems.iter().filter(|of| OF_A_NODE.contains(&of.reason)).cloned().collect();
        if own.is_empty() {
            self.unable.remove(of);
        } else {
            self.unable.insert(of.clone(), own.into());
        }
    }

    fn set_frontend(&mut self, name: &Name, set: impl FnOnce(&mut FrontendCell)) {
        let old = self.frontends.get(name).cloned().unwrap_or_default();
        let mut new = old.clone();
        set(&mut new);
        self.frontends.insert(name.clone(), FrontendCell { state: new.state, ..stand(&old, new) });
    }

    fn set_server(&mut self, vip: &VppVip, address: IpAddr, there: bool) {
        let Some(servers) = self.vips.get(vip) else { return };
        let mut servers: Vec<u32> = servers.iter().copied().filter(|server| *server != tag(address)).collect();
        if there {
            servers.push(tag(address));
        }
        self.vips.insert(*vip, servers.into());
    }
}

/// What is known of a Frontend after `old`, given `new`: "not there yet" is no answer to what was answered before,
/// and an agent that knows nothing of a Frontend's state yet takes nothing back.
fn stand(old: &FrontendCell, new: FrontendCell) -> FrontendCell {
    let same = match (&old.report, &new.report) {
        (Some(before), Some(now)) => now.program.is_like(&before.program),
        (_, None) => true,
        (None, Some(_)) => false,
    };
    if !same {
        return new;
    }
    let no_news = new.report.as_ref().is_none_or(|answer| answer.result == ProgramResult::Pending);
    let report = if no_news { old.report.clone().or(new.report) } else { new.report };
    let state = if new.state == FrontendState::Unknown { old.state } else { new.state };
    FrontendCell { report, state }
}

impl BackendCell {
    fn of(health: &BackendHealth) -> Self {
        let BackendHealth { address, state, ever_known, history, .. } = health;
        let code = history.last().and_then(|transition| transition.code);
        Self { address: tag(*address), state: *state, code, ever_known: *ever_known }
    }

    /// Whether this is an agent that has just started and has not probed the address yet.
    fn says_nothing_beside(&self, old: &Self) -> bool {
        self.state == BackendState::Unknown && !self.ever_known && self.address == old.address
    }
}

/// A short value for an address; exact for IPv4.
fn tag(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(address) => address.to_bits(),
        IpAddr::V6(address) => xxh64(&address.octets(), 0) as u32,
    }
}

fn tags(vip: &VipState) -> Arc<[u32]> {
    vip.servers.keys().map(|address| tag(*address)).collect()
}

impl Fold for Digest {
    fn reset(&mut self, view: &View) {
        let before = std::mem::take(self);
        self.backends = view.health.backends.iter().map(|(name, of)| (name.clone(), BackendCell::of(of))).collect();
        self.listed = view.node.is_some();
        let names = view.frontends.keys().chain(view.reports.keys()).chain(view.states.keys());
        let cell = |name: &Name| FrontendCell {
            report: view.reports.get(name).map(Answer::of),
            state: view.frontend_state(name),
        };
        self.frontends = names.map(|name| (name.clone(), cell(name))).collect();
        self.suspect = [view.health.suspect_v4, view.health.suspect_v6];
        if let Some(vpp) = &view.vpp {
            let weightless = vpp.conf.is_some().then_some(vpp.weightless);
            self.vpp = Some(Vpp { info: Arc::clone(&vpp.info), since: vpp.since, weightless });
            self.vips = vpp.vips.iter().map(|(vip, state)| (*vip, tags(state))).collect();
        }
        self.holds = view.holds.clone();
        view.problems.iter().for_each(|(of, found)| self.set_unable(of, &found.problems));
        self.last_pass = view.sync.last_pass;
        self.succeed(&before);
    }

    fn apply(&mut self, change: &Change, at: Timestamp) {
        match change {
            Change::Health(name, health) => self.set_health(name, health.as_ref()),
            Change::Suspect(family, active) => self.suspect[usize::from(*family == Family::V6)] = *active,
            Change::Frontend(name, state, _) => self.set_frontend(name, |cell| cell.state = *state),
            Change::Report(name, report) => {
                self.set_frontend(name, |cell| cell.report = Some(Answer::of(report)));
            }
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
                let servers = |of: &ActualVip| -> Arc<[u32]> { of.ases.keys().map(|address| tag(*address)).collect() };
                self.vips = actual.vips.iter().map(|(vip, of)| (*vip, servers(of))).collect();
            }
            Change::Vip(vip, Some(state)) => drop(self.vips.insert(*vip, tags(state))),
            Change::Vip(vip, None) => drop(self.vips.remove(vip)),
            Change::Server(vip, address, weight) => self.set_server(vip, *address, weight.is_some()),
            Change::Held(hold) => drop(self.holds.insert(Arc::clone(&hold.id), hold.clone())),
            Change::Released(id) => drop(self.holds.remove(id)),
            Change::Synced(_) => self.last_pass = Some(at),
            Change::Config(delta) => {
                delta.problems.iter().for_each(|(of, found)| self.set_unable(of, &found.problems));
            }
            Change::VppConf(_) | Change::Foreign(_) | Change::SyncFailed(_) => {}
        }
    }
}

impl Answer {
    fn of(report: &Report) -> Self {
        Self { program: Program::reported(report), result: report.result, reason: Arc::clone(&report.reason) }
    }
}
