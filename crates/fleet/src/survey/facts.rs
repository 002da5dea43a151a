//! What one node says of one Frontend.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use jiff::Timestamp;

use maglev_model::{
    Name,
    actual::VppVip,
    config::{Frontend, Kind, Standing, Target},
    event::{FrontendState, ProgramResult},
    health::{BackendState, ProbeCode},
    problem::Problem,
    view::View,
    vip::{VipKey, Weight},
    weights::Effective,
};

/// A Frontend's state as people read it. Ordered: the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Word {
    /// Nothing serves it.
    Down,
    /// Nothing is known yet.
    Unknown,
    /// It is served, but not by its first pool.
    Standby,
    /// It is served.
    Up,
    /// Another Frontend has the better claim.
    Withdrawn,
}

impl Word {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Unknown => "unknown",
            Self::Standby => "standby",
            Self::Up => "up",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// The worst of several; unknown of none.
    pub fn worst(words: impl IntoIterator<Item = Self>) -> Self {
        words.into_iter().min().unwrap_or(Self::Unknown)
    }
}

/// A Frontend on one node.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    pub vip: VipKey,
    /// Another Frontend has the better claim.
    pub withdrawn: bool,
    pub state: FrontendState,
    /// It is up by another pool than the first: the first one's name.
    pub standby_for: Option<Arc<str>>,
    /// The pool that serves it.
    pub active_pool: Option<Arc<str>>,
    /// Since when it is in its state.
    pub since: Option<Timestamp>,
    /// Its backends, each once, in the order of pools and members.
    pub members: Vec<MemberFact>,
    /// The only one that takes traffic, where several are meant to.
    pub last: Option<Name>,
    /// How far the node is with it.
    pub result: ProgramResult,
    pub result_reason: Arc<str>,
    /// The first thing that is wrong with it.
    pub problem: Option<Problem>,
}

/// A backend of a Frontend on one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberFact {
    pub backend: Name,
    pub state: BackendState,
    /// The code of its last transition.
    pub code: Option<ProbeCode>,
    /// The weight that is in effect, or will be once VPP follows.
    pub effective: u8,
}

impl Facts {
    /// What the node says of `name`; `None` where it does not know it.
    pub fn of(view: &View, name: &Name) -> Option<Self> {
        let frontend = view.frontends.get(name)?;
        let effective = view.effective(frontend);
        let members = members(view, frontend, &effective);
        let (state, report) = (view.frontend_state(name), view.reports.get(name));
        let (withdrawn, own) = match &frontend.standing {
            Standing::Serving => (false, None),
            Standing::Held(problem) => (false, Some(problem)),
            Standing::Withdrawn(problem) => (true, Some(problem)),
        };
        let problems = view.problems_of(Kind::Frontend, name).into_iter().flat_map(|of| of.problems.iter());
        let pool = |index: usize| frontend.pools.get(index).map(|pool| Arc::clone(&pool.name));
        let standby = state == FrontendState::Up && effective.active_pool.is_some_and(|pool| pool > 0);
        Some(Self {
            vip: frontend.vip,
            withdrawn,
            state,
            standby_for: if standby { pool(0) } else { None },
            active_pool: effective.active_pool.and_then(pool),
            since: view.states.get(name).map(|state| state.since),
            last: last(frontend, &members),
            members,
            result: report.map_or(ProgramResult::Pending, |report| report.result),
            result_reason: report.map(|report| Arc::clone(&report.reason)).unwrap_or_default(),
            problem: own.or_else(|| problems.into_iter().next()).cloned(),
        })
    }

    /// Its state as people read it.
    pub fn word(&self) -> Word {
        match (self.withdrawn, self.state, &self.standby_for) {
            (true, ..) => Word::Withdrawn,
            (false, FrontendState::Up, Some(_)) => Word::Standby,
            (false, FrontendState::Up, None) => Word::Up,
            (false, FrontendState::Down, _) => Word::Down,
            (false, FrontendState::Unknown, _) => Word::Unknown,
        }
    }
}

/// Each backend once, with the weight of the application server that it is.
fn members(view: &View, frontend: &Frontend, effective: &Effective) -> Vec<MemberFact> {
    let vip = VppVip::from(frontend.vip);
    let weight = |address: Option<IpAddr>| {
        let wanted = address.and_then(|address| Some((address, effective.ases.get(&address)?.weight)));
        wanted.map_or(0, |(address, weight)| weight.effective(view.weight_in_vpp(&vip, address)))
    };
    let mut seen = BTreeSet::new();
    let members = frontend.pools.iter().flat_map(|pool| &pool.members);
    let once = members.filter(|member| seen.insert(&member.backend));
    let fact = |member: &maglev_model::config::Member| {
        let (state, code) = match &member.target {
            Target::Unreadable { .. } => (BackendState::Unknown, None),
            Target::Backend(backend) => {
                let last = view.health_of(backend).and_then(|health| health.history.last());
                (view.backend_state(backend), last.and_then(|last| last.code))
            }
        };
        MemberFact { backend: member.backend.clone(), state, code, effective: weight(member.target.address()) }
    };
    once.map(fact).collect()
}

/// The only backend that takes traffic, where more are meant to.
fn last(frontend: &Frontend, members: &[MemberFact]) -> Option<Name> {
    let meant: BTreeSet<&Name> = frontend
        .pools
        .iter()
        .flat_map(|pool| &pool.members)
        .filter(|member| member.weight > Weight::ZERO)
        .map(|member| &member.backend)
        .collect();
    let mut serving = members.iter().filter(|member| member.effective > 0);
    let (only, another) = (serving.next()?, serving.next());
    (another.is_none() && meant.len() > 1).then(|| only.backend.clone())
}
