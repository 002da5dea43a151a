//! Facts about one Frontend on one node.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use jiff::Timestamp;

use maglev_model::{
    Name,
    actual::VppVip,
    config::{Frontend, Kind, Member, MemberTarget, Standing},
    derived::DerivedName,
    event::{FrontendState, ProgramResult},
    health::{BackendState, ProbeCode},
    problem::Problem,
    table_change::TableSpec,
    view::View,
    vip::{VipKey, Weight},
    weights::EffectiveWeights,
};

/// State of a Frontend for display. Ordered from worst to best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DisplayState {
    /// No backend serves.
    Down,
    Unknown,
    /// Served by a pool other than the first.
    Standby,
    Up,
    /// Another Frontend has the claim to the VIP.
    Withdrawn,
}

impl DisplayState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Unknown => "unknown",
            Self::Standby => "standby",
            Self::Up => "up",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// The worst of several states; `Unknown` without any.
    pub fn worst(states: impl IntoIterator<Item = Self>) -> Self {
        states.into_iter().min().unwrap_or(Self::Unknown)
    }
}

/// A Frontend on one node.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    pub vip: VipKey,
    /// Set if another Frontend has the claim to the VIP.
    pub withdrawn: bool,
    pub state: FrontendState,
    /// Name of the first pool, if another pool serves.
    pub standby_for: Option<Arc<str>>,
    /// Name of the pool that serves.
    pub active_pool: Option<Arc<str>>,
    /// Start of the state.
    pub since: Option<Timestamp>,
    /// Backends, each once, in the order of pools and members.
    pub members: Vec<MemberFact>,
    /// The new-flow table of the VIP as read back from VPP, in its simplest form; `None` if VPP does not have the VIP or
    /// did not report the length.
    pub table: Option<TableSpec>,
    /// Application servers in VPP that no pool names; VPP keeps them while their removal is held.
    pub unclaimed_servers: Vec<IpAddr>,
    /// The only backend with traffic, if several are configured for it.
    pub last: Option<Name>,
    /// Result of programming VPP.
    pub result: ProgramResult,
    pub result_reason: Arc<str>,
    /// The first problem.
    pub problem: Option<Problem>,
}

/// A backend of a Frontend on one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberFact {
    pub backend: Name,
    pub state: BackendState,
    /// Code of the last transition.
    pub code: Option<ProbeCode>,
    /// Effective weight, in effect once VPP is in sync.
    pub effective: u8,
}

impl Facts {
    /// `None` if the node does not have the Frontend.
    pub fn from_view(view: &View, name: &Name) -> Option<Self> {
        let frontend = view.frontends.get(name)?;
        let effective = view.effective_weights(frontend);
        let members = members(view, frontend, &effective);
        let (state, report) = (view.frontend_state(name), view.reports.get(name));
        let (withdrawn, own) = match &frontend.standing {
            Standing::Serving => (false, None),
            Standing::Held(problem) => (false, Some(problem)),
            Standing::Withdrawn(problem) => (true, Some(problem)),
        };
        let problems =
            view.object_problems(Kind::Frontend, name).into_iter().flat_map(|problems| problems.problems.iter());
        let pool = |index: usize| frontend.pools.get(index).map(|pool| Arc::clone(&pool.name));
        let standby = state == FrontendState::Up && effective.active_pool.is_some_and(|pool| pool > 0);
        Some(Self {
            vip: frontend.vip,
            withdrawn,
            state,
            standby_for: if standby { pool(0) } else { None },
            active_pool: effective.active_pool.and_then(pool),
            since: view.states.get(name).map(|state| state.since),
            last: last_serving(frontend, &members),
            members,
            table: view.vip_in_vpp(&frontend.vip.into()).and_then(TableSpec::simplest),
            unclaimed_servers: view.unclaimed_servers(frontend).keys().copied().collect(),
            result: report.map_or(ProgramResult::Pending, |report| report.result),
            result_reason: report.map(|report| Arc::clone(&report.reason)).unwrap_or_default(),
            problem: own.or_else(|| problems.into_iter().next()).cloned(),
        })
    }

    pub fn display_state(&self) -> DisplayState {
        match (self.withdrawn, self.state, &self.standby_for) {
            (true, ..) => DisplayState::Withdrawn,
            (false, FrontendState::Up, Some(_)) => DisplayState::Standby,
            (false, FrontendState::Up, None) => DisplayState::Up,
            (false, FrontendState::Down, _) => DisplayState::Down,
            (false, FrontendState::Unknown, _) => DisplayState::Unknown,
        }
    }
}

/// Each backend once, with the weight of its application server.
fn members(view: &View, frontend: &Frontend, effective: &EffectiveWeights) -> Vec<MemberFact> {
    let vip = VppVip::from(frontend.vip);
    let weight = |address: Option<IpAddr>| {
        let server = address.and_then(|address| Some((address, effective.ases.get(&address)?.weight)));
        server.map_or(0, |(address, weight)| weight.effective(view.weight_in_vpp(&vip, address)))
    };
    let mut unique = BTreeSet::new();
    let members = frontend.pools.iter().flat_map(|pool| &pool.members);
    // The place of endpoints that are not known is no backend.
    let is_backend = |member: &&Member| !DerivedName::parse(&member.backend).is_some_and(|name| name.is_unknown());
    let once = members.filter(is_backend).filter(|member| unique.insert(&member.backend));
    let fact = |member: &Member| {
        let (state, code) = match &member.target {
            MemberTarget::Unreadable { .. } => (BackendState::Unknown, None),
            MemberTarget::Backend(backend) => {
                let last = view.backend_health(backend).and_then(|health| health.history.last());
                (view.backend_state(backend), last.and_then(|last| last.code))
            }
        };
        MemberFact { backend: member.backend.clone(), state, code, effective: weight(member.target.address()) }
    };
    once.map(fact).collect()
}

/// The only backend with traffic, if several are configured for it.
fn last_serving(frontend: &Frontend, members: &[MemberFact]) -> Option<Name> {
    let configured: BTreeSet<&Name> = frontend
        .pools
        .iter()
        .flat_map(|pool| &pool.members)
        .filter(|member| member.weight > Weight::ZERO)
        .map(|member| &member.backend)
        .collect();
    let mut serving = members.iter().filter(|member| member.effective > 0);
    let (only, another) = (serving.next()?, serving.next());
    (another.is_none() && configured.len() > 1).then(|| only.backend.clone())
}
